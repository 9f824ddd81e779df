import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultMesh, type Mesh } from "../../src/model/mesh.js";
import { describeProblem } from "../../src/model/problem.js";
import { outboundModes } from "../../src/model/sidecar.js";
import type { Reason } from "../../src/model/verdict.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { decideInbound, decideOutbound } from "../../src/policy/decide.js";
import type { Settings } from "../../src/policy/settings.js";
import { sidecarCapture } from "../../src/policy/sidecarCapture.js";
import { anyPod, anyPort, anySettings, anySidecar, anySocket } from "./arbitrary.js";
import { address, defaults, ranges, sidecar } from "./kit.js";
import { inbound, outbound } from "./list.js";

const closedMesh: Mesh = { ...defaultMesh, outboundMode: "REGISTRY_ONLY" };
const app = { protocol: "tcp", source: undefined, uid: 1000, gid: 1000, isProxyCgroup: false } as const;

function policyOf(spec: string, changes: Partial<Settings> = {}, mesh = defaultMesh) {
  const settings = { ...defaults, ...changes };
  const { capture, problems } = sidecarCapture(sidecar(spec), mesh, settings, "ns/p");
  return { policy: compilePolicy({ ...settings, sidecar: capture }), problems: problems.map(describeProblem) };
}

const out = (...ports: string[]): string => `{egress: [${ports.join(", ")}]}`;
const on = (port: number, mode: string, rest = ""): string =>
  `{port: {number: ${port}}, captureMode: ${mode}, hosts: ['*/*']${rest}}`;
const rest = (mode: string): string => `{captureMode: ${mode}, hosts: ['*/*']}`;
const ten = { includeOutboundRanges: ranges("10.0.0.0/8") };

/** To 10.96.0.1 on each port: what the Sidecar and the annotations make of it. */
// biome-ignore format: a table
const table: readonly (readonly [what: string, spec: string, settings: Partial<Settings>, ...said: (readonly [number, Reason])[]])[] = [
  ["a port passes", out(on(3306, "NONE")), {}, [3306, "sidecar-none"], [80, "included-all"]],
  ["DEFAULT and IPTABLES change nothing", out(on(3306, "DEFAULT"), on(3307, "IPTABLES")), {}, [3306, "included-all"], [3307, "included-all"]],
  ["the rest passes", out(rest("NONE")), {}, [80, "sidecar-none"], [15020, "excluded-port"]],
  ["the rest passes, but for ports of another mode", out(on(80, "IPTABLES"), on(81, "DEFAULT"), on(82, "NONE"), rest("NONE")), {}, [80, "included-all"], [81, "included-all"], [82, "sidecar-none"], [83, "sidecar-none"]],
  ["a port passes, the rest does not", out(on(80, "NONE"), rest("IPTABLES")), {}, [80, "sidecar-none"], [81, "included-all"]],
  ["an unix socket is no port", out("{port: {number: 0}, bind: 'unix:///a', captureMode: NONE, hosts: ['*/*']}"), {}, [0, "included-all"], [80, "included-all"]],
  ["a bind address changes nothing", out(on(3306, "NONE", ", bind: 127.0.0.1")), {}, [3306, "sidecar-none"]],
  ["an excluded port is the annotation's", out(on(80, "NONE")), { excludeOutboundPorts: [80] }, [80, "excluded-port"]],
  ["an excluded port passes also where the Sidecar would capture", out(on(80, "IPTABLES"), rest("NONE")), { excludeOutboundPorts: [80] }, [80, "excluded-port"]],
  ["an included port is stronger", out(on(80, "NONE"), rest("NONE")), { includeOutboundPorts: [80] }, [80, "included-port"], [81, "sidecar-none"]],
  ["an included range is stronger", out(on(80, "NONE"), rest("NONE")), ten, [80, "included-range"]],
  ["a range that does not hold it", out(on(80, "NONE")), { includeOutboundRanges: ranges("11.0.0.0/8") }, [80, "not-included"]],
  ["nothing by address", out(on(80, "NONE")), { includeOutboundRanges: [] }, [80, "not-included"]],
  ["a Sidecar only narrows", out(on(80, "IPTABLES")), { includeOutboundRanges: [] }, [80, "not-included"]],
  ["an excluded range says so first", out(on(80, "NONE")), { excludeOutboundRanges: ranges("10.96.0.0/16") }, [80, "excluded-range"]],
  ["REGISTRY_ONLY of the Sidecar closes", "{outboundTrafficPolicy: {}, egress: [{port: {number: 80}, captureMode: NONE, hosts: ['*/*']}]}", {}, [80, "included-all"]],
  ["an egressProxy closes", "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: e.example, port: {number: 80}}}, egress: [{captureMode: NONE, hosts: ['*/*']}]}", {}, [80, "included-all"]],
];

test("outbound, by the order of strength", () => {
  for (const [what, spec, settings, ...said] of table) {
    const { policy } = policyOf(spec, settings);
    for (const [port, reason] of said) {
      const socket = { ...app, destination: address("10.96.0.1"), port };
      assert.is(decideOutbound(policy, { localAddresses: [] }, socket).reason, reason, `${what}: ${port}`);
    }
  }
});

test("what a Sidecar passes is the application's outbound TCP, nothing else", () => {
  const { policy } = policyOf(out(on(80, "NONE"), rest("NONE")));
  const facts = { captureIpv6: true, localAddresses: [address("10.9.9.9")] };
  const reason = (changes: object) =>
    decideOutbound(policy, facts, { ...app, destination: address("10.9.9.9"), port: 80, ...changes }).reason;
  assert.is(reason({ uid: 1337, gid: 1337 }), "proxy-to-self");
  assert.is(reason({ isProxyCgroup: true }), "proxy-to-self");
  assert.is(reason({}), "local-address");
  assert.is(reason({ destination: address("10.96.0.1"), protocol: "udp" }), "not-tcp");
  assert.is(reason({ destination: address("127.0.0.1") }), "loopback");
});

const nowhere = { localAddresses: [] };

test("inbound, by the order of strength", () => {
  const spec = "{ingress: [{port: {number: 80}, captureMode: NONE}, {port: {number: 81}, captureMode: IPTABLES}]}";
  const reasons = (settings: Partial<Settings>) =>
    [80, 81, 82].map((port) => decideInbound(policyOf(spec, settings).policy, nowhere, { port }).reason);
  assert.equal(reasons({}), ["sidecar-none", "included-all", "included-all"]);
  assert.equal(reasons({ includeInboundPorts: [80] }), ["included-port", "not-included", "not-included"]);
  assert.equal(reasons({ includeInboundPorts: [] }), ["not-included", "not-included", "not-included"]);
  assert.equal(reasons({ excludeInboundPorts: [80, 81] }), ["excluded-port", "excluded-port", "included-all"]);
  const tunnel = policyOf("{ingress: [{port: {number: 15008}, captureMode: NONE}]}");
  assert.is(decideInbound(tunnel.policy, nowhere, { port: 15008 }).reason, "tunnel-port");
  const translated = policyOf("{ingress: [{port: {number: 9081}, defaultEndpoint: '127.0.0.1:9080'}]}");
  assert.is(
    decideInbound(translated.policy, nowhere, { port: 9081 }).reason,
    "included-all",
    "nothing listens there but the proxy",
  );
});

test("a NONE that would open what the mesh closed is a problem, with the listener and the reason", () => {
  const both = out(on(80, "NONE"), on(81, "IPTABLES"), rest("NONE"));
  assert.equal(policyOf(both, {}, closedMesh).problems, [
    `s.yaml:1 ns/p: Sidecar ns/s spec.egress[0].captureMode="NONE": not honoured, since the outboundTrafficPolicy of the mesh is REGISTRY_ONLY: port 80 stays captured`,
    `s.yaml:1 ns/p: Sidecar ns/s spec.egress[2].captureMode="NONE": not honoured, since the outboundTrafficPolicy of the mesh is REGISTRY_ONLY: the other ports stay captured`,
  ]);
  const none = "egress: [{port: {number: 80}, captureMode: NONE, hosts: ['*/*']}]";
  const own = (policy: string) => policyOf(`{outboundTrafficPolicy: ${policy}, ${none}}`, {}, closedMesh).problems;
  assert.match(own("{}")[0] ?? "", /of this Sidecar is REGISTRY_ONLY/);
  assert.equal(own("{mode: ALLOW_ANY}"), [], "the Sidecar's own policy comes before the mesh's");
  assert.match(
    own("{mode: ALLOW_ANY, egressProxy: {host: e.example, port: {number: 1}}}")[0] ?? "",
    /egressProxy e\.ex/,
  );
});

test("no problem where a NONE would open nothing, and none inbound", () => {
  const none = out(on(80, "NONE"));
  for (const settings of [{ excludeOutboundPorts: [80] }, { includeOutboundPorts: [80] }, ten])
    assert.equal(policyOf(none, settings, closedMesh).problems, []);
  assert.equal(policyOf(out(on(80, "DEFAULT")), {}, closedMesh).problems, []);
  const { policy, problems } = policyOf("{ingress: [{port: {number: 80}, captureMode: NONE}]}", {}, closedMesh);
  assert.equal(problems, []);
  assert.is(decideInbound(policy, nowhere, { port: 80 }).reason, "sidecar-none");
});

test("a Sidecar that takes nothing away makes the same policy as none", () => {
  const { id } = compilePolicy(defaults);
  assert.is(policyOf(out(on(80, "DEFAULT"), rest("IPTABLES"))).policy.id, id);
  assert.is(policyOf(out(on(80, "NONE")), {}, closedMesh).policy.id, id);
  assert.is.not(policyOf(out(on(80, "NONE"))).policy.id, id);
  assert.is.not(policyOf(out(rest("NONE"))).policy.id, compilePolicy({ ...defaults, includeOutboundRanges: [] }).id);
});

test("with a Sidecar the compiled policy decides as the list does", () => {
  const seen = new Set<string>();
  const meshModes = fc.constantFrom("ALLOW_ANY", ...outboundModes);
  const sockets = fc.array(anySocket, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(anySettings, anySidecar, meshModes, anyPod, sockets, anyPort, (settings, own, meshMode, ...rest) => {
      const [facts, several, port] = rest;
      const { capture } = sidecarCapture(own, { ...defaultMesh, outboundMode: meshMode }, settings, "");
      const policy = compilePolicy({ ...settings, sidecar: capture });
      const narrowing = { sidecar: own, meshMode };
      for (const socket of several) {
        const { to, reason } = decideOutbound(policy, facts, socket);
        assert.equal({ to, reason }, outbound(settings, facts, socket, narrowing));
        seen.add(reason);
      }
      const { to, reason } = decideInbound(policy, facts, { port });
      assert.equal({ to, reason }, inbound(settings, port, narrowing));
    }),
    { numRuns: 5000 },
  );
  assert.ok(seen.has("sidecar-none") && seen.has("included-all"));
});

test("a Sidecar only narrows: what is captured with it is captured without it", () => {
  fc.assert(
    fc.property(anySettings, anySidecar, anyPod, anySocket, (settings, own, facts, socket) => {
      const { capture } = sidecarCapture(own, defaultMesh, settings, "");
      const { to } = decideOutbound(compilePolicy({ ...settings, sidecar: capture }), facts, socket);
      if (to !== null) assert.is(decideOutbound(compilePolicy(settings), facts, socket).to, to);
    }),
    { numRuns: 2000 },
  );
});

test.run();
