import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { boundProblems, describeProblem, type Problem, shownValue } from "../../src/model/problem.js";

test("one line: where, who, what, why", () => {
  const problem = { kind: "pod", where: "a.yaml:1", pod: "ns/p", key: "k", value: "v", why: "bad" } as const;
  assert.is(describeProblem(problem), 'a.yaml:1 ns/p: k="v": bad');
  assert.is(describeProblem({ ...problem, where: "", pod: "", value: "" }), "k: bad");
});

test("a value as it is shown", () => {
  const cases: [unknown, string][] = [
    ["text", "text"],
    [5, "5"],
    [null, "null"],
    [undefined, "undefined"],
    [{ a: [1, { b: "c" }], d: null }, '{"a":[1,{"b":"c"}],"d":null}'],
    [10n, "bigint"],
    ["x".repeat(101), `${"x".repeat(100)}…`],
  ];
  for (const [value, text] of cases) assert.is(shownValue(value), text);
  assert.is(shownValue("abc", 2), "ab…");
});

test("what is cut is the beginning of the whole", () => {
  const json = fc.jsonValue({ maxDepth: 5 });
  fc.assert(
    fc.property(json, fc.nat(60), (value, limit) => {
      const whole = typeof value === "string" ? value : JSON.stringify(value);
      assert.is(shownValue(value, limit), whole.length > limit ? `${whole.slice(0, limit)}…` : whole);
    }),
    { numRuns: 3000 },
  );
});

test("a circle, and a value whose text would have gigabytes, cost nothing", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  assert.match(shownValue(circle), /^\[\[\[.*…$/);
  let bomb: unknown = "x";
  for (let level = 0; level < 12; level++) bomb = Array.from({ length: 9 }, () => bomb);
  assert.match(shownValue(bomb), /^\[{12}"x","x".*…$/);
});

test("as many problems as are listed, the last with the number of all, none longer than a line bears", () => {
  const problem = (i: number): Problem => ({
    kind: "pod",
    where: "a.yaml:1",
    pod: "ns/p",
    key: `k${i}`,
    value: "v",
    why: "bad",
  });
  const all = Array.from({ length: 5 }, (_, i) => problem(i));
  assert.equal(boundProblems(all, 5), all);
  const cut = boundProblems(all, 3);
  assert.equal(cut.slice(0, 2), all.slice(0, 2));
  assert.equal(cut.slice(2).map(describeProblem), [
    "a.yaml:1 ns/p: document: 5 problems in all: the first 2 are listed",
  ]);
  const long = { ...problem(0), pod: "p".repeat(10_000), key: "k".repeat(10_000), why: "w".repeat(10_000) };
  assert.ok(describeProblem(boundProblems([long], 3)[0] as Problem).length < 1600);
});

test.run();
