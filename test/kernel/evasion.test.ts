/** No way around: what an application may try so that its connection does not go to the proxy. */
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, launch, outcomeOf } from "../../src/demo/process.js";
import { policy } from "../samples.js";
import type { Place } from "./endpoint.js";
import { addresses, as, captured, type EvasionBed, four, linkLocalOf, openEvasionBed, six } from "./evasionBed.js";

let bed: EvasionBed;
let pod: LabPod;
let other: LabPod;
test.before.each(async () => {
  bed = await openEvasionBed("evasion");
  ({ pod, other } = bed);
});
test.after.each(() => bed.close());
const app = (): Place => as(1000, "app", pod);
const root = (): Place => as(0, "app", pod);

/** Mode, EXTRA for IPv4, EXTRA for IPv6, and what the caller has to be: 1000 is an application without capabilities. */
const ways: readonly (readonly [string, string?, string?, Place["uid"]?])[] = [
  ["plain"],
  ["nonblock"],
  ["twice"],
  ["unspec"],
  ["flip", "127.0.0.1", "::1"],
  ["bound", four.own, six.own],
  ["bound", "0.0.0.0", "::"],
  ["fastopen"],
  ["fastopen-connect"],
  ["mptcp"],
  ["mptcp-unspec"],
  ["mptcp-fastopen"],
  ["uring"],
  ["uring-worker"],
  ["uring-thread"],
  ["fork"],
  ["vfork"],
  ["thread"],
  ["unshare"],
  ["mark", "", "", 0],
  ["uid", "", "", 0],
  ["cgroup", "", "", 0],
];

for (const [family, { target }, column] of [
  ["IPv4", four, 1],
  ["IPv6", six, 2],
] as const) {
  test(`${family}: each way ends at the proxy, which learns what was asked`, async () => {
    await bed.startProxy();
    await bed.startTarget();
    for (const way of ways) {
      const [mode] = way;
      const extra = mode === "cgroup" ? pod.container("app").cgroup : way[column];
      const said = await bed.evade(way[3] === 0 ? root() : app(), mode, target, 80, extra);
      assert.match(said, captured(target), `${mode} ${extra ?? ""}`);
    }
  });
}

test("the proxy's MPTCP listener: every pair of protocols learns what was asked", async () => {
  await bed.startProxy(pod, "mptcp");
  for (const { target } of [four, six])
    for (const mode of ["plain", "mptcp", "mptcp-fastopen"])
      assert.match(await bed.evade(app(), mode, target, 80), captured(target), mode);
});

test("other spellings of a destination: v4-mapped, IPv4-compatible, scoped", async () => {
  await bed.startProxy();
  await bed.startTarget();
  for (const mode of ["plain", "mptcp", "fastopen", "uring"])
    assert.match(
      await bed.evade(app(), mode, `::ffff:${four.target}`, 80),
      captured(four.target, `::ffff:${four.target}`),
    );
  // RFC 4291, 2.5.5.1: deprecated, an IPv6 address like any other.
  assert.match(await bed.evade(app(), "plain", `::${four.target}`, 80), captured(`::${four.target}`));
  const linkLocal = await linkLocalOf(other);
  assert.match(await bed.evade(app(), "plain", `${linkLocal}%eth0`, 80), captured(linkLocal));
});

test("what cannot be led to the proxy reaches nobody", async () => {
  await bed.startProxy();
  await bed.startTarget();
  await Promise.all(
    (
      [
        // The kernel looks for a way to the proxy on that device. With iptables it is the same.
        [app(), "device", four.target, "lo", "EINPROGRESS"],
        [app(), "device", four.target, "eth0", "EINPROGRESS"],
        [app(), "device", six.target, "eth0", "EINPROGRESS"],
        // The proxy's answer goes to an address that is not the pod's.
        [root(), "transparent", four.target, "10.88.7.9", "EINPROGRESS"],
        [root(), "transparent", six.target, "fd00:7::9", "EINPROGRESS"],
        // The packets go to the hop, and name the proxy as where they have to go from there.
        [root(), "source-route", four.target, four.target, "EINPROGRESS"],
        [app(), "unshare-before", four.target, "", "ENETUNREACH"],
      ] as const
    ).map(async ([place, mode, to, extra, error]) =>
      assert.is(await bed.evade(place, mode, to, 80, extra), error, `${mode} ${to} ${extra}`),
    ),
  );
});

test("a socket of another pod goes to that pod's proxy, by that pod's rules", async () => {
  await bed.startProxy();
  await bed.startProxy(other);
  await bed.ends.listen(as(0, "app", pod), "mine", "::", 80);
  await bed.enrol([[other, policy(2n), addresses(2)]]);
  for (const [family, { own, target }] of [
    ["4", four],
    ["6", six],
  ] as const) {
    const path = await bed.giver(other, family);
    const said = await bed.evade(app(), "take", own, 80, path);
    assert.match(said, captured(own));
    assert.ok(said.includes(family === "6" ? ` [${target}]:` : ` ${target}:`), `the other pod's address: ${said}`);
  }
  assert.equal([bed.told(pod), bed.told(other)], [[], ["redirect included-all 2"]]);
});

test("connect() beside a policy that flips: 2,000 calls, none of them passes", async () => {
  await bed.startProxy();
  await bed.startTarget();
  let flips = 0;
  const calls = bed.evade(app(), "race", four.target, 80, "2000");
  let over = false;
  const done = calls.finally(() => {
    over = true;
  });
  const byPort = { direction: "outbound", port: 80, action: "redirect", reason: "included-port" } as const;
  const settings = [policy(3n, { captureOtherOutbound: false, ports: [byPort] }), policy(1n)] as const;
  // Without its own rules the first would let it pass.
  while (!over) await bed.enrol([[pod, settings[flips++ % 2 === 0 ? 0 : 1], addresses(1)]]);
  assert.is(await done, "proxy 2000");
  assert.ok(flips > 2, `${flips}`);
});

test("a stale hand-off: who uses its tuple next is not taken for the earlier call", async () => {
  // Nobody listens, so what is published is never taken.
  assert.is(await bed.evade(app(), "bound", "203.0.113.9", 80, four.own), "ECONNREFUSED");
  const stale = () => bed.datapath.maps.handoff.entries().count;
  assert.is(stale(), 1);
  await bed.startProxy();
  // It passes, because it asks for loopback: no original destination.
  assert.match(await bed.evade(app(), "bound", "127.0.0.1", 15001, four.own), / proxy \S+ 10\.88\.7\.1:20001 E[A-Z]+$/);
  assert.is(stale(), 0);
  assert.match(await bed.evade(app(), "bound", four.target, 80, four.own), captured(four.target));
});

test("a socket on which nothing can be stored is refused, and counted", async () => {
  await bed.startProxy();
  const fill = join(bed.lab.directory, "optmem");
  await command(["gcc", "-O2", "-o", fill, new URL("optmem.c", import.meta.url).pathname]);
  const { stdout } = await pod.exec([fill, four.target, "80"], { container: "app", uid: 1000, gid: 1000 });
  assert.is(stdout, "ENOMEM\n");
  assert.equal(
    bed.verdicts(pod).map(({ verdict, reason }) => `${verdict} ${reason}`),
    ["deny no-memory"],
  );
});

test("inbound: none of the ways gets past the proxy, or to an application that pretends to be it", async () => {
  const client = as(0, "app", other);
  const calls = ["plain", "fastopen", "fastopen-connect", "mptcp", "mptcp-fastopen", "uring", "mark"];
  await bed.ends.listen(app(), "app", "::", 8080);
  // Two pods share no link; the node has one with each.
  const scoped = `${await linkLocalOf(pod)}%pod1`;
  const fromNode = async (mode: string) => {
    const place = { cgroup: other.container("app").cgroup, netns: bed.lab.node };
    return (await outcomeOf(launch(place, [bed.program, mode, scoped, "8080"], {}))).stdout.trim();
  };
  await bed.ends.listen(app(), "app", "0.0.0.0", 8081, "mptcp");
  const impostor = await bed.ends.listen(app(), "app", "0.0.0.0", 15006, "reuseport");
  bed.steerInbound(pod);
  for (const to of [four.own, six.own])
    assert.is(await bed.evade(client, "plain", to, 8080), "ECONNREFUSED", `${to}, before the proxy listens`);
  assert.is(await fromNode("plain"), "ECONNREFUSED");
  await impostor.end();
  await bed.ends.listen(as(1337, "istio-proxy", pod), "proxy", "::", 15006, "reuseport");
  for (const mode of calls) {
    for (const to of [four.own, six.own])
      assert.match(await bed.evade(client, mode, to, 8080), / proxy /, `${mode} ${to}`);
    assert.match(await fromNode(mode), / proxy /, `${mode} ${scoped}`);
  }
  assert.match(await bed.evade(client, "mptcp", four.own, 8081), / proxy /);
  assert.match(await bed.evade(client, "bound", four.own, 8080, four.target), / proxy /);
});

test.run();
