import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import { defaultMesh } from "../../src/model/mesh.js";
import { type Pod, podName } from "../../src/model/pod.js";
import { readPod } from "../../src/model/podDocument.js";
import type { Policy } from "../../src/model/policy.js";
import { describeProblem } from "../../src/model/problem.js";
import type { Sidecar } from "../../src/model/sidecar.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { type PodPolicy, podPolicy } from "../../src/policy/podPolicy.js";
import { pod, podTemplate, sidecar } from "./kit.js";

const options = { excludeNamespaces: defaultExcludedNamespaces };

function real(name: string): Pod {
  const { pod, problems } = readPod(podTemplate(name), name);
  assert.equal(problems, [], name);
  if (pod === undefined) throw new Error(name);
  return pod;
}

function enrolled(policy: PodPolicy): { policy: Policy; said: string[]; bad: boolean } {
  if (!policy.enrolled) throw new Error(policy.why);
  return { policy: policy.policy, said: policy.problems.map(describeProblem), bad: policy.bad };
}

const ports = (policy: Policy, action: "bypass" | "redirect"): Record<string, number[]> => ({
  inbound: policy.ports
    .filter((rule) => rule.direction === "inbound" && rule.action === action)
    .map((rule) => rule.port),
  outbound: policy.ports
    .filter((rule) => rule.direction === "outbound" && rule.action === action)
    .map((rule) => rule.port),
});

test("pods without traffic annotations share one policy, whatever injected them", () => {
  const names = ["hello-tproxy.yaml.injected", "hello.yaml.cni.injected", "native-sidecar.yaml.injected"];
  const all = names.map((name) => enrolled(podPolicy(real(name), options)));
  for (const { policy, said, bad } of all) {
    assert.equal([said, bad], [[], false]);
    assert.equal(
      [policy.proxyUid, policy.proxyGid, policy.outboundPort, policy.inboundPort],
      [1337, 1337, 15001, 15006],
    );
    assert.equal(ports(policy, "bypass"), { inbound: [15008, 15020, 15021, 15090], outbound: [15020] });
    assert.equal([policy.captureOtherOutbound, policy.captureOtherInbound, policy.ranges], [true, true, []]);
  }
  assert.is(new Set(all.map(({ policy }) => policy.id)).size, 1);
});

test("a pod with every traffic annotation", () => {
  const { policy, said } = enrolled(podPolicy(real("traffic-annotations.yaml.injected"), options));
  assert.equal(said, []);
  assert.equal(ports(policy, "bypass"), { inbound: [15008], outbound: [7, 8, 9] });
  assert.equal(ports(policy, "redirect"), { inbound: [1, 2, 3], outbound: [] });
  assert.equal(
    policy.ranges.map(({ prefix, action }) => `${formatPrefix(prefix)} ${action}`),
    ["10.96.0.0/24 bypass", "127.0.0.0/24 redirect"],
  );
  assert.equal([policy.captureOtherOutbound, policy.captureOtherInbound, policy.keepLocal], [false, false, true]);
});

test("a pod with another status port", () => {
  const { policy } = enrolled(podPolicy(real("status_annotations.yaml.injected"), options));
  assert.equal(ports(policy, "bypass")["inbound"], [123, 15008, 15020, 15021, 15090]);
});

test("a pod that asks for no interception is not enrolled", () => {
  const result = podPolicy(real("init-no-intercept-no-native-sidecar.yaml.injected"), options);
  assert.is(result.enrolled, false);
  if (!result.enrolled) assert.match(result.why, /interceptionMode is NONE/);
});

const bad: [string, string, RegExp][] = [
  ["excludeinboundports", "excludeInboundPorts", /\* is not accepted here: list the ports/],
  ["excludeipranges", "excludeOutboundIPRanges", /\* is not accepted here: list address blocks/],
  ["excludeoutboundports", "excludeOutboundPorts", /not a port/],
  ["includeinboundports", "includeInboundPorts", /not a port/],
  ["includeipranges", "includeOutboundIPRanges", /the mask is missing/],
];

test("what Istio refuses is reported with pod, key, value and why, and the rest is as if it were not there", () => {
  const plain = enrolled(podPolicy(pod(), options)).policy;
  for (const [file, key, why] of bad) {
    const refused = real(`traffic-annotations-bad-${file}.yaml`);
    // Istio refuses these at injection, so nothing is injected in the files.
    assert.is(podPolicy(refused, options).enrolled, false);
    const injected = pod({ annotations: Object.fromEntries(refused.annotations) });
    const { policy, said, bad } = enrolled(podPolicy(injected, options));
    assert.is(bad, true);
    assert.is(said.length, 1);
    const value = refused.annotations.get(`traffic.sidecar.istio.io/${key}`);
    assert.match(said[0] ?? "", `p.yaml:1 ${podName(injected)}: traffic.sidecar.istio.io/${key}="${value}": `);
    assert.match(said[0] ?? "", why);
    assert.equal(policy, plain);
  }
});

test("the order of annotations changes nothing", () => {
  const annotations = [...real("traffic-annotations.yaml.injected").annotations];
  const one = real("traffic-annotations.yaml.injected");
  const other = { ...one, annotations: new Map(annotations.toReversed()) };
  assert.equal(podPolicy(other, options), podPolicy(one, options));
});

test("a bad variable of the mesh: said of the mesh, once, and counts as absent", () => {
  const proxyMetadata = new Map([["ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "10.0.0.0/8"]]);
  const mesh = { ...defaultMesh, where: "mesh.yaml:1", proxyMetadata };
  const { policy, bad } = enrolled(podPolicy(pod(), { ...options, mesh }));
  assert.is(policy.id, enrolled(podPolicy(pod(), options)).policy.id);
  assert.is(bad, true, "a pod that has a policy keeps it");
  const env = [{ name: "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", value: "127.0.0.0/30" }];
  const own = enrolled(podPolicy(pod({ proxy: { env } }), { ...options, mesh }));
  assert.equal([own.bad, own.said, formatPrefix(own.policy.loopback)], [false, [], "127.0.0.0/30"], "one with its own");
  const problems = [pod(), { ...pod(), name: "other" }].flatMap((one) => podPolicy(one, { ...options, mesh }).problems);
  assert.equal(
    [...new Set(problems.map(describeProblem))],
    [
      'mesh.yaml:1: MeshConfig defaultConfig.proxyMetadata.ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR="10.0.0.0/8": must be an address block within 127.0.0.0/8',
    ],
  );
});

test("the Sidecar of the pod's namespace, and the root namespace's", () => {
  const none = "{egress: [{port: {number: 80}, captureMode: NONE, hosts: ['*/*']}]}";
  const reasons = (sidecars: readonly Sidecar[], mesh = defaultMesh) =>
    enrolled(podPolicy(pod(), { ...options, sidecars, mesh })).policy.ports.map(({ reason }) => reason);
  assert.ok(reasons([sidecar(none)]).includes("sidecar-none"));
  assert.not.ok(reasons([{ ...sidecar(none), namespace: "other" }]).includes("sidecar-none"));
  const root = { ...sidecar(none), namespace: "root" };
  assert.not.ok(reasons([root]).includes("sidecar-none"));
  assert.ok(reasons([root], { ...defaultMesh, rootNamespace: "root" }).includes("sidecar-none"));
});

test.run();
