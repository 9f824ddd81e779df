/** IPv6 and mixed sockets, both directions, with real sockets. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import type { PodState } from "../../src/maps/state.js";
import type { Policy } from "../../src/model/policy.js";
import { address, policy, prefix } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { type Endpoints, makeEndpoints, type Place } from "./endpoint.js";

let bed: Bed;
let ends: Endpoints;
let pod: LabPod;
let client: Place;
const as = (id: number, container: string): Place => ({ pod, container, uid: id, gid: id });
const proxy = (): Place => as(1337, "istio-proxy");
const app = (): Place => as(1000, "app");
const own = { ipv6: address("fd00:5::1"), localAddresses: [address("10.88.5.1"), address("fd00:5::1")] };

test.before.each(async () => {
  bed = await openBed("ipv6");
  ends = await makeEndpoints(bed.lab.directory);
  pod = await bed.lab.pod({ namespace: "a", name: "a", uid: "15-a", address: "10.88.5.1", address6: "fd00:5::1" });
  const other = await bed.lab.pod({
    namespace: "a",
    name: "b",
    uid: "15-b",
    address: "10.88.5.2",
    address6: "fd00:5::2",
  });
  client = { pod: other, container: "app" };
});
test.after.each(() => bed.close());

/** @param state on top of a pod that captures IPv6. */
async function capture(changes: Partial<Policy> = {}, state: Partial<PodState> = {}): Promise<void> {
  await bed.enrol([
    [pod, policy(BigInt(Object.keys(changes).length + 1), changes), { ...own, captureIpv6: true, ...state }],
  ]);
}

async function captureInbound(changes: Partial<Policy> = {}, state: Partial<PodState> = {}): Promise<void> {
  await capture(changes, state);
  await ends.listen(proxy(), "proxy", "::", 15006);
  await ends.listen(app(), "app", "::", 8080);
  bed.steerInbound(pod);
}

/** Without the ports of the asking side. */
const heard = (answer: string): string => answer.replace(/^(\S+ \S+ \S+):\d+ /, "$1 ");

test("IPv6 goes to ::1; the proxy sees the pod's address and what was asked, at level 41", async () => {
  await capture();
  await ends.listen(proxy(), "out", "::1", 15001);
  assert.is(heard(await ends.call(app(), "fd00:5::2", 80)), "out [::1]:15001 [fd00:5::1] [fd00:5::2]:80");
  assert.is(heard(await ends.call(app(), "2001:db8::7", 443)), "out [::1]:15001 [fd00:5::1] [2001:db8::7]:443");
});

test("a v4-mapped destination is IPv4: its rules, its proxy, level 0", async () => {
  const ranges = [{ prefix: prefix("10.88.6.0/24"), action: "bypass", reason: "excluded-range" }] as const;
  await capture({ ranges });
  await ends.listen(proxy(), "out", "127.0.0.1", 15001);
  assert.is(heard(await ends.call(app(), "::ffff:10.88.5.2", 80)), "out 127.0.0.1:15001 10.88.5.1 10.88.5.2:80");
  await ends.listen(client, "target", "0.0.0.0", 80);
  await bed.enrol([[pod, policy(9n, { captureOtherOutbound: false }), { ...own, captureIpv6: true }]]);
  assert.match(await ends.call(app(), "::ffff:10.88.5.2", 80), /^target /);
});

test("the families' prefixes do not match each other", async () => {
  const rule = (text: string) => ({ prefix: prefix(text), action: "redirect", reason: "included-range" }) as const;
  await capture({ captureOtherOutbound: false, ranges: [rule("::/0")] });
  await ends.listen(proxy(), "six", "::1", 15001);
  await ends.listen(proxy(), "four", "127.0.0.1", 15001);
  await ends.listen(client, "target", "::", 80);
  assert.match(await ends.call(app(), "fd00:5::2", 80), /^six /);
  for (const to of ["10.88.5.2", "::ffff:10.88.5.2"]) assert.match(await ends.call(app(), to, 80), /^target /, to);
  await bed.enrol([
    [pod, policy(8n, { captureOtherOutbound: false, ranges: [rule("0.0.0.0/0")] }), { ...own, captureIpv6: true }],
  ]);
  assert.match(await ends.call(app(), "fd00:5::2", 80), /^target /);
  for (const to of ["10.88.5.2", "::ffff:10.88.5.2"]) assert.match(await ends.call(app(), to, 80), /^four /, to);
});

test("where IPv6 is not captured it passes, both ways, and IPv4 does not", async () => {
  await captureInbound({}, { captureIpv6: false });
  await ends.listen(proxy(), "out", "127.0.0.1", 15001);
  await ends.listen(client, "target", "::", 80);
  assert.match(await ends.call(app(), "fd00:5::2", 80), /^target /);
  assert.match(await ends.call(app(), "10.88.5.2", 80), /^out /);
  assert.match(await ends.call(client, "fd00:5::1", 8080), /^app /);
  assert.match(await ends.call(client, "10.88.5.1", 8080), /^proxy /);
});

test("inbound IPv6 keeps its address, and the original destination is it", async () => {
  await captureInbound();
  assert.is(heard(await ends.call(client, "fd00:5::1", 8080)), "proxy [fd00:5::1]:8080 [fd00:5::2] [fd00:5::1]:8080");
});

test("local destinations pass: ::1, ::, the pod's own; the proxy's call of its own address comes in", async () => {
  await captureInbound();
  for (const to of ["::1", "::", "fd00:5::1"]) assert.match(await ends.call(app(), to, 8080), /^app /, to);
  assert.match(await ends.call(proxy(), "fd00:5::1", 8080), /^proxy \S+ \S+ \[fd00:5::1\]:8080$/);
  assert.match(await ends.call(proxy(), "::1", 8080), /^app /);
});

test("callers of other groups, and destinations behind an excluded interface, pass", async () => {
  const route = (text: string, excluded: boolean) => ({ prefix: prefix(text), excluded });
  await capture({
    owners: { mode: "included", gids: [1000] },
    routes: [route("::/0", false), route("fd00:6::/64", true)],
  });
  await ends.listen(proxy(), "out", "::1", 15001);
  await ends.listen(client, "target", "::", 80);
  assert.match(await ends.call(app(), "fd00:5::2", 80), /^out /);
  assert.match(await ends.call(as(1001, "app"), "fd00:5::2", 80), /^target /);
  const verdicts = () => bed.verdicts(pod).map(({ reason }) => reason);
  assert.not(verdicts().includes("excluded-interface"));
  await ends.call(app(), "fd00:6::2", 80);
  assert.ok(verdicts().includes("excluded-interface"));
});

test("inbound from an excluded interface goes to the application", async () => {
  const { addresses } = await (await import("../../src/kernel/native.js")).native().inspectNetns(pod.netns);
  const index = addresses.find(({ interface: name }) => name === "eth0")?.index ?? 0;
  const routes = [{ prefix: prefix("0.0.0.0/0"), excluded: true }];
  await captureInbound({ routes }, { excludedInterfaces: [index] });
  assert.match(await ends.call(client, "10.88.5.1", 8080), /^app /);
  await captureInboundAgain();
  assert.match(await ends.call(client, "10.88.5.1", 8080), /^proxy /);
});

async function captureInboundAgain(): Promise<void> {
  await bed.enrol([[pod, policy(7n), { ...own, captureIpv6: true }]]);
}

test.run();
