import { test } from "uvu";
import * as assert from "uvu/assert";
import { refusedProblems, unseenProblems } from "../src/passProblems.js";
import { podState, policy } from "./samples.js";

const nameOf = (id: bigint): string => `test/${id}`;
const error = new Error("E2BIG: full");

test("a refused operation is a problem of the pod that it was for; a policy's is nobody's alone", () => {
  const pod = podState(7n, 1n);
  const found = refusedProblems(
    [
      { op: { kind: "add-pod", pod }, error },
      { op: { kind: "flip", pod: 8n, slot: 0, policy: 1n }, error },
      { op: { kind: "add-policy", policy: policy(1n) }, error },
    ],
    nameOf,
  );
  assert.equal(
    found.map((each) => [each.kind, each.pod, each.key, each.why]),
    [
      ["kernel", "test/7", "add-pod", "E2BIG: full"],
      ["kernel", "test/8", "flip", "E2BIG: full"],
      ["kernel", "", "add-policy", "E2BIG: full"],
    ],
  );
});

test("a namespace that cannot be read is a problem of its pod", () => {
  const [problem, ...others] = unseenProblems(new Map([[7n, error]]), nameOf);
  assert.equal(others, []);
  assert.equal([problem?.kind, problem?.pod], ["namespace", "test/7"]);
  assert.match(problem?.why ?? "", /cannot be read: E2BIG: full/);
});

test.run();
