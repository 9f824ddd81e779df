/** Every reason that a policy can give, with the text of the rule that decided and where it is written. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultMesh } from "../../src/model/mesh.js";
import { type Reason, reasons } from "../../src/model/verdict.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { decideInbound, decideOutbound } from "../../src/policy/decide.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { type Explanation, explain, explainOutside, explainPolicy } from "../../src/policy/explain.js";
import type { Question } from "../../src/policy/question.js";
import { sidecarCapture } from "../../src/policy/sidecarCapture.js";
import { readStandIns } from "../../src/policy/standIns.js";
import { anyPort, anySettings, anySidecar } from "./arbitrary.js";
import { address, defaults, type PodChanges, pod, ranges, sidecar } from "./kit.js";

const own = ["10.0.0.5", "fd00::5"].map(address);
const options = { excludeNamespaces: defaultExcludedNamespaces };

type Outbound = Extract<Question, { direction: "outbound" }>;

/** `10.1.2.3:443`, `[fd00::1]:443`. */
function to(text: string, changes: Partial<Omit<Outbound, "source">> & { from?: string } = {}): Question {
  const { from, ...rest } = changes;
  const [, host = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
  const source = from === undefined ? undefined : address(from);
  return {
    direction: "outbound",
    protocol: "tcp",
    destination: address(host),
    port: Number(port),
    as: "app",
    source,
    ...rest,
  };
}
const inbound = (port: number): Question => ({ direction: "inbound", port });
const asProxy = { as: "proxy" } as const;

const t = (name: string): string => `traffic.sidecar.istio.io/${name}`;
const config = "proxy.istio.io/config";
const cidr = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR";
const env = "env of istio-proxy";
const mode = "sidecar.istio.io/interceptionMode";
const inject = "sidecar.istio.io/inject";
const statusPort = "status.sidecar.istio.io/port";

const annotated = (name: string, text: string): PodChanges => ({ annotations: { [t(name)]: text } });
const both = (annotations: Record<string, string>): PodChanges => ({ annotations });

/** What it has to say: verdict and port, reason, rule, source. */
type Said = readonly [verdict: string, reason: Reason, rule: string | RegExp, source: string];
type Case = readonly [what: string, pod: PodChanges & { readonly sidecar?: string }, question: Question, ...said: Said];

const included = ["redirect 127.0.0.1:15001", "included-all", "includeOutboundIPRanges *", "default"] as const;

// biome-ignore format: a table
const cases: readonly Case[] = [
  ["defaults: everything outbound", {}, to("10.9.9.9:443"), ...included],
  ["an annotation that says what the default says is named", annotated("includeOutboundIPRanges", "*"), to("10.9.9.9:443"), "redirect 127.0.0.1:15001", "included-all", "*", t("includeOutboundIPRanges")],
  ["IPv6 goes to ::1", {}, to("[2001:db8::1]:443"), "redirect [::1]:15001", "included-all", "includeOutboundIPRanges *", "default"],
  ["v4-mapped is IPv4", {}, to("[::ffff:10.9.9.9]:443"), ...included],
  ["the port that is always excluded", {}, to("10.9.9.9:15020"), "bypass", "excluded-port", "excludeOutboundPorts 15020", "default"],
  ["an excluded port", annotated("excludeOutboundPorts", "443"), to("10.9.9.9:443"), "bypass", "excluded-port", "443", t("excludeOutboundPorts")],
  ["the item without the blanks around it", annotated("excludeOutboundPorts", "80, 443 ,8080"), to("10.9.9.9:443"), "bypass", "excluded-port", "443", t("excludeOutboundPorts")],
  ["the item as it is written", annotated("excludeOutboundPorts", "80,00443"), to("10.9.9.9:443"), "bypass", "excluded-port", "00443", t("excludeOutboundPorts")],
  ["the list replaces the default", annotated("excludeOutboundPorts", "443"), to("10.9.9.9:15020"), ...included],
  ["excluded for UDP too", annotated("excludeOutboundPorts", "53"), to("10.9.9.9:53", { protocol: "udp" }), "bypass", "excluded-port", "53", t("excludeOutboundPorts")],
  ["excluded also where it is included", both({ [t("excludeOutboundPorts")]: "443", [t("includeOutboundPorts")]: "443" }), to("10.9.9.9:443"), "bypass", "excluded-port", "443", t("excludeOutboundPorts")],
  ["excluded for the proxy too", annotated("excludeOutboundPorts", "443"), to("10.0.0.5:443", asProxy), "bypass", "excluded-port", "443", t("excludeOutboundPorts")],
  ["a bad list counts as absent", annotated("excludeOutboundPorts", "443,"), to("10.9.9.9:443"), ...included],
  ["a bad list: the default is back", annotated("excludeOutboundPorts", "443,"), to("10.9.9.9:15020"), "bypass", "excluded-port", "excludeOutboundPorts 15020", "default"],
  ["an excluded range", annotated("excludeOutboundIPRanges", "10.0.0.0/8"), to("10.9.9.9:443"), "bypass", "excluded-range", "10.0.0.0/8", t("excludeOutboundIPRanges")],
  ["the range with its host bits, as written", annotated("excludeOutboundIPRanges", "192.0.2.0/24,10.1.2.3/8"), to("10.9.9.9:443"), "bypass", "excluded-range", "10.1.2.3/8", t("excludeOutboundIPRanges")],
  ["of several ranges the first, where iptables stops", annotated("excludeOutboundIPRanges", "10.9.9.9/32,10.0.0.0/8"), to("10.9.9.9:443"), "bypass", "excluded-range", "10.9.9.9/32", t("excludeOutboundIPRanges")],
  ["an excluded IPv6 range", annotated("excludeOutboundIPRanges", "0.0.0.0/0,2001:DB8::/32"), to("[2001:db8::1]:443"), "bypass", "excluded-range", "2001:DB8::/32", t("excludeOutboundIPRanges")],
  ["an exclude inside an include", both({ [t("includeOutboundIPRanges")]: "10.0.0.0/8", [t("excludeOutboundIPRanges")]: "10.9.0.0/16" }), to("10.9.9.9:443"), "bypass", "excluded-range", "10.9.0.0/16", t("excludeOutboundIPRanges")],
  ["an include inside an exclude", both({ [t("includeOutboundIPRanges")]: "10.9.0.0/16", [t("excludeOutboundIPRanges")]: "10.0.0.0/8" }), to("10.9.9.9:443"), "bypass", "excluded-range", "10.0.0.0/8", t("excludeOutboundIPRanges")],
  ["an excluded range beats an included port", both({ [t("includeOutboundPorts")]: "443", [t("excludeOutboundIPRanges")]: "10.0.0.0/8" }), to("10.9.9.9:443"), "bypass", "excluded-range", "10.0.0.0/8", t("excludeOutboundIPRanges")],
  ["an included port", both({ [t("includeOutboundPorts")]: "80,443", [t("includeOutboundIPRanges")]: "" }), to("10.9.9.9:443"), "redirect 127.0.0.1:15001", "included-port", "443", t("includeOutboundPorts")],
  ["an included port beside *", annotated("includeOutboundPorts", "443"), to("10.9.9.9:443"), "redirect 127.0.0.1:15001", "included-port", "443", t("includeOutboundPorts")],
  ["an included range", annotated("includeOutboundIPRanges", "192.0.2.0/24,10.0.0.0/8"), to("10.9.9.9:443"), "redirect 127.0.0.1:15001", "included-range", "10.0.0.0/8", t("includeOutboundIPRanges")],
  ["not in the included ranges: the whole list", annotated("includeOutboundIPRanges", "192.0.2.0/24,10.0.0.0/16"), to("10.9.9.9:443"), "bypass", "not-included", "192.0.2.0/24,10.0.0.0/16", t("includeOutboundIPRanges")],
  ["no range at all", annotated("includeOutboundIPRanges", ""), to("10.9.9.9:443"), "bypass", "not-included", '""', t("includeOutboundIPRanges")],
  ["an IPv4 range holds no IPv6 address", annotated("includeOutboundIPRanges", "0.0.0.0/0"), to("[2001:db8::1]:443"), "bypass", "not-included", "0.0.0.0/0", t("includeOutboundIPRanges")],
  ["a bad include counts as absent", annotated("includeOutboundIPRanges", "10.0.0.0"), to("192.0.2.1:443"), ...included],
  ["loopback", {}, to("127.0.0.1:8080"), "bypass", "loopback", "127.0.0.1 is loopback", "default"],
  ["all of 127/8", {}, to("127.9.9.9:8080"), "bypass", "loopback", "127.9.9.9 is loopback", "default"],
  ["IPv6 loopback", {}, to("[::1]:8080"), "bypass", "loopback", "::1 is loopback", "default"],
  ["0.0.0.0 is reached as loopback", {}, to("0.0.0.0:8080"), "bypass", "loopback", "0.0.0.0 is reached as loopback", "default"],
  ["the pod's own address", {}, to("10.0.0.5:8080"), "bypass", "local-address", "10.0.0.5 is an address of the pod itself", "default"],
  ["the pod's own IPv6 address", {}, to("[fd00::5]:8080"), "bypass", "local-address", "fd00::5 is an address of the pod itself", "default"],
  ["a loopback range that is included", annotated("includeOutboundIPRanges", "127.0.0.0/8"), to("127.0.0.2:8080"), "redirect 127.0.0.1:15001", "included-range", "127.0.0.0/8", t("includeOutboundIPRanges")],
  ["and 127.0.0.1 even then", annotated("includeOutboundIPRanges", "127.0.0.0/8"), to("127.0.0.1:8080"), "bypass", "loopback", `${cidr}=127.0.0.1/32`, "default"],
  ["and ::1 even then", annotated("includeOutboundIPRanges", "127.0.0.0/8,::/0"), to("[::1]:8080"), "bypass", "loopback", "::1 is loopback", "default"],
  ["with a loopback range of the annotation's", both({ [t("includeOutboundIPRanges")]: "127.0.0.0/8", [config]: `proxyMetadata: {${cidr}: 127.0.0.1/30}` }), to("127.0.0.2:8080"), "bypass", "loopback", `proxyMetadata ${cidr}=127.0.0.1/30`, config],
  ["with a loopback range of the environment's", { ...annotated("includeOutboundIPRanges", "127.0.0.0/8"), proxy: { env: [{ name: cidr, value: "127.0.0.0/30" }] } }, to("127.0.0.2:8080"), "bypass", "loopback", `${cidr}=127.0.0.0/30`, env],
  ["the own address where loopback is included", annotated("includeOutboundIPRanges", "127.0.0.0/8"), to("10.0.0.5:8080"), "bypass", "not-included", "127.0.0.0/8", t("includeOutboundIPRanges")],
  ["UDP", {}, to("10.9.9.9:53", { protocol: "udp" }), "bypass", "not-tcp", "udp is not captured", "default"],
  ["the proxy", {}, to("10.9.9.9:443", asProxy), "bypass", "proxy", "the proxy's own connections pass (uid 1337, gid 1337)", "default"],
  ["the proxy by its own ids", { proxy: { securityContext: { runAsUser: 1000, runAsGroup: 2000 } } }, to("10.9.9.9:443", asProxy), "bypass", "proxy", /uid 1000, gid 2000/, "default"],
  ["the application is never the proxy", { proxy: { securityContext: { runAsUser: 1000, runAsGroup: 1000 } } }, to("10.9.9.9:443"), ...included],
  ["the proxy to loopback", {}, to("127.0.0.1:8080", asProxy), "bypass", "proxy", /own connections pass/, "default"],
  ["the proxy to its own pod", {}, to("10.0.0.5:8080", asProxy), "redirect 127.0.0.1:15006", "proxy-to-self", /that is inbound/, "default"],
  ["the proxy to the tunnel port of its own pod", {}, to("10.0.0.5:15008", asProxy), "bypass", "tunnel-port", /15008/, "default"],
  ["from the passthrough address", {}, to("10.0.0.5:8080", { ...asProxy, from: "127.0.0.6" }), "bypass", "passthrough-source", /127\.0\.0\.6/, "default"],
  ["from the passthrough address outwards", {}, to("10.9.9.9:8080", { from: "127.0.0.6" }), ...included],
  ["another port of the proxy", { spec: { initContainers: [{ name: "istio-init", args: ["-p", "16001", "-z", "16006"] }] } }, to("10.9.9.9:443"), "redirect 127.0.0.1:16001", "included-all", "includeOutboundIPRanges *", "default"],
  ["and inbound", { spec: { initContainers: [{ name: "istio-init", args: ["-p", "16001", "-z", "16006"] }] } }, inbound(8080), "redirect 127.0.0.1:16006", "included-all", "includeInboundPorts *", "default"],

  ["inbound: every port", {}, inbound(8080), "redirect 127.0.0.1:15006", "included-all", "includeInboundPorts *", "default"],
  ["inbound: an excluded port", annotated("excludeInboundPorts", "9090, 8080"), inbound(8080), "bypass", "excluded-port", "8080", t("excludeInboundPorts")],
  ["inbound: always excluded", {}, inbound(15021), "bypass", "excluded-port", "excludeInboundPorts 15021", "default"],
  ["inbound: the status port by default", {}, inbound(15020), "bypass", "excluded-port", "excludeInboundPorts 15020", "default"],
  ["inbound: another status port", both({ [statusPort]: " 16020" }), inbound(16020), "bypass", "excluded-port", "16020", statusPort],
  ["inbound: a port of both is the list's", both({ [statusPort]: "16020", [t("excludeInboundPorts")]: "16020" }), inbound(16020), "bypass", "excluded-port", "16020", t("excludeInboundPorts")],
  ["inbound: the tunnel port", {}, inbound(15008), "bypass", "tunnel-port", /never captured/, "default"],
  ["inbound: the tunnel port cannot be included", annotated("includeInboundPorts", "15008"), inbound(15008), "bypass", "tunnel-port", /never captured/, "default"],
  ["inbound: an included port", annotated("includeInboundPorts", "80,8080"), inbound(8080), "redirect 127.0.0.1:15006", "included-port", "8080", t("includeInboundPorts")],
  ["inbound: a list ignores the excludes", both({ [t("includeInboundPorts")]: "8080", [t("excludeInboundPorts")]: "8080" }), inbound(8080), "redirect 127.0.0.1:15006", "included-port", "8080", t("includeInboundPorts")],
  ["inbound: not in the list", annotated("includeInboundPorts", "80,8080"), inbound(81), "bypass", "not-included", "80,8080", t("includeInboundPorts")],
  ["inbound: no capture", annotated("includeInboundPorts", ""), inbound(15008), "bypass", "not-included", '""', t("includeInboundPorts")],

  ["a Sidecar's port", { sidecar: "{egress: [{port: {number: 3306}, captureMode: NONE, hosts: ['*/*']}, {hosts: ['*/*']}]}" }, to("10.9.9.9:3306"), "bypass", "sidecar-none", "egress[0] port 3306, captureMode NONE", "Sidecar ns/s"],
  ["a Sidecar's rest", { sidecar: "{egress: [{port: {number: 80}, hosts: ['*/*']}, {captureMode: NONE, hosts: ['*/*']}]}" }, to("10.9.9.9:3306"), "bypass", "sidecar-none", "egress[1] without a port, captureMode NONE", "Sidecar ns/s"],
  ["a port beside the Sidecar's rest", { sidecar: "{egress: [{port: {number: 80}, hosts: ['*/*']}, {captureMode: NONE, hosts: ['*/*']}]}" }, to("10.9.9.9:80"), ...included],
  ["an annotation that names the port is stronger than a Sidecar", { ...annotated("includeOutboundPorts", "3306"), sidecar: "{egress: [{captureMode: NONE, hosts: ['*/*']}]}" }, to("10.9.9.9:3306"), "redirect 127.0.0.1:15001", "included-port", "3306", t("includeOutboundPorts")],
  ["inbound: a Sidecar's port", { sidecar: "{ingress: [{port: {number: 80}}, {port: {number: 9080}, captureMode: NONE}]}" }, inbound(9080), "bypass", "sidecar-none", "ingress[1] port 9080, captureMode NONE", "Sidecar ns/s"],

  ["interceptionMode NONE", both({ [mode]: "NONE" }), to("10.9.9.9:443"), "bypass", "mode-none", `${mode} is NONE`, mode],
  ["interceptionMode TPROXY", both({ [mode]: "TPROXY" }), to("10.9.9.9:443"), ...included],
  ["the host's network", { spec: { hostNetwork: true } }, to("10.9.9.9:443"), "bypass", "foreign-netns", "it uses the host's network", "spec.hostNetwork"],
  ["no proxy", { spec: { containers: [{ name: "app" }] } }, to("10.9.9.9:443"), "bypass", "unknown-pod", "it has no container istio-proxy", "spec.containers"],
  ["the host's network, whatever it is called", { spec: { hostNetwork: true }, namespace: "kube-system" }, inbound(80), "bypass", "foreign-netns", "it uses the host's network", "spec.hostNetwork"],
  ["injection refused by the label", { labels: { [inject]: "false" } }, inbound(80), "bypass", "unknown-pod", /label/, inject],
  ["a namespace that is left out", { namespace: "kube-system" }, to("10.9.9.9:443"), "bypass", "unknown-pod", /kube-system is excluded/, "--exclude-namespaces"],
  ["no Envoy", { proxy: { env: [{ name: "DISABLE_ENVOY", value: "true" }] } }, inbound(80), "bypass", "unknown-pod", /DISABLE_ENVOY/, env],
  ["a group that is not captured", { proxy: { env: [{ name: "ISTIO_OUTBOUND_OWNER_GROUPS", value: "7" }] } }, to("10.9.9.9:443"), "bypass", "owner-group", "ISTIO_OUTBOUND_OWNER_GROUPS=7", env],
  ["a DNS query where DNS is captured", both({ [config]: 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}' }), to("10.9.9.9:53"), "redirect 127.0.0.1:15053", "dns", "proxyMetadata ISTIO_META_DNS_CAPTURE=true", config],
];

/** Those that a pod's document alone does not give, or that need another pod than that of the table. */
const notYet: readonly Reason[] = ["excluded-interface", "family-off", "no-listener", "no-memory"];

const verdictOf = ({ verdict, to: target }: Explanation): string =>
  target === null ? verdict : `${verdict} ${target}`;

for (const [what, changes, question, verdict, reason, rule, source] of cases) {
  test(what, () => {
    // The first address decides over IPv6: the pod of these cases has both families, that of the question first.
    const six = question.direction === "outbound" && question.destination.family === 6;
    const sidecars = changes.sidecar === undefined ? [] : [sidecar(changes.sidecar)];
    const explanation = explain(pod(changes), { ...options, sidecars }, six ? own.toReversed() : own, question);
    assert.is(verdictOf(explanation), verdict);
    assert.is(explanation.reason, reason);
    if (typeof rule === "string") assert.is(explanation.rule, rule);
    else assert.match(explanation.rule, rule);
    assert.is(explanation.source, source);
    assert.equal(Object.keys(explanation).slice(0, 5), ["verdict", "to", "reason", "rule", "source"]);
  });
}

test("what stands in for an annotation: the flag", () => {
  const read = readStandIns({ "exclude-outbound-ip-ranges": "10.0.0.1/32", "include-inbound-ports": "80, 90" });
  if ("why" in read) throw new Error(read.why);
  const said = (changes: PodChanges, question: Question): string[] => {
    const { reason, rule, source } = explain(pod(changes), { ...options, standIns: read.standIns }, own, question);
    return [reason, rule, source];
  };
  const api = ["excluded-range", "--exclude-outbound-ip-ranges 10.0.0.1/32", "--exclude-outbound-ip-ranges"];
  assert.equal(said({}, to("10.0.0.1:443")), api);
  assert.equal(said(annotated("excludeOutboundIPRanges", "bad"), to("10.0.0.1:443")), api);
  assert.is(said(annotated("excludeOutboundIPRanges", ""), to("10.0.0.1:443"))[0], "included-all");
  assert.equal(said({}, inbound(90)), ["included-port", "--include-inbound-ports 90", "--include-inbound-ports"]);
  assert.equal(said({}, inbound(91)), ["not-included", "--include-inbound-ports 80, 90", "--include-inbound-ports"]);
});

test("a variable of the mesh decides where the pod has none", () => {
  const mesh = { ...defaultMesh, proxyMetadata: new Map([[cidr, "127.0.0.0/30"]]) };
  const said = (changes: PodChanges): string => {
    const asked = pod({
      ...changes,
      ...both({ ...(changes.annotations as Record<string, string>), [t("includeOutboundIPRanges")]: "127.0.0.0/8" }),
    });
    const { reason, rule, source } = explain(asked, { ...options, mesh }, own, to("127.0.0.2:80"));
    return `${reason} ${rule} ${source}`;
  };
  assert.is(said({}), `loopback defaultConfig.proxyMetadata ${cidr}=127.0.0.0/30 MeshConfig`);
  assert.match(said({ proxy: { env: [{ name: cidr, value: "127.0.0.1/32" }] } }), /^included-range/);
  assert.match(said(both({ [config]: `proxyMetadata: {${cidr}: 127.0.0.1/32}` })), /^included-range/);
});

test("not injected", () => {
  const explanation = explain({ ...pod(), annotations: new Map() }, options, own, to("10.9.9.9:443"));
  assert.equal(
    [explanation.verdict, explanation.reason, explanation.source],
    ["bypass", "unknown-pod", "sidecar.istio.io/status"],
  );
  assert.match(explanation.rule, /not injected/);
});

test("the table has every reason that can be given", () => {
  const given = new Set(cases.map(([, , , , reason]) => reason));
  assert.equal(
    reasons.filter((reason) => !given.has(reason)),
    notYet,
  );
});

test("a bad value is told", () => {
  const { problems } = explain(pod(annotated("excludeOutboundPorts", "80,")), options, own, to("10.9.9.9:80"));
  assert.equal(
    problems.map(({ key, value }) => [key, value]),
    [[t("excludeOutboundPorts"), "80,"]],
  );
});

test("each step in the order of the list, until one decides", () => {
  const changes = both({ [t("excludeOutboundPorts")]: "22", [t("includeOutboundPorts")]: "443,80" });
  const { considered, policy } = explain(pod(changes), options, own, to("10.9.9.9:443"));
  assert.match(policy, /^[0-9a-f]{16}$/);
  assert.equal(
    considered.map(({ rule, outcome }) => `${rule}: ${outcome}`),
    [
      "excluded ports: 22: no",
      "from 127.0.0.6 or ::6 to the pod itself: no",
      "the proxy (uid 1337): no",
      "loopback or the pod's own address: no",
      "the proxy's group (gid 1337): no",
      "not TCP: no",
      "in 127.0.0.1/32 or ::1: no",
      "excluded ranges: none: no",
      "included ports: 80,443: yes",
      "included ranges: none: not asked",
      "every other address: captured: not asked",
    ],
  );
});

test("a list that is long is cut", () => {
  const list = Array.from({ length: 500 }, (_, i) => i + 1000).join(",");
  const { considered } = explain(pod(annotated("excludeOutboundPorts", list)), options, own, to("10.9.9.9:443"));
  assert.ok((considered[0]?.rule.length ?? 999) < 100, considered[0]?.rule);
});

const anyQuestion: fc.Arbitrary<Question> = fc.oneof(
  fc.record({
    direction: fc.constant("outbound" as const),
    protocol: fc.constantFrom("tcp", "udp"),
    destination: fc
      .oneof(
        fc.constantFrom("127.0.0.1", "127.0.0.2", "10.0.0.5", "10.0.0.1", "10.0.0.128", "0.0.0.0", "::1", "fd00::5"),
        fc.ipV4(),
        fc.constantFrom("2001:db8::1", "::"),
      )
      .map(address),
    port: anyPort,
    as: fc.constantFrom("app", "proxy"),
    source: fc.constantFrom(undefined, address("127.0.0.6"), address("10.0.0.5")),
  }),
  fc.record({ direction: fc.constant("inbound" as const), port: anyPort }),
);

test("any policy: one step decides, those before say no, and the verdict is the model's", () => {
  const seen = new Set<Reason>();
  fc.assert(
    fc.property(anySettings, fc.option(anySidecar), anyQuestion, (settings, narrowing, question) => {
      const { capture } = narrowing === null ? {} : sidecarCapture(narrowing, defaultMesh, settings, "");
      const policy = compilePolicy({ ...settings, sidecar: capture });
      const said = explainPolicy(policy, { localAddresses: own, captureIpv6: true }, question);
      const ids = (uid: number, gid: number) => ({ uid, gid, isProxyCgroup: false });
      const model =
        question.direction === "inbound"
          ? decideInbound(policy, { localAddresses: own }, { port: question.port })
          : decideOutbound(
              policy,
              { localAddresses: own, captureIpv6: true },
              {
                ...question,
                source: question.source,
                ...(question.as === "proxy"
                  ? ids(policy.proxyUid, policy.proxyGid)
                  : ids(
                      ...([policy.proxyUid, policy.proxyGid].map((id) => (id === 1000 ? 1001 : 1000)) as [
                        number,
                        number,
                      ]),
                    )),
              },
            );
      assert.equal([said.verdict, said.reason], [model.verdict, model.reason]);
      assert.is(said.to?.split(":").at(-1) ?? null, model.to === null ? null : `${model.to}`);
      const order = said.considered.map((step) => step.outcome).join();
      assert.match(order, /^(?:no,)*yes(?:,not asked)*$/);
      assert.ok(said.rule !== "" && said.rule !== said.reason, `${said.reason}: ${said.rule}`);
      assert.match(said.source, /^(?:policies|port_rules|range_rules) [0-9a-f]{16}$/);
      seen.add(said.reason);
    }),
    { numRuns: 5000 },
  );
  const possible = reasons.filter(
    (reason) => ![...notYet, "mode-none", "foreign-netns", "unknown-pod"].includes(reason),
  );
  assert.equal(
    possible.filter((reason) => !seen.has(reason)),
    [],
    "the generator comes to every end",
  );
});

test("the kernel's rule: the map, and what it holds", () => {
  const settings = { ...defaults, includeOutboundRanges: ranges("10.0.0.0/8"), excludeOutboundPorts: [443] };
  const policy = compilePolicy(settings);
  const id = policy.id.toString(16).padStart(16, "0");
  const said = (question: Question): string => {
    const { rule, source } = explainPolicy(policy, { localAddresses: own, captureIpv6: true }, question);
    return `${rule} | ${source}`;
  };
  assert.is(said(to("10.9.9.9:443")), `outbound port 443: bypass excluded-port | port_rules ${id}`);
  assert.is(said(to("10.9.9.9:80")), `10.0.0.0/8: redirect included-range | range_rules ${id}`);
  assert.is(said(to("11.9.9.9:80")), `capture-other-outbound is not set | policies ${id}`);
  assert.is(said(inbound(80)), `capture-other-inbound is set | policies ${id}`);
  assert.is(said(to("127.0.0.1:80")), `127.0.0.1 is loopback | policies ${id}`);
});

test("outside the mesh for whatever reason: left alone", () => {
  const { verdict, to: target, reason, rule, source } = explainOutside("its cgroup is not there yet");
  assert.equal(
    [verdict, target, reason, rule, source],
    ["bypass", null, "unknown-pod", "its cgroup is not there yet", "default"],
  );
});

test.run();
