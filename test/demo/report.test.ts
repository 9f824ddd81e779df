import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeStep, type Row, resultTable } from "../../src/demo/report.js";
import type { Step } from "../../src/demo/steps.js";

const call = { to: "10.77.0.11:5000", out: "direct", into: { "helloworld-v1": "direct" } } as const;
const step: Step = { change: "an edit", pod: "helloworld-v1", annotations: {}, calls: [call] };
const body = "Hello version: v1, instance: helloworld-v1";
const straight = { server: "helloworld-v1", via: "", originalDestination: "", peer: call.to, body };
const through = {
  ...straight,
  server: "shunt-demo-proxy",
  via: "1.1 helloworld-v1, 1.1 client",
  originalDestination: "10.77.0.11:5000, 10.96.10.10:5000",
};
const row: Row = { change: step.change, latency: 1.25, call, answer: straight, wrong: [] };

test("a step in one line", () => {
  assert.is(
    describeStep(step, [row, { ...row, answer: through }]),
    "✓ an edit, in the kernel 1.3 ms after the edit: " +
      "10.77.0.11:5000 went straight to helloworld-v1 (server: helloworld-v1); 10.77.0.11:5000 went through " +
      "client's proxy (it saw 10.96.10.10:5000) and helloworld-v1's (it saw 10.77.0.11:5000) to helloworld-v1 " +
      "(server: shunt-demo-proxy)",
  );
  assert.is(
    describeStep(step, [{ ...row, latency: undefined, answer: undefined, wrong: ["no answer: ETIMEDOUT"] }]),
    "✗ an edit: 10.77.0.11:5000 went nowhere  ✗ no answer: ETIMEDOUT",
  );
});

test("the table has a line a call", () => {
  const lines = resultTable([row, { ...row, answer: through }, { ...row, answer: undefined, wrong: ["x"] }]).split(
    "\n",
  );
  assert.is(lines.length, 5);
  assert.match(lines[2] ?? "", /^an edit +10\.77\.0\.11:5000 +– +helloworld-v1 +helloworld-v1 +1\.3 ms +ok$/);
  assert.match(lines[3] ?? "", /client, helloworld-v1 +helloworld-v1 +shunt-demo-proxy +1\.3 ms +ok$/);
  assert.match(lines[4] ?? "", /– +– +– +1\.3 ms +WRONG$/);
});

test.run();
