import { execFileSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import { parseRoutes4, parseRoutes6, type Route } from "../../src/node/routes.js";

const textOf = (routes: readonly Route[]): string[] =>
  routes.map(({ prefix, interface: name }) => `${formatPrefix(prefix)} ${name}`);

/** Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT, as the kernel prints them. */
const four = (name: string, destination: string, flags: string, metric: number, mask: string): string =>
  [name, destination, "00000000", flags, 0, 0, metric, mask, 0, 0, 0].join("\t").padEnd(127);
const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT".padEnd(127);

const nowhere = `${"0".repeat(32)} 00 ${"0".repeat(32)}`;
const six = (destination: string, length: string, metric: string, flags: string, name: string): string =>
  `${destination} ${length} ${nowhere} ${metric} 00000001 00000000 ${flags} ${name.padStart(8)}`;
const net = `fd000007${"0".repeat(24)}`;

test("IPv4: words are of this machine's order, masks count their bits", () => {
  const lines = [
    header,
    four("eth0", "00000000", "0003", 0, "00000000"),
    four("net1", "0001620A", "0001", 0, "00FFFFFF"),
    four("net1", "0101FEA9", "0005", 0, "FFFFFFFF"),
    four("net2", "0000800A", "0001", 0, "000080FF"),
  ];
  assert.equal(textOf(parseRoutes4(`${lines.join("\n")}\n`)), [
    "0.0.0.0/0 eth0",
    "10.98.1.0/24 net1",
    "169.254.1.1/32 net1",
    "10.128.0.0/9 net2",
  ]);
});

test("IPv4: of several routes to a prefix that with the smallest metric, of equal ones the first", () => {
  const lines = [
    four("eth0", "00000000", "0003", 100, "00000000"),
    four("net1", "00000000", "0003", 50, "00000000"),
    four("net2", "00000000", "0003", 50, "00000000"),
    four("net2", "0000000A", "0001", 0, "000000FF"),
  ];
  assert.equal(textOf(parseRoutes4(lines.join("\n"))), ["0.0.0.0/0 net1", "10.0.0.0/8 net2"]);
});

test("IPv4: routes that are down or reject, and lines of another form, are passed over", () => {
  const lines = [
    four("eth0", "0000000A", "0000", 0, "000000FF"),
    four("*", "0000000A", "0201", 0, "000000FF"),
    four("eth0", "000000A", "0001", 0, "000000FF"),
    four("eth0", "0000000A", "0001", 0, "mask"),
    "eth0",
    "eth0 0000000A 00000000 0001",
    "",
  ];
  assert.equal(parseRoutes4(lines.join("\n")), []);
  assert.equal(parseRoutes4(""), []);
});

test("IPv6: lengths and metrics are hexadecimal", () => {
  const lines = [
    six(net, "40", "00000400", "00000001", "net1"),
    six("0".repeat(32), "00", "00000400", "00000003", "eth0"),
    six(`fd00${"0".repeat(27)}1`, "80", "00000100", "00000001", "eth0"),
    // 0x9 is less than 0x10, which as decimal numbers are 9 and 10 and as text are the other way round.
    six(`fd08${"0".repeat(28)}`, "20", "00000010", "00000001", "eth0"),
    six(`fd08${"0".repeat(28)}`, "20", "00000009", "00000001", "net1"),
  ];
  assert.equal(textOf(parseRoutes6(`${lines.join("\n")}\n`)), [
    "fd00:7::/64 net1",
    "::/0 eth0",
    "fd00::1/128 eth0",
    "fd08::/32 net1",
  ]);
});

test("IPv6: routes that reject, and lines of another form, are passed over", () => {
  const lines = [
    six("0".repeat(32), "00", "ffffffff", "00200200", "lo"),
    six(net, "40", "00000400", "00000000", "eth0"),
    six(net.slice(1), "40", "00000400", "00000001", "eth0"),
    six(net.replace("f", "g"), "40", "00000400", "00000001", "eth0"),
    "x",
    "",
  ];
  assert.equal(parseRoutes6(lines.join("\n")), []);
  assert.equal(parseRoutes6(""), []);
});

test("what this kernel prints of routes that ip(8) has made", () => {
  // A namespace without a name goes with its process.
  const script = `ip link add net1 type veth peer name net2
    ip link set lo up; ip link set net1 up; ip link set net2 up
    ip address add 10.97.0.1/22 dev net1
    ip route add default dev net1 metric 9
    ip route add default dev net2 metric 5
    ip route add unreachable 10.96.0.0/16
    ip route add blackhole 10.95.0.0/16
    ip -6 route add fd97::/48 dev net1
    ip -6 route add unreachable fd96::/48
    cat /proc/self/net/route; echo ---; cat /proc/self/net/ipv6_route`;
  const [ipv4 = "", ipv6 = ""] = execFileSync("unshare", ["--net", "sh", "-ec", script], { encoding: "utf8" }).split(
    "---\n",
  );
  // A black hole bears no flag, and is of an interface that nobody can name.
  assert.equal(textOf(parseRoutes4(ipv4)).sort(), ["0.0.0.0/0 net2", "10.95.0.0/16 *", "10.97.0.0/22 net1"]);
  const found = textOf(parseRoutes6(ipv6));
  assert.ok(found.includes("fd97::/48 net1"), found.join());
  assert.not(found.some((route) => route.startsWith("fd96::")));
});

test.run();
