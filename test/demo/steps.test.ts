import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Answer, answeredBy, type Call, check, hops, steps, workloads } from "../../src/demo/steps.js";

const to = "10.96.10.10:5000";
const into = { "helloworld-v1": "proxy", "helloworld-v2": "direct" } as const;

/** As the client gets it: each proxy's headers after those of the one next to the workload. */
function answer(workload: string, way: readonly (readonly [pod: string, saw: string])[]): Answer {
  const inward = way.toReversed();
  return {
    server: way.length === 0 ? workload : "shunt-demo-proxy",
    via: inward.map(([pod]) => `1.1 ${pod}`).join(", "),
    originalDestination: inward.map(([, saw]) => saw).join(", "),
    peer: to,
    body: `Hello version: v, instance: ${workload}`,
  };
}

test("a call's way, from the client on", () => {
  const both = answer("helloworld-v1", [
    ["client", to],
    ["helloworld-v1", "10.77.0.11:5000"],
  ]);
  assert.equal(hops(both), [
    { pod: "client", saw: to },
    { pod: "helloworld-v1", saw: "10.77.0.11:5000" },
  ]);
  assert.is(answeredBy(both), "helloworld-v1");
  assert.equal(hops(answer("helloworld-v2", [])), []);
  assert.is(answeredBy({ ...both, body: "shunt-demo-proxy: 10.77.0.11:5000: ECONNREFUSED" }), "");
});

test("right is what the contract says of the workload that answered", () => {
  const call: Call = { to, out: "proxy", into };
  const client = ["client", to] as const;
  const inbound = ["helloworld-v1", "10.77.0.11:5000"] as const;
  assert.equal(check(call, answer("helloworld-v1", [client, inbound])), []);
  assert.equal(check(call, answer("helloworld-v2", [client])), []);
  const direct: Call = { ...call, out: "direct" };
  assert.equal(check(direct, answer("helloworld-v1", [["helloworld-v1", to]])), [], "it arrives as it was asked for");
  assert.equal(check(direct, answer("helloworld-v2", [])), []);

  const wrong = (got: Answer, asked = call): string => check(asked, got).join("; ");
  assert.match(
    wrong(answer("helloworld-v1", [client])),
    /^passed client's proxy \([\d.:]+\), should have .*v1's proxy/,
  );
  assert.match(
    wrong(answer("helloworld-v2", [client, ["helloworld-v2", to]])),
    /^passed .*v2's.*should have passed client/,
  );
  assert.match(wrong(answer("helloworld-v1", []), direct), /passed none.*the server header says helloworld-v1/);
  assert.match(wrong(answer("helloworld-v1", [["client", "127.0.0.1:15001"], inbound])), /\(127\.0\.0\.1:15001\)/);
  assert.match(wrong(answer("helloworld-v3", [client])), /^answered by helloworld-v3$/);
  assert.match(wrong({ ...answer("helloworld-v2", [client]), body: "503" }), /^answered by nobody$/);
  assert.match(wrong({ ...answer("helloworld-v2", [client]), peer: "127.0.0.1:15001" }), /^getpeername\(\) says 127/);
});

test("each step edits a pod that there is, and only workloads answer; both halves are shown", () => {
  const names: readonly string[] = workloads.map(({ name }) => name);
  for (const { pod, calls } of steps) {
    assert.ok(["client", ...names].includes(pod));
    for (const call of calls) assert.ok(Object.keys(call.into).every((name) => names.includes(name)));
  }
  const ways = steps.flatMap(({ calls }) => calls.map((call) => [call.out, ...Object.values(call.into)].join(" ")));
  for (const way of ["proxy proxy", "direct proxy", "direct direct"]) assert.ok(ways.includes(way), way);
});

test.run();
