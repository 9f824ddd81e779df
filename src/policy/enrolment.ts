/** Which pods are captured: semantics, section 1, as istio-cni decides (cni/pkg/plugin/plugin.go). */
import type { Pod } from "../model/pod.js";
import { shownValue } from "../model/problem.js";
import type { OutsideCause } from "../model/status.js";
import { interceptionModeKey } from "./annotations.js";
import { findProxy } from "./proxy.js";
import { parseBool } from "./values.js";

export const injectKey = "sidecar.istio.io/inject";
export const statusKey = "sidecar.istio.io/status";

export const defaultExcludedNamespaces: readonly string[] = ["kube-system"];

export interface EnrolmentOptions {
  readonly excludeNamespaces: readonly string[];
  /** Leave pods alone whose `istio-init` container makes iptables rules. Without it they are captured too. */
  readonly skipIptablesPods?: boolean;
  /** Where either is written, by what it is the cause of, if that is not a flag. */
  readonly sources?: Readonly<Partial<Record<OutsideCause, string>>>;
}

/** Why a pod is left alone: for a program, and in words. */
export interface Refusal {
  readonly cause: OutsideCause;
  readonly why: string;
}

/** What would leave a pod alone, in the order in which it is asked. */
export const enrolmentQuestions: readonly (readonly [cause: OutsideCause, question: string])[] = [
  ["host-network", "uses the host's network"],
  ["namespace", "its namespace is excluded"],
  ["no-proxy", "has no container istio-proxy"],
  ["not-a-sidecar", "its proxy is not a sidecar"],
  ["not-injected", `has no annotation ${statusKey}`],
  ["inject-refused", `its ${injectKey} says no`],
  ["no-envoy", "its proxy has DISABLE_ENVOY set"],
  ["mode-none", `its ${interceptionModeKey} is NONE`],
  ["iptables", "has iptables rules of its own, and such pods are left alone"],
];

export type Enrolment = { readonly enrolled: true } | ({ readonly enrolled: false } & Refusal);

/** @returns one reason, the first that applies; all of them would have to be mended. */
export function enrol(pod: Pod, options: EnrolmentOptions): Enrolment {
  const refused = refusal(pod, options);
  return refused === undefined ? { enrolled: true } : { enrolled: false, ...refused };
}

function refusal(pod: Pod, options: EnrolmentOptions): Refusal | undefined {
  if (pod.hostNetwork) return { cause: "host-network", why: "it uses the host's network" };
  if (options.excludeNamespaces.includes(pod.namespace))
    return { cause: "namespace", why: `its namespace ${pod.namespace} is excluded` };
  const proxy = findProxy(pod);
  if (proxy === undefined) return { cause: "no-proxy", why: "it has no container istio-proxy" };
  const [command, type = "sidecar"] = proxy.args;
  if (command === "proxy" && type !== "sidecar") {
    const why = `its proxy is not a sidecar: its args say proxy ${JSON.stringify(shownValue(type))}`;
    return { cause: "not-a-sidecar", why };
  }
  // Presence is enough, so a value that is not text still counts: it must not open the pod.
  if (!pod.annotations.has(statusKey) && !pod.badAnnotations.has(statusKey))
    return { cause: "not-injected", why: `it was not injected: there is no annotation ${statusKey}` };
  const label = pod.labels.get(injectKey);
  if (parseBool(label ?? pod.annotations.get(injectKey) ?? "") === false) {
    const why = `the ${label === undefined ? "annotation" : "label"} ${injectKey} says no`;
    return { cause: "inject-refused", why };
  }
  if (parseBool(proxy.env.get("DISABLE_ENVOY") ?? "") === true)
    return { cause: "no-envoy", why: "its proxy has DISABLE_ENVOY set: no Envoy runs" };
  if (pod.annotations.get(interceptionModeKey) === "NONE")
    return { cause: "mode-none", why: `${interceptionModeKey} is NONE` };
  if (options.skipIptablesPods === true && pod.initContainers.some(({ name }) => name === "istio-init"))
    return { cause: "iptables", why: "its istio-init makes iptables rules, and pods with such are to be left alone" };
  return undefined;
}
