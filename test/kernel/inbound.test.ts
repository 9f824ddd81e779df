/** Inbound: what arrives in a pod, in real namespaces, with real listeners. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import type { Policy } from "../../src/model/policy.js";
import { policy } from "../samples.js";
import { type Bed, openBed, until } from "./bed.js";
import { type Endpoints, type Listener, makeEndpoints, type Place } from "./endpoint.js";

let bed: Bed;
let ends: Endpoints;
let pod: LabPod;
let other: LabPod;
let client: Place;
const inPod = (container: string, ids = 1000): Place => ({ pod, container, uid: ids, gid: ids });
const proxy = (): Place => inPod("istio-proxy", 1337);
const app = (): Place => inPod("app");

test.before.each(async () => {
  bed = await openBed("inbound");
  ends = await makeEndpoints(bed.lab.directory);
  pod = await bed.lab.pod({ namespace: "a", name: "server", uid: "11-a", address: "10.88.1.1" });
  other = await bed.lab.pod({ namespace: "a", name: "client", uid: "11-b", address: "10.88.1.2" });
  client = { pod: other, container: "app" };
});
test.after.each(() => bed.close());

/** The pod under this policy, and the program in its namespace. */
async function capture(changes: Partial<Policy> = {}): Promise<void> {
  await bed.enrol([[pod, policy(1n, changes)]]);
  pod.spawn(["sleep", "600"], { container: "pause" });
  while (true) {
    try {
      return bed.steerInbound(pod);
    } catch (error) {
      // The process is still on its way into the namespace.
      if (!/no process of the pod/.test((error as Error).message)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const call = (port: number, ...flags: string[]): Promise<string> => ends.call(client, "10.88.1.1", port, ...flags);
/** Name and what it heard, without the peer's port. */
const heard = (answer: string): string => answer.replace(/^(\S+ \S+ \S+):\d+ /, "$1 ");

test("a captured port arrives at the proxy, whether or not anything listens there", async () => {
  await capture();
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  // Its local address is what was asked for, and so is the original destination.
  assert.is(heard(await call(8080)), "proxy 10.88.1.1:8080 10.88.1.2 10.88.1.1:8080");
  assert.is(heard(await call(9999)), "proxy 10.88.1.1:9999 10.88.1.2 10.88.1.1:9999");
  assert.equal(
    bed.verdicts(pod).map(({ direction, verdict, reason, count }) => [direction, verdict, reason, count]),
    [["inbound", "redirect", "included-all", 2n]],
  );
  bed.sampleFlows(1);
  await call(8080);
  const inbound = () => bed.flows.find(({ direction }) => direction === "inbound");
  await until("the flow is told", () => inbound() !== undefined);
  const flow = inbound();
  assert.equal([flow?.destinationPort, flow?.targetPort, flow?.pid, flow?.command], [8080, 15006, 0, ""]);
});

test("excluded ports, the tunnel and what is not included go to the application", async () => {
  const port = (number: number, action: "bypass" | "redirect", reason: "excluded-port" | "tunnel-port") =>
    ({ direction: "inbound", port: number, action, reason }) as const;
  await capture({ ports: [port(8080, "bypass", "excluded-port"), port(15008, "bypass", "tunnel-port")] });
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  await ends.listen(app(), "tunnel", "0.0.0.0", 15008);
  assert.match(await call(8080), /^app /);
  assert.match(await call(15008), /^tunnel /);
  assert.match(await call(8081), /^proxy /);
  await bed.enrol([[pod, policy(2n, { captureOtherInbound: false })]]);
  assert.match(await call(8080), /^app /);
  assert.is(await call(8081), "ECONNREFUSED");
});

test("loopback and the pod's own calls are never steered", async () => {
  await capture({ captureOtherOutbound: false });
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  for (const [address, ...flags] of [
    ["127.0.0.1"],
    ["127.0.0.9"],
    ["10.88.1.1"],
    ["10.88.1.1", "from=10.88.1.1"],
    ["10.88.1.1", "device=eth0"],
  ] as const) {
    const answer = await ends.call({ pod, container: "app" }, address, 8080, ...flags);
    assert.match(answer, /^app /, [address, ...flags].join(" "));
  }
});

test("while no proxy listens the connection is refused, and never reaches the application", async () => {
  await capture();
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  assert.is(await call(8080), "ECONNREFUSED");
  const listener = await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  assert.match(await call(8080), /^proxy /);
  await listener.end();
  assert.is(await call(8080), "ECONNREFUSED");
  await ends.listen(proxy(), "again", "0.0.0.0", 15006);
  assert.match(await call(8080), /^again /, "a proxy that restarts");
  assert.is(bed.verdicts(pod).find(({ reason }) => reason === "no-listener")?.verdict, "deny");
});

test("an application that listens on the proxy's port is not the proxy", async () => {
  await capture();
  await ends.listen(app(), "app", "0.0.0.0", 15006);
  assert.is(await call(8080), "ECONNREFUSED");
});

test("a group of listeners whose members close one by one: always a live one", async () => {
  await capture();
  const group: Listener[] = [];
  for (let i = 0; i < 5; i++) group.push(await ends.listen(proxy(), `p${i}`, "0.0.0.0", 15006, "reuseport"));
  const seen = new Set<string>();
  for (let i = 0; i < 40; i++) seen.add((await call(8080)).split(" ")[0] ?? "");
  assert.ok(seen.size > 1, `all of them take part: ${[...seen]}`);
  for (const [i, member] of group.entries()) {
    assert.match(await call(8080), /^p/);
    if (i % 2 === 0) await member.end();
    else await member.say("close");
  }
  assert.is(await call(8080), "ECONNREFUSED");
});

test("a listener that was shut down is passed over, and taken again when it listens again", async () => {
  await capture();
  const first = await ends.listen(proxy(), "first", "0.0.0.0", 15006, "reuseport");
  const second = await ends.listen(proxy(), "second", "0.0.0.0", 15006, "reuseport");
  await first.say("shutdown");
  for (let i = 0; i < 5; i++) assert.match(await call(8080), /^second /);
  await first.say("listen");
  await second.end();
  assert.match(await call(8080), /^first /);
});

test("IPv4 goes to a dual-stack listener too, and never to one of IPv6 alone", async () => {
  await capture();
  const only = await ends.listen(proxy(), "six", "::", 15006, "v6only");
  assert.is(await call(8080), "ECONNREFUSED");
  await only.end();
  await ends.listen(proxy(), "dual", "::", 15006);
  assert.is(heard(await call(8080)), "dual [::ffff:10.88.1.1]:8080 [::ffff:10.88.1.2] 10.88.1.1:8080");
});

test("an MPTCP listener cannot be steered to: counted, and the connection is refused", async () => {
  await capture();
  await ends.listen(proxy(), "mptcp", "0.0.0.0", 15006, "mptcp");
  assert.is(await call(8080), "ECONNREFUSED");
  assert.is(bed.counters().get("listener-unlisted"), 1n);
});

test("a call to the proxy's own port arrives there, with its own address as the original destination", async () => {
  await capture();
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  assert.is(heard(await call(15006)), "proxy 10.88.1.1:15006 10.88.1.2 10.88.1.1:15006");
});

test("the proxy that calls its own pod comes back in, but for the tunnel and from 127.0.0.6", async () => {
  await capture();
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  await ends.listen(app(), "tunnel", "0.0.0.0", 15008);
  assert.match(await ends.call(proxy(), "10.88.1.1", 8080), /^proxy \S+ \S+ 10.88.1.1:8080$/);
  assert.match(await ends.call(proxy(), "10.88.1.1", 15008), /^tunnel /);
  assert.match(await ends.call(proxy(), "10.88.1.1", 8080, "from=127.0.0.6"), /^app /);
  assert.match(await ends.call(proxy(), "127.0.0.1", 8080), /^app /);
});

test("detached, everything goes to the application again; nothing is left", async () => {
  await capture();
  await ends.listen(proxy(), "proxy", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  assert.match(await call(8080), /^proxy /);
  bed.steerInbound();
  assert.match(await call(8080), /^app /);
});

test.run();
