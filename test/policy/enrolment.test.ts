import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultExcludedNamespaces, enrol } from "../../src/policy/enrolment.js";
import { type PodChanges, pod } from "./kit.js";

const options = { excludeNamespaces: defaultExcludedNamespaces };
const inject = "sidecar.istio.io/inject";
const native = { containers: [{ name: "app" }], initContainers: [{ name: "istio-proxy", restartPolicy: "Always" }] };

const enrolled: [string, PodChanges][] = [
  ["an injected pod", {}],
  ["a native sidecar", { spec: native }],
  ["a proxy without args", { proxy: { args: [] } }],
  ["a proxy that is started otherwise", { proxy: { args: ["agent", "router"] } }],
  ["args that name no type", { proxy: { args: ["proxy"] } }],
  ["inject says yes", { labels: { [inject]: "true" } }],
  ["inject says something else", { labels: { [inject]: "disabled" } }],
  ["the label wins", { labels: { [inject]: "true" }, annotations: { [inject]: "false" } }],
  ["the label wins, also empty", { labels: { [inject]: "" }, annotations: { [inject]: "false" } }],
  ["an empty status", { annotations: { "sidecar.istio.io/status": "" } }],
  ["a status that is not text", { annotations: { "sidecar.istio.io/status": { initContainers: [] } } }],
  ["DISABLE_ENVOY=false", { proxy: { env: [{ name: "DISABLE_ENVOY", value: "false" }] } }],
  ["DISABLE_ENVOY=yes, which is no boolean", { proxy: { env: [{ name: "DISABLE_ENVOY", value: "yes" }] } }],
  ["TPROXY", { annotations: { "sidecar.istio.io/interceptionMode": "TPROXY" } }],
  ["none, which is not NONE", { annotations: { "sidecar.istio.io/interceptionMode": "none" } }],
  ["istio-init makes rules", { spec: { initContainers: [{ name: "istio-init" }] } }],
];

const left: [RegExp, PodChanges][] = [
  [/host's network/, { spec: { hostNetwork: true } }],
  [/namespace kube-system is excluded/, { namespace: "kube-system" }],
  [/no container istio-proxy/, { proxy: { name: "proxy" } }],
  [/no container istio-proxy/, { spec: { containers: [], initContainers: [{ name: "istio-proxy" }] } }],
  [
    /no container istio-proxy/,
    { spec: { containers: [], initContainers: [{ name: "istio-proxy", restartPolicy: "Never" }] } },
  ],
  [/not a sidecar: its args say proxy "router"/, { proxy: { args: ["proxy", "router"] } }],
  [/label sidecar.istio.io\/inject says no/, { labels: { [inject]: "False" }, annotations: { [inject]: "true" } }],
  [/annotation sidecar.istio.io\/inject says no/, { annotations: { [inject]: "0" } }],
  [/DISABLE_ENVOY/, { proxy: { env: [{ name: "DISABLE_ENVOY", value: "1" }] } }],
  [/interceptionMode is NONE/, { annotations: { "sidecar.istio.io/interceptionMode": "NONE" } }],
];

test("these pods are enrolled", () => {
  for (const [what, changes] of enrolled) assert.equal(enrol(pod(changes), options), { enrolled: true }, what);
});

test("these are not, for one reason each", () => {
  for (const [why, changes] of left) {
    const result = enrol(pod(changes), options);
    assert.is(result.enrolled, false, String(why));
    if (!result.enrolled) assert.match(result.why, why);
  }
});

test("a pod that was not injected is not enrolled", () => {
  const result = enrol({ ...pod(), annotations: new Map() }, options);
  assert.is(result.enrolled, false);
  if (!result.enrolled) assert.match(result.why, /not injected/);
});

test("other namespaces can be excluded instead", () => {
  assert.is(enrol(pod({ namespace: "kube-system" }), { excludeNamespaces: [] }).enrolled, true);
  assert.is(enrol(pod({ namespace: "a" }), { excludeNamespaces: ["b", "a"] }).enrolled, false);
});

test("--skip-iptables-pods leaves pods with istio-init alone, and only those", () => {
  const skip = { ...options, skipIptablesPods: true };
  assert.is(enrol(pod({ spec: { initContainers: [{ name: "istio-init" }] } }), skip).enrolled, false);
  assert.is(enrol(pod({ spec: { initContainers: [{ name: "istio-validation" }] } }), skip).enrolled, true);
});

test.run();
