import { test } from "uvu";
import * as assert from "uvu/assert";
import { openProblemLog } from "../../src/events/problemLog.js";
import type { Problem } from "../../src/model/problem.js";

const problem = (key: string, why = "is wrong"): Problem => ({
  kind: "annotation",
  where: "a.yaml:1",
  pod: "ns/a",
  key,
  value: "80,",
  why,
});

test("each problem is told once when it comes and once when it goes", () => {
  const said: string[] = [];
  const log = openProblemLog(
    (_, text) => said.push(`new ${text}`),
    (text) => said.push(`mended ${text}`),
  );
  log.update([problem("x"), problem("y")]);
  log.update([problem("y"), problem("x"), problem("x")]);
  log.update([problem("y"), problem("x", "is worse")]);
  log.update([]);
  const text = (key: string, why = "is wrong"): string => `a.yaml:1 ns/a: ${key}="80,": ${why}`;
  assert.equal(said, [
    `new ${text("x")}`,
    `new ${text("y")}`,
    `new ${text("x", "is worse")}`,
    `mended ${text("x")}`,
    `mended ${text("y")}`,
    `mended ${text("x", "is worse")}`,
  ]);
  assert.equal(log.current, []);
});

test.run();
