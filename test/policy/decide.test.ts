import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Reason } from "../../src/model/verdict.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { type Decision, decideInbound, decideOutbound, type OutboundSocket } from "../../src/policy/decide.js";
import type { Settings } from "../../src/policy/settings.js";
import { anyPod, anyPort, anySettings, anySocket } from "./arbitrary.js";
import { address, defaults, ranges } from "./kit.js";
import { inbound, outbound } from "./list.js";

const pod = { captureIpv6: true, localAddresses: [address("10.9.9.9"), address("fd00::2")] };

interface Call {
  readonly settings?: Partial<Settings>;
  readonly from?: string;
  readonly to: string;
  readonly port?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly udp?: boolean;
  readonly inProxy?: boolean;
}

function decide(call: Call): Decision {
  const socket: OutboundSocket = {
    protocol: call.udp === true ? "udp" : "tcp",
    source: call.from === undefined ? undefined : address(call.from),
    destination: address(call.to),
    port: call.port ?? 80,
    uid: call.uid ?? 1000,
    gid: call.gid ?? 1000,
    isProxyCgroup: call.inProxy ?? false,
  };
  return decideOutbound(compilePolicy({ ...defaults, ...call.settings }), pod, socket);
}

const proxy = { uid: 1337, gid: 1337 };
const only10 = { includeOutboundRanges: ranges("10.0.0.0/8") };
const keepLocal = { includeOutboundRanges: ranges("127.0.0.0/8,10.0.0.0/8") };

/** Each line of the list, and the table of semantics, section 4. */
// biome-ignore format: one case a line
const table: [string, Call, number | null, Reason][] = [
  ["app to a service", { to: "10.96.0.1" }, 15001, "included-all"],
  ["app to a service, IPv6", { to: "2001:db8::1" }, 15001, "included-all"],
  ["a v4-mapped destination is IPv4", { to: "::ffff:10.96.0.1", settings: only10 }, 15001, "included-range"],
  ["app to its own address", { to: "10.9.9.9" }, null, "local-address"],
  ["app to its own address, IPv6", { to: "fd00::2" }, null, "local-address"],
  ["app to 127.0.0.1", { to: "127.0.0.1" }, null, "loopback"],
  ["app to 127.x", { to: "127.3.2.1" }, null, "loopback"],
  ["app to ::1", { to: "::1" }, null, "loopback"],
  ["app to 0.0.0.0", { to: "0.0.0.0" }, null, "loopback"],
  ["app to ::", { to: "::" }, null, "loopback"],
  ["app to the proxy's port", { to: "127.0.0.1", port: 15001 }, null, "loopback"],
  ["an excluded port", { to: "10.96.0.1", port: 15020 }, null, "excluded-port"],
  ["an excluded port, UDP", { to: "10.96.0.1", port: 15020, udp: true }, null, "excluded-port"],
  ["an excluded port of the proxy to itself", { to: "10.9.9.9", port: 15020, ...proxy }, null, "excluded-port"],
  ["UDP", { to: "10.96.0.1", port: 53, udp: true }, null, "not-tcp"],
  ["UDP to itself", { to: "10.9.9.9", udp: true }, null, "local-address"],
  ["proxy to a service", { to: "10.96.0.1", ...proxy }, null, "proxy"],
  ["proxy to itself", { to: "10.9.9.9", ...proxy }, 15006, "proxy-to-self"],
  ["proxy to itself, IPv6", { to: "fd00::2", ...proxy }, 15006, "proxy-to-self"],
  ["proxy to itself by the cgroup alone", { to: "10.9.9.9", inProxy: true }, 15006, "proxy-to-self"],
  ["proxy to itself, tunnelled", { to: "10.9.9.9", port: 15008, ...proxy }, null, "tunnel-port"],
  ["proxy to itself, UDP", { to: "10.9.9.9", udp: true, ...proxy }, null, "proxy"],
  ["proxy to another 127.x: istio-validation", { to: "127.0.0.6", port: 15002, from: "127.0.0.1", ...proxy }, 15006, "proxy-to-self"],
  ["proxy to 127.0.0.1", { to: "127.0.0.1", ...proxy }, null, "proxy"],
  ["proxy to 0.0.0.0, which is 127.0.0.1", { to: "0.0.0.0", ...proxy }, null, "proxy"],
  ["proxy bound to the pod's address to 0.0.0.0, which is that address", { to: "0.0.0.0", from: "10.9.9.9", ...proxy }, 15006, "proxy-to-self"],
  ["proxy to ::1", { to: "::1", ...proxy }, null, "proxy"],
  ["proxy to ::", { to: "::", ...proxy }, null, "proxy"],
  ["proxy to another pod, tunnelled", { to: "10.0.0.9", port: 15008, ...proxy }, null, "proxy"],
  ["proxy from 127.0.0.6 to the app", { to: "10.9.9.9", from: "127.0.0.6", ...proxy }, null, "passthrough-source"],
  ["proxy from ::6 to the app", { to: "fd00::2", from: "::6", ...proxy }, null, "passthrough-source"],
  ["127.0.0.6 to elsewhere is nothing special", { to: "10.96.0.1", from: "127.0.0.6" }, 15001, "included-all"],
  ["another uid with the proxy's gid to itself", { to: "10.9.9.9", uid: 1000, gid: 1337 }, null, "local-address"],
  ["another uid with the proxy's gid to a service", { to: "10.96.0.1", uid: 1000, gid: 1337 }, null, "proxy"],
  ["the gid to itself where local destinations are kept", { to: "10.9.9.9", gid: 1337, settings: keepLocal }, 15006, "proxy-to-self"],
  ["app to itself where local destinations are kept", { to: "10.9.9.9", settings: keepLocal }, 15001, "included-range"],
  ["app to 127.0.0.2 where they are kept", { to: "127.0.0.2", settings: keepLocal }, 15001, "included-range"],
  ["app to 127.0.0.1 where they are kept", { to: "127.0.0.1", settings: keepLocal }, null, "loopback"],
  ["app to 0.0.0.0 where they are kept", { to: "0.0.0.0", settings: keepLocal }, null, "loopback"],
  ["not included", { to: "11.0.0.1", settings: only10 }, null, "not-included"],
  ["nothing included", { to: "11.0.0.1", settings: { includeOutboundRanges: [] } }, null, "not-included"],
  ["an included port joins the ranges", { to: "11.0.0.1", settings: { ...only10, includeOutboundPorts: [80] } }, 15001, "included-port"],
  ["an excluded port beats an included one", { to: "11.0.0.1", settings: { includeOutboundPorts: [80], excludeOutboundPorts: [80] } }, null, "excluded-port"],
  ["an excluded range", { to: "10.1.2.3", settings: { excludeOutboundRanges: ranges("10.1.0.0/16") } }, null, "excluded-range"],
  ["an excluded range beats an included port", { to: "10.1.2.3", settings: { includeOutboundPorts: [80], excludeOutboundRanges: ranges("10.1.0.0/16") } }, null, "excluded-range"],
  ["an include inside an exclude is an exclude", { to: "10.1.2.3", settings: { includeOutboundRanges: ranges("10.1.2.0/24"), excludeOutboundRanges: ranges("10.1.0.0/16") } }, null, "excluded-range"],
  ["equal prefixes are an exclude", { to: "10.1.2.3", settings: { includeOutboundRanges: ranges("10.0.0.0/8"), excludeOutboundRanges: ranges("10.0.0.0/8") } }, null, "excluded-range"],
  ["::/0 holds no IPv4", { to: "10.1.2.3", settings: { includeOutboundRanges: ranges("::/0") } }, null, "not-included"],
  ["an IPv4-in-IPv6 prefix holds no IPv4", { to: "10.1.2.3", settings: { excludeOutboundRanges: ranges("::ffff:10.0.0.0/104") } }, 15001, "included-all"],
];

test("each line of the list", () => {
  for (const [what, call, to, reason] of table) {
    const decision = decide(call);
    assert.equal([decision.to, decision.reason], [to, reason], what);
    assert.is(decision.verdict, to === null ? "bypass" : "redirect", what);
  }
});

test("the rule that decided is named", () => {
  const settings = { excludeOutboundRanges: ranges("10.1.0.0/16") };
  assert.equal(decide({ to: "10.1.2.3", settings }).rule, {
    prefix: ranges("10.1.0.0/16")[0]?.prefix,
    action: "bypass",
    reason: "excluded-range",
  });
  assert.equal(decide({ to: "10.1.2.3", port: 15020 }).rule, {
    direction: "outbound",
    port: 15020,
    action: "bypass",
    reason: "excluded-port",
  });
  assert.is(decide({ to: "10.1.2.3" }).rule, undefined);
});

test("the compiled policy decides as the list does", () => {
  fc.assert(
    fc.property(
      anySettings,
      anyPod,
      fc.array(anySocket, { minLength: 1, maxLength: 4 }),
      fc.constantFrom("all", "resolv-conf"),
      (settings, facts, sockets, dns) => {
        const policy = compilePolicy(settings, dns);
        for (const socket of sockets) {
          const { to, reason, verdict } = decideOutbound(policy, facts, socket);
          assert.equal({ to, reason }, outbound(settings, facts, socket, undefined, dns === "all"));
          assert.is(verdict, to === null ? "bypass" : "redirect");
        }
      },
    ),
    { numRuns: 5000 },
  );
});

test("every reason that the list can give is met by the property", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(anySettings, anyPod, anySocket, (settings, facts, socket) => {
      seen.add(outbound(settings, facts, socket).reason);
    }),
    { numRuns: 3000, seed: 1 },
  );
  const expected: Reason[] = [
    "proxy",
    "proxy-to-self",
    "passthrough-source",
    "loopback",
    "local-address",
    "excluded-port",
    "excluded-range",
    "included-port",
    "included-range",
    "included-all",
    "not-included",
    "not-tcp",
    "tunnel-port",
    "family-off",
    "owner-group",
    "dns",
  ];
  assert.equal([...seen].sort(), expected.sort());
});

test("inbound: the compiled policy decides as the list does", () => {
  fc.assert(
    fc.property(anySettings, anyPort, (settings, port) => {
      const { to, reason } = decideInbound(compilePolicy(settings), { localAddresses: [] }, { port });
      assert.equal({ to, reason }, inbound(settings, port));
    }),
    { numRuns: 2000 },
  );
});

test("inbound: the cases of the contract", () => {
  const decide = (settings: Partial<Settings>, port: number): [number | null, Reason] => {
    const { to, reason } = decideInbound(compilePolicy({ ...defaults, ...settings }), { localAddresses: [] }, { port });
    return [to, reason];
  };
  assert.equal(decide({}, 8080), [15006, "included-all"]);
  for (const port of [15020, 15021, 15090]) assert.equal(decide({}, port), [null, "excluded-port"]);
  assert.equal(decide({}, 15008), [null, "tunnel-port"]);
  assert.equal(decide({ includeInboundPorts: [15008, 80] }, 15008), [null, "tunnel-port"]);
  assert.equal(decide({ includeInboundPorts: [80] }, 80), [15006, "included-port"]);
  assert.equal(decide({ includeInboundPorts: [80] }, 81), [null, "not-included"]);
  assert.equal(decide({ includeInboundPorts: [80, 15020], excludeInboundPorts: [80, 15020] }, 15020), [
    15006,
    "included-port",
  ]);
  assert.equal(decide({ includeInboundPorts: [] }, 80), [null, "not-included"]);
});

test.run();
