/** No way around: what an application may try so that its connection does not go to the proxy. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine, launch, outcomeOf } from "../../src/demo/process.js";
import { native } from "../../src/kernel/native.js";
import { addressFromBytes, formatAddress } from "../../src/model/address.js";
import { address, policy } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { type Endpoints, makeEndpoints, type Place } from "./endpoint.js";

let bed: Bed;
let ends: Endpoints;
let program: string;
let pod: LabPod;
let other: LabPod;
const four = { own: "10.88.7.1", target: "10.88.7.2" };
const six = { own: "fd00:7::1", target: "fd00:7::2" };
const addresses = (n: number) => ({
  ipv6: address(`fd00:7::${n}`),
  localAddresses: [address(`10.88.7.${n}`), address(`fd00:7::${n}`)],
  captureIpv6: true,
});

test.before.each(async () => {
  bed = await openBed("evasion");
  ends = await makeEndpoints(bed.lab.directory);
  program = join(bed.lab.directory, "evasion");
  const source = new URL("evasion.c", import.meta.url).pathname;
  await command(["gcc", "-O2", "-pthread", "-o", program, source]);
  const make = (n: number) =>
    bed.lab.pod({ namespace: "a", name: `p${n}`, uid: `17-${n}`, address: `10.88.7.${n}`, address6: `fd00:7::${n}` });
  [pod, other] = await Promise.all([make(1), make(2)]);
  // Data in every SYN, and taken by every listener: net.ipv4.tcp_fastopen, Documentation/networking/ip-sysctl.rst.
  for (const each of [pod, other])
    await each.exec(["sh", "-c", "echo 0x607 > /proc/sys/net/ipv4/tcp_fastopen"], { container: "pause" });
  await bed.enrol([[pod, policy(1n), addresses(1)]]);
});
test.after.each(() => bed.close());

const as = (id: number, container: string, of = pod): Place => ({ pod: of, container, uid: id, gid: id });
const app = (): Place => as(1000, "app");
const root = (): Place => as(0, "app");

async function startProxy(of = pod, ...flags: string[]): Promise<void> {
  await ends.listen(as(1337, "istio-proxy", of), "proxy", "127.0.0.1", 15001, ...flags);
  await ends.listen(as(1337, "istio-proxy", of), "proxy", "::1", 15001, ...flags);
}

/** @returns what the application saw: its peer, then what it heard; or an errno's name. */
async function evade(place: Place, mode: string, to: string, port: number, extra = ""): Promise<string> {
  const { pod, ...ids } = place;
  const { stdout, stderr } = await pod.exec([program, mode, to, `${port}`, extra], { ...ids, timeout: 20_000 });
  return (stdout + stderr).trim();
}

const show = (host: string, port: number): string => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
/** The application's peer and the proxy's original destination are what was asked for. */
const captured = (to: string, peer = to): RegExp =>
  new RegExp(`^${peer} 80 proxy \\S+ \\S+ ${show(to, 80).replace(/[[\].]/g, "\\$&")}$`);

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
    await startProxy();
    await ends.listen(as(0, "app", other), "target", "::", 80);
    for (const way of ways) {
      const [mode] = way;
      const extra = mode === "cgroup" ? pod.container("app").cgroup : way[column];
      const said = await evade(way[3] === 0 ? root() : app(), mode, target, 80, extra);
      assert.match(said, captured(target), `${mode} ${extra ?? ""}`);
    }
  });
}

test("the proxy's MPTCP listener: every pair of protocols learns what was asked", async () => {
  await startProxy(pod, "mptcp");
  for (const { target } of [four, six])
    for (const mode of ["plain", "mptcp", "mptcp-fastopen"])
      assert.match(await evade(app(), mode, target, 80), captured(target), mode);
});

test("other spellings of a destination: v4-mapped, IPv4-compatible, scoped", async () => {
  await startProxy();
  await ends.listen(as(0, "app", other), "target", "::", 80);
  for (const mode of ["plain", "mptcp", "fastopen", "uring"])
    assert.match(await evade(app(), mode, `::ffff:${four.target}`, 80), captured(four.target, `::ffff:${four.target}`));
  // RFC 4291, 2.5.5.1: deprecated, an IPv6 address like any other.
  assert.match(await evade(app(), "plain", `::${four.target}`, 80), captured(`::${four.target}`));
  const linkLocal = await linkLocalOf(other);
  assert.match(await evade(app(), "plain", `${linkLocal}%eth0`, 80), captured(linkLocal));
});

async function linkLocalOf(pod: LabPod): Promise<string> {
  const { addresses } = await native().inspectNetns(pod.netns);
  const bytes = addresses.find(({ address }) => address[0] === 0xfe && address[1] === 0x80)?.address;
  return formatAddress(addressFromBytes(bytes ?? new Uint8Array(16)));
}

test("what cannot be led to the proxy reaches nobody", async () => {
  await startProxy();
  await ends.listen(as(0, "app", other), "target", "::", 80);
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
      assert.is(await evade(place, mode, to, 80, extra), error, `${mode} ${to} ${extra}`),
    ),
  );
});

/** Passes sockets of where it runs to who asks. @returns the path to ask at. */
async function giver(pod: LabPod, family: "4" | "6", cgroup = pod.container("app").cgroup): Promise<string> {
  const path = join(bed.lab.directory, `give${family}`);
  await firstLine(launch({ cgroup, netns: pod.netns }, [program, "give", path, family], {}));
  return path;
}

test("a socket of another pod goes to that pod's proxy, by that pod's rules", async () => {
  await startProxy();
  await startProxy(other);
  await ends.listen(as(0, "app"), "mine", "::", 80);
  await bed.enrol([[other, policy(2n), addresses(2)]]);
  for (const [family, { own, target }] of [
    ["4", four],
    ["6", six],
  ] as const) {
    const path = await giver(other, family);
    const said = await evade(app(), "take", own, 80, path);
    assert.match(said, captured(own));
    assert.ok(said.includes(` ${show(target, 0).slice(0, -1)}`), `the other pod's address: ${said}`);
  }
  const told = (of: LabPod) => bed.verdicts(of).map(({ verdict, reason, count }) => `${verdict} ${reason} ${count}`);
  assert.equal([told(pod), told(other)], [[], ["redirect included-all 2"]]);
});

test("connect() beside a policy that flips: 2,000 calls, none of them passes", async () => {
  await startProxy();
  await ends.listen(as(0, "app", other), "target", "::", 80);
  let flips = 0;
  const calls = evade(app(), "race", four.target, 80, "2000");
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
  assert.is(await evade(app(), "bound", "203.0.113.9", 80, four.own), "ECONNREFUSED");
  const stale = () => bed.datapath.maps.handoff.entries().count;
  assert.is(stale(), 1);
  await startProxy();
  // It passes, because it asks for loopback: no original destination.
  assert.match(await evade(app(), "bound", "127.0.0.1", 15001, four.own), / proxy \S+ 10\.88\.7\.1:20001 E[A-Z]+$/);
  assert.is(stale(), 0);
  assert.match(await evade(app(), "bound", four.target, 80, four.own), captured(four.target));
});

test("a socket on which nothing can be stored is refused, and counted", async () => {
  await startProxy();
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
  await ends.listen(app(), "app", "::", 8080);
  // Two pods share no link; the node has one with each.
  const scoped = `${await linkLocalOf(pod)}%pod1`;
  const fromNode = async (mode: string) => {
    const place = { cgroup: other.container("app").cgroup, netns: bed.lab.node };
    return (await outcomeOf(launch(place, [program, mode, scoped, "8080"], {}))).stdout.trim();
  };
  await ends.listen(app(), "app", "0.0.0.0", 8081, "mptcp");
  const impostor = await ends.listen(app(), "app", "0.0.0.0", 15006, "reuseport");
  bed.steerInbound(pod);
  for (const to of [four.own, six.own])
    assert.is(await evade(client, "plain", to, 8080), "ECONNREFUSED", `${to}, before the proxy listens`);
  assert.is(await fromNode("plain"), "ECONNREFUSED");
  await impostor.end();
  await ends.listen(as(1337, "istio-proxy"), "proxy", "::", 15006, "reuseport");
  for (const mode of calls) {
    for (const to of [four.own, six.own]) assert.match(await evade(client, mode, to, 8080), / proxy /, `${mode} ${to}`);
    assert.match(await fromNode(mode), / proxy /, `${mode} ${scoped}`);
  }
  assert.match(await evade(client, "mptcp", four.own, 8081), / proxy /);
  assert.match(await evade(client, "bound", four.own, 8080, four.target), / proxy /);
});

test("LIMIT: a socket that was made outside the pods' root, and passed in, is not seen", async () => {
  await startProxy();
  await ends.listen(as(0, "app", other), "target", "::", 80);
  const outside = join(dirname(bed.lab.cgroupRoot), "outside");
  mkdirSync(outside);
  assert.match(await evade(app(), "take", four.target, 80, await giver(pod, "4", outside)), / target /);
  assert.equal(bed.verdicts(pod), []);
});

test("LIMIT: so is one of a pod that is not enrolled", async () => {
  await startProxy();
  await ends.listen(as(0, "app"), "mine", "0.0.0.0", 80);
  assert.match(await evade(app(), "take", four.own, 80, await giver(other, "4")), / mine /);
  assert.equal(
    bed.verdicts(pod).map(({ verdict, reason }) => `${verdict} ${reason}`),
    ["bypass foreign-netns"],
  );
});

test("LIMIT: whoever can become the proxy's user passes, unless the proxy is told by its cgroup", async () => {
  await startProxy();
  await ends.listen(as(0, "app", other), "target", "::", 80);
  const { cgroupId } = pod.container("istio-proxy");
  assert.match(await evade(as(1337, "app"), "plain", four.target, 80), / target /);
  await bed.enrol([[pod, policy(1n), { ...addresses(1), proxyCgroupId: cgroupId, proxyCgroupOnly: true }]]);
  assert.match(await evade(as(1337, "app"), "plain", four.target, 80), captured(four.target));
});

test.run();
