/** Istio's own rules in one namespace, the same pod under Shunt in another, the same sockets in both. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describe, openPair, type Pair } from "./compare.js";
import { goldenSubjects } from "./goldens.js";
import type { Socket } from "./sockets.js";
import { allSockets, portsOf } from "./universe.js";

const subjects = goldenSubjects();
const call: Socket = {
  direction: "outbound",
  kind: "tcp",
  uid: 1000,
  gid: 1000,
  source: undefined,
  address: "203.0.113.9",
  port: 80,
};
let pair: Pair;

test.before(async () => {
  pair = await openPair([...new Set([79, 81, ...subjects.flatMap(({ config }) => portsOf(config))])]);
});
test.after(async () => {
  await pair?.close();
});

for (const subject of subjects) {
  test(`${subject.name}: every socket arrives where Istio's rules send it`, async () => {
    const { counts, disagreements } = await pair.compare(subject, allSockets(subject.config));
    assert.ok(counts.contract > 1000 && counts.shunt > 0, JSON.stringify(counts));
    assert.is(disagreements.length, 0, disagreements.slice(0, 10).map(describe).join("\n"));
  });
}

test("the comparison tells a pod that was told something else, the socket and the rule", async () => {
  const [subject] = subjects.filter(({ name }) => name === "cni-basic");
  if (subject?.pod === undefined) return assert.unreachable();
  const annotations = { ...subject.pod.annotations, "traffic.sidecar.istio.io/excludeOutboundPorts": "15020,80" };
  const sockets = [79, 80, 81].map((port) => ({ ...call, port }));
  const { disagreements } = await pair.compare({ ...subject, pod: { ...subject.pod, annotations } }, sockets);
  assert.equal(
    disagreements.map(({ socket, other }) => `${other} ${socket.port}`),
    ["shunt 80", "model 80"],
  );
  const [first] = disagreements;
  const text = first === undefined ? "" : describe(first);
  assert.match(text, "outbound tcp uid 1000 gid 1000 to 203.0.113.9:80\n  iptables: proxy-outbound for 203.0.113.9 80");
  assert.match(text, "  shunt: peer for 203.0.113.9 80");
  assert.match(text, "  matched: -A ISTIO_OUTPUT -j ISTIO_REDIRECT");
});

test.run();
