/** DNS capture: real resolvers in a pod, a real DNS server in the proxy's place. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import type { PodState } from "../../src/maps/state.js";
import type { Policy } from "../../src/model/policy.js";
import { address, policy } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { makeEndpoints, type Place } from "./endpoint.js";
import { makeResolvers, type Resolvers } from "./resolver.js";

let programs: string;
let bed: Bed;
let resolvers: Resolvers;
let pod: LabPod;
const as = (id: number, container: string): Place => ({ pod, container, uid: id, gid: id });
const proxy = (): Place => as(1337, "istio-proxy");
const app = (): Place => as(1000, "app");
/** Nobody is there: only the proxy answers. */
const servers = ["10.96.0.10", "10.96.0.11", "192.0.2.53"] as const;
const inside = "192.0.2.7";
const outside = "198.51.100.9";

test.before(async () => {
  programs = mkdtempSync(join(tmpdir(), "shunt-dns-"));
  chmodSync(programs, 0o755); // the application runs them
  resolvers = await makeResolvers(programs);
});
test.after(() => rmSync(programs, { recursive: true }));

test.before.each(async () => {
  bed = await openBed("dns");
  pod = await bed.lab.pod({ namespace: "a", name: "a", uid: "16-a", address: "10.88.6.1", address6: "fd00:6::1" });
});
test.after.each(() => bed.close());

async function capture(
  changes: Partial<Policy> = {},
  state: Partial<PodState> = {},
  listensOn: readonly string[] = ["127.0.0.1", "::1"],
): Promise<void> {
  const own = { ipv6: address("fd00:6::1"), localAddresses: [address("10.88.6.1"), address("fd00:6::1")] };
  await bed.enrol([[pod, policy(1n, { dns: "all", ...changes }), { ...own, ...state }]]);
  await resolvers.serve(proxy(), listensOn, 15053, inside);
}

/** A DNS server of another pod, which only queries that are not captured reach. */
async function elsewhere(port = 53): Promise<string> {
  const other = await bed.lab.pod({ namespace: "a", name: "b", uid: "16-b", address: "10.88.6.2" });
  await resolvers.serve({ pod: other, container: "app" }, [other.address], port, outside);
  return other.address;
}

const counted = (reason: string): bigint =>
  bed
    .verdicts(pod)
    .filter((entry) => entry.reason === reason)
    .reduce((sum, { count }) => sum + count, 0n);

test("dig hears the server that it asked, over UDP and over TCP", async () => {
  await capture();
  assert.is(await resolvers.dig(app(), "10.96.0.10"), `${inside} by 10.96.0.10#53 over UDP`);
  assert.is(await resolvers.dig(app(), "10.96.0.10", "+tcp"), `${inside} by 10.96.0.10#53 over TCP`);
  assert.is(counted("dns"), 2n);
});

test("over TCP the proxy sees the pod's address and which server was asked", async () => {
  await bed.enrol([[pod, policy(1n, { dns: "all" })]]);
  const ends = await makeEndpoints(bed.lab.directory);
  await ends.listen(proxy(), "dns", "127.0.0.1", 15053);
  assert.match(await ends.call(app(), "10.96.0.10", 53), /^dns 127\.0\.0\.1:15053 10\.88\.6\.1:\d+ 10\.96\.0\.10:53$/);
});

for (const library of ["glibc", "musl"] as const) {
  test(`${library}'s getaddrinfo with one server, and with three`, async () => {
    await capture();
    for (const count of [1, 3])
      assert.equal(await resolvers.lookup(app(), library, servers.slice(0, count)), [inside], `${count}`);
  });

  test(`${library}'s getaddrinfo with servers of both families`, async () => {
    await capture({}, { captureIpv6: true });
    for (const mixed of [
      ["2001:db8::53", servers[0]],
      [servers[0], "2001:db8::53", servers[1]],
      ["2001:db8::53", "2001:db8::54"],
    ])
      assert.equal(await resolvers.lookup(app(), library, mixed), [inside], mixed.join(" "));
  });
}

test("glibc's getaddrinfo, which starts with another server each time", async () => {
  await capture();
  for (let i = 0; i < 4; i++) {
    assert.equal(await resolvers.lookup(app(), "glibc", servers, "rotate timeout:30 attempts:1"), [inside]);
  }
});

test("c-ares with three servers", async () => {
  await capture();
  assert.equal(await resolvers.cares(app(), servers), [inside]);
});

const fromEach = (asked: readonly string[]): string[] =>
  asked.map((server) => `${server.includes(":") ? `[${server}]` : server}:53 ${inside}`);

test("one unconnected socket that asks several servers hears each of them", async () => {
  await capture();
  for (const flags of [[], ["mmsg"]]) {
    assert.equal(await resolvers.ask(app(), ...flags, ...servers), fromEach(servers), flags.join(" "));
  }
  const mapped = servers.map((server) => `::ffff:${server}`);
  assert.equal(await resolvers.ask(app(), "six", "mmsg", ...mapped), fromEach(mapped));
});

test("the same with a proxy that listens on the wildcard address and says which source its answers have", async () => {
  await capture({}, { captureIpv6: true }, []);
  assert.equal(await resolvers.ask(app(), "mmsg", ...servers), fromEach(servers));
  const mixed = [...servers.map((server) => `::ffff:${server}`), "2001:db8::53"];
  assert.equal(await resolvers.ask(app(), "six", ...mixed), fromEach(mixed));
  assert.equal(await resolvers.ask(app(), "connect", ...servers), inTurn(servers, "10.88.6.1"));
  assert.is(await resolvers.dig(app(), servers[0], "+tcp"), `${inside} by ${servers[0]}#53 over TCP`);
});

test("after sixteen servers on one socket the answers come, and that they are not told apart is counted", async () => {
  await capture();
  const many = Array.from({ length: 20 }, (_, i) => `10.96.1.${i + 1}`);
  const heard = await resolvers.ask(app(), ...many);
  assert.equal(heard.slice(0, 16), fromEach(many.slice(0, 16)));
  for (const line of heard.slice(16)) assert.match(line, new RegExp(` ${inside}$`));
  assert.is(bed.counters().get("dns-server-unlisted"), 4n);
});

/** What a socket that is connected to one after the other hears, whom it is connected to, and from where. */
const inTurn = (asked: readonly string[], source: string): string[] =>
  fromEach(asked).map((line) => `${line} ${line.slice(0, line.indexOf(" "))} ${source}`);

test("a connected socket hears its peer, tells the pod's address, and can be connected to another", async () => {
  await capture({}, { captureIpv6: true });
  assert.equal(await resolvers.ask(app(), "connect", ...servers), inTurn(servers, "10.88.6.1"));
  const six = ["2001:db8::53", "2001:db8::54"];
  assert.equal(await resolvers.ask(app(), "six", "connect", ...six), inTurn(six, "[fd00:6::1]"));
  const mapped = servers.map((server) => `::ffff:${server}`);
  assert.equal(await resolvers.ask(app(), "six", "connect", ...mapped), inTurn(mapped, "[::ffff:10.88.6.1]"));
});

test("a socket that has asked one server and is then connected to another hears that one", async () => {
  await capture();
  const [first, ...others] = servers;
  const heard = await resolvers.ask(app(), `first=${first}`, "connect", ...others);
  // It has a port by then, and the kernel gives it its address.
  assert.equal(heard, [...fromEach([first]), ...inTurn(others, "127.0.0.1")]);
});

test("an IPv6 server", async () => {
  await capture({}, { captureIpv6: true });
  assert.equal(await resolvers.ask(app(), "six", "2001:db8::53"), fromEach(["2001:db8::53"]));
  assert.is(await resolvers.dig(app(), "2001:db8::53"), `${inside} by 2001:db8::53#53 over UDP`);
  assert.is(await resolvers.dig(app(), "2001:db8::53", "+tcp"), `${inside} by 2001:db8::53#53 over TCP`);
});

test("a mixed socket hears each IPv4 server, and the IPv6 server that it asked last", async () => {
  await capture({}, { captureIpv6: true });
  const mixed = ["::ffff:10.96.0.10", "2001:db8::53", "::ffff:10.96.0.11"];
  assert.equal(await resolvers.ask(app(), "six", ...mixed), fromEach(mixed));
  // A limit: an IPv6 source cannot say which, for loopback has but one address.
  assert.equal(
    await resolvers.ask(app(), "six", "2001:db8::53", "2001:db8::54"),
    fromEach(["2001:db8::54", "2001:db8::54"]),
  );
});

test("a socket that is bound to the pod's address hears the server that it asked last", async () => {
  await capture({}, { captureIpv6: true });
  assert.equal(await resolvers.ask(app(), "from=10.88.6.1", servers[0]), fromEach([servers[0]]));
  assert.equal(await resolvers.ask(app(), "six", "from=fd00:6::1", "2001:db8::53"), fromEach(["2001:db8::53"]));
});

test("the proxy's own queries go out", async () => {
  await capture();
  const server = await elsewhere();
  for (const flag of ["+notcp", "+tcp"]) {
    assert.match(await resolvers.dig(app(), server, flag), new RegExp(`^${inside} `));
    assert.match(await resolvers.dig(proxy(), server, flag), new RegExp(`^${outside} by ${server}#53 `));
  }
  assert.equal(await resolvers.ask(proxy(), "connect", server), [`${server}:53 ${outside} ${server}:53 10.88.6.1`]);
});

test("without DNS capture, and with port 53 excluded, queries go out", async () => {
  const ports = [{ direction: "outbound", port: 53, action: "bypass", reason: "excluded-port" }] as const;
  await capture({ ports });
  const server = await elsewhere();
  assert.match(await resolvers.dig(app(), server), new RegExp(`^${outside} by ${server}#53 `));
  await bed.enrol([[pod, policy(2n, { dns: "off" })]]);
  assert.match(await resolvers.dig(app(), server), new RegExp(`^${outside} by ${server}#53 `));
});

test("of the servers in resolv.conf alone, where only they are captured", async () => {
  const server = await elsewhere();
  await capture({ dns: "resolv-conf" }, { dnsServers: [address("10.96.0.10")] });
  assert.is(await resolvers.dig(app(), "10.96.0.10"), `${inside} by 10.96.0.10#53 over UDP`);
  assert.is(await resolvers.dig(app(), server), `${outside} by ${server}#53 over UDP`);
  const both = ["10.96.0.10", server];
  assert.equal(await resolvers.ask(app(), "connect", ...both), [
    `10.96.0.10:53 ${inside} 10.96.0.10:53 10.88.6.1`,
    `${server}:53 ${outside} ${server}:53 10.88.6.1`,
  ]);
  assert.equal(await resolvers.ask(app(), ...both), [`10.96.0.10:53 ${inside}`, `${server}:53 ${outside}`]);
});

test("other datagrams are left alone, whoever they come from", async () => {
  await capture();
  const server = await elsewhere(5353);
  const heard = [`${server}:5353 ${outside}`];
  assert.equal(await resolvers.ask(app(), "port=5353", server), heard);
  assert.equal(await resolvers.ask(app(), "port=5353", "connect", server), [`${heard[0]} ${server}:5353 10.88.6.1`]);
  const stray = "stray from 127.64.0.9:15053";
  assert.equal(await resolvers.ask(app(), "stray=127.64.0.9", "port=5353", server), [stray, ...heard, stray]);
  assert.equal(await resolvers.ask(app(), "stray=127.64.0.9", servers[0]), [stray, ...fromEach([servers[0]]), stray]);
});

test.run();
