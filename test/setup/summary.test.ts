import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseSummary, skipLines, suitesNotRun } from "./summary.js";

const printed = (total: number, passed: number) =>
  `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   1\n  Duration:  2.07ms\n\n`;

test("reads what uvu prints, coloured or not", () => {
  const coloured = printed(3, 2)
    .replace("  Passed:    2", "\u001b[31m  Passed:    2\u001b[39m")
    .replace(":   1", ":   \u001b[33m1\u001b[39m");
  for (const text of [printed(3, 2), coloured]) assert.equal(parseSummary(text), { total: 3, passed: 2, skipped: 1 });
});

test("the last one counts, since a test may print one", () => {
  assert.equal(parseSummary(printed(9, 9) + printed(2, 1))?.passed, 1);
  assert.is(parseSummary("Total: 3"), undefined);
});

test("finds suites that are not run", () => {
  const make = "suite"; // Written out, this file itself would be found.
  const source = `const a = ${make}("a");\nconst b = ${make}<{ x: number }>("b");\nlet c = ${make}("c");\na.run();\nc.run ();\n`;
  assert.equal(suitesNotRun(source), ["b"]);
  assert.equal(suitesNotRun(`import { test } from "uvu";\ntest.run();`), []);
});

test("finds the lines that skip", () => {
  assert.equal(skipLines(`a;\n  test.skip("x", f);\n(ok ? test : test.skip)("y", f);`), [
    `2: test.skip("x", f);`,
    `3: (ok ? test : test.skip)("y", f);`,
  ]);
});

test.run();
