/** Who asks, by which interface, and what an answer depends on that nobody has said. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultMesh } from "../../src/model/mesh.js";
import { compilePolicy, withRoutes } from "../../src/policy/compile.js";
import { defaultExcludedNamespaces, enrolmentQuestions } from "../../src/policy/enrolment.js";
import { explain, explainOutside, explainPolicy } from "../../src/policy/explain.js";
import { decideQuestion, type Question } from "../../src/policy/question.js";
import { address, defaults, type PodChanges, pod, prefix } from "./kit.js";

const own = ["10.0.0.5", "fd00::5"].map(address);
const options = { excludeNamespaces: defaultExcludedNamespaces };
const config = "proxy.istio.io/config";
const interfaces = "traffic.sidecar.istio.io/excludeInterfaces";

type Outbound = Extract<Question, { direction: "outbound" }>;
const to = (text: string, port: number, changes: Partial<Outbound> = {}): Question => ({
  ...{ direction: "outbound", protocol: "tcp", destination: address(text), port, as: "app" },
  ...changes,
});
const variable = (name: string, value: string): PodChanges => ({
  annotations: { [config]: `proxyMetadata: {${name}: "${value}"}` },
});
const inherited = (name: string, value: string): PodChanges => ({ proxy: { env: [{ name, value }] } });
const said = (changes: PodChanges, question: Question, more: object = {}, addresses = own): string => {
  const { reason, rule, source } = explain(pod(changes), { ...options, ...more }, addresses, question);
  return [reason, rule, source].join(" | ");
};

test("owner groups: the caller's gid, and the very text that decided", () => {
  const groups = "ISTIO_OUTBOUND_OWNER_GROUPS";
  const included = variable(groups, "7,8");
  const stranger = to("10.9.9.9", 80);
  assert.is(said(included, stranger), `owner-group | proxyMetadata ${groups}=7,8 | ${config}`);
  assert.match(said(included, to("10.9.9.9", 80, { gid: 8 })), /^included-all/);
  assert.is(said(inherited(groups, "7"), stranger), `owner-group | ${groups}=7 | env of istio-proxy`);
  const excluded = inherited(`${groups}_EXCLUDE`, "7");
  assert.match(said(excluded, stranger), /^included-all/);
  assert.is(said(excluded, to("10.9.9.9", 80, { gid: 7 })), `owner-group | ${groups}_EXCLUDE=7 | env of istio-proxy`);
  const mesh = { ...defaultMesh, proxyMetadata: new Map([[groups, "7"]]) };
  assert.is(said({}, stranger, { mesh }), `owner-group | defaultConfig.proxyMetadata ${groups}=7 | MeshConfig`);
});

test("a bad value of a variable is never named as what decided", () => {
  const groups = "ISTIO_OUTBOUND_OWNER_GROUPS";
  const both = { ...variable(groups, "java"), ...inherited(groups, "7") };
  assert.is(said(both, to("10.9.9.9", 80)), `owner-group | ${groups}=7 | env of istio-proxy`);
});

test("dual stack: what leaves IPv6 alone", () => {
  const question = to("2001:db8::1", 80);
  const dual = "ISTIO_DUAL_STACK";
  assert.match(said({}, question), /^family-off \| IPv6 is not captured .* \| default$/);
  assert.is(
    said(variable(dual, "false"), question),
    `family-off | proxyMetadata ${dual}=false: the pod's first address is IPv4 | ${config}`,
  );
  assert.is(
    said(inherited(dual, "true"), question, {}, [address("10.0.0.5")]),
    `family-off | ${dual}=true: no address of the pod is IPv6 | env of istio-proxy`,
  );
  assert.match(said(inherited(dual, "true"), question), /^included-all/);
});

test("loopback where DNS is captured for some servers: the step and the text that let it pass", () => {
  const dns = inherited("ISTIO_META_DNS_CAPTURE", "true");
  const asked = to("127.0.0.1", 53);
  const answer = explain(pod(dns), { ...options, dns: "resolv-conf" }, own, asked);
  assert.equal(
    [answer.reason, answer.rule, answer.source],
    ["loopback", "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.1/32", "default"],
  );
  assert.is(answer.considered.find(({ outcome }) => outcome === "yes")?.rule, "in 127.0.0.1/32 or ::1");
  const early = explain(pod(dns), { ...options, dns: "resolv-conf" }, own, to("127.0.0.1", 80));
  assert.is(
    early.considered.find(({ outcome }) => outcome === "yes")?.rule,
    "loopback or the pod's own address, TCP to other ports than 53",
  );
});

test("the proxy's ids, its container, and an application that has one of them", () => {
  const policy = compilePolicy(defaults);
  const reason = (changes: Partial<Outbound>, facts: object = {}): string =>
    decideQuestion(policy, { localAddresses: own, ...facts }, to("10.9.9.9", 80, changes)).reason;
  assert.is(reason({}), "included-all");
  assert.is(reason({ uid: 1337 }), "proxy");
  assert.is(reason({ gid: 1337 }), "proxy");
  assert.is(reason({ as: "proxy" }), "proxy");
  assert.is(reason({ as: "proxy", uid: 0, gid: 0 }), "proxy", "whoever runs in its container");
  assert.is(reason({ as: "proxy", uid: 0, gid: 0 }, { proxyCgroupId: 0n }), "included-all", "which nobody knows");
  assert.is(reason({ as: "proxy" }, { proxyCgroupId: 0n }), "proxy");
  const cgroupOnly = { proxyCgroupOnly: true, proxyCgroupId: 9n };
  assert.is(reason({ uid: 1337, gid: 1337 }, cgroupOnly), "included-all");
  assert.is(reason({ as: "proxy" }, cgroupOnly), "proxy");
});

test("excluded interfaces: as the question says, and only what leaves the pod", () => {
  const changes = { annotations: { [interfaces]: "eth1,eth2" } };
  const away = (text: string, name: string): string => said(changes, to(text, 80, { interface: name }));
  assert.is(away("10.9.9.9", "eth2"), `excluded-interface | eth2 | ${interfaces}`);
  assert.is(away("2001:db8::1", "eth2").split(" ")[0], "family-off");
  assert.match(away("10.9.9.9", "eth0"), /^included-all/);
  assert.match(away("10.0.0.5", "eth2"), /^local-address/);
  const arrives = (name: string, more: object = {}): string =>
    said(changes, { direction: "inbound", port: 80, interface: name, ...more });
  assert.is(arrives("eth1"), `excluded-interface | eth1 | ${interfaces}`);
  assert.match(arrives("eth0"), /^included-all/);
  assert.is(arrives("eth1", { protocol: "udp" }), "not-tcp | inbound udp is not captured | default");
});

test("what was taken for granted is said where the answer depends on it, and only there", () => {
  const assumed = (changes: PodChanges, question: Question, more: object = {}): readonly string[] =>
    explain(pod(changes), { ...options, ...more }, own, question).assumed;
  const groups = variable("ISTIO_OUTBOUND_OWNER_GROUPS", "7");
  assert.equal(assumed(groups, to("10.9.9.9", 80)), ["asked for gid 1000; for gid 7 the answer is another: --gid 7"]);
  assert.equal(assumed(groups, to("10.9.9.9", 80, { gid: 5 })), []);
  assert.equal(assumed(groups, to("127.0.0.1", 80)), []);
  const away = { annotations: { [interfaces]: "eth1" } };
  assert.match(assumed(away, to("10.9.9.9", 80))[0] ?? "", /leaves by none .* \(eth1\): --interface eth1, or --live/);
  assert.equal(assumed(away, to("10.9.9.9", 80, { interface: "eth0" })), []);
  assert.equal(assumed(away, to("10.9.9.9", 15020)), [], "passes in any case");
  assert.equal(assumed(away, to("10.0.0.5", 80)), []);
  assert.match(assumed(away, { direction: "inbound", port: 80 })[0] ?? "", /arrives by none .*: --interface eth1$/);
  const dns = inherited("ISTIO_META_DNS_CAPTURE", "true");
  assert.match(
    assumed(dns, to("10.9.9.9", 53), { dns: "resolv-conf" })[0] ?? "",
    /no server of the pod's resolv\.conf/,
  );
  assert.equal(assumed(dns, to("10.9.9.9", 53)), []);
  assert.equal(assumed({}, to("10.9.9.9", 80)), []);
});

test("the kernel's own routes: nothing is assumed of what leaves, and an interface is known by name or index", () => {
  const routes = [
    { prefix: prefix("10.9.0.0/16"), excluded: true },
    { prefix: prefix("0.0.0.0/0"), excluded: false },
  ];
  const policy = withRoutes(compilePolicy(defaults), routes);
  const facts = {
    localAddresses: own,
    excludedInterfaces: [3],
    interfaces: new Map([
      ["eth0", 2],
      ["eth1", 3],
    ]),
  };
  const away = explainPolicy(policy, facts, to("10.9.9.9", 80));
  assert.equal([away.reason, away.assumed], ["excluded-interface", []]);
  assert.equal(away.considered[0], { rule: "leaves by an excluded interface: eth1", outcome: "yes" });
  assert.equal(explainPolicy(policy, facts, to("10.8.9.9", 80)).assumed, []);
  const inbound = (name?: string) => explainPolicy(policy, facts, { direction: "inbound", port: 80, interface: name });
  assert.is(inbound("eth1").rule, "it arrives by the excluded interface eth1");
  assert.is(inbound("eth0").reason, "included-all");
  assert.equal(
    inbound()
      .considered.slice(0, 2)
      .map(({ rule }) => rule),
    ["not TCP", "arrives by an excluded interface: eth1"],
  );
  const nameless = explainPolicy(policy, { ...facts, interfaces: new Map() }, { direction: "inbound", port: 80 });
  assert.is(nameless.considered[1]?.rule, "arrives by an excluded interface: index 3");
});

test("a pod that is left alone: what enrolment asked, in its order, up to what decided", () => {
  const outcomes = explainOutside("why", "not-injected").considered.map(({ outcome }) => outcome);
  assert.is(outcomes.length, enrolmentQuestions.length);
  assert.equal(outcomes.slice(0, 6), ["no", "no", "no", "no", "yes", "not asked"]);
  const cases: readonly (readonly [PodChanges, number])[] = [
    [{ spec: { hostNetwork: true } }, 0],
    [{ namespace: "kube-system" }, 1],
    [{ spec: { containers: [{ name: "app" }] } }, 2],
    [{ proxy: { args: ["proxy", "router"] } }, 3],
    [{ labels: { "sidecar.istio.io/inject": "false" } }, 5],
    [inherited("DISABLE_ENVOY", "true"), 6],
    [{ annotations: { "sidecar.istio.io/interceptionMode": "NONE" } }, 7],
    [{ spec: { initContainers: [{ name: "istio-init" }] } }, 8],
  ];
  for (const [changes, at] of cases) {
    const { considered, source } = explain(
      pod(changes),
      { ...options, skipIptablesPods: true },
      own,
      to("10.9.9.9", 80),
    );
    assert.is(
      considered.findIndex(({ outcome }) => outcome === "yes"),
      at,
    );
    assert.is.not(source, "default");
  }
});

test.run();
