/** Which pods are captured: semantics, section 1, as istio-cni decides (cni/pkg/plugin/plugin.go). */
import type { Pod } from "../model/pod.js";
import { interceptionModeKey } from "./annotations.js";
import { findProxy } from "./proxy.js";
import { parseBool } from "./values.js";

const injectKey = "sidecar.istio.io/inject";
const statusKey = "sidecar.istio.io/status";

export const defaultExcludedNamespaces: readonly string[] = ["kube-system"];

export interface EnrolmentOptions {
  readonly excludeNamespaces: readonly string[];
  /** Leave pods alone whose `istio-init` container makes iptables rules. Without it they are captured too. */
  readonly skipIptablesPods?: boolean;
}

export type Enrolment = { readonly enrolled: true } | { readonly enrolled: false; readonly why: string };

/** @returns one reason, the first that applies; all of them would have to be mended. */
export function enrol(pod: Pod, options: EnrolmentOptions): Enrolment {
  const why = refusal(pod, options);
  return why === undefined ? { enrolled: true } : { enrolled: false, why };
}

function refusal(pod: Pod, options: EnrolmentOptions): string | undefined {
  if (pod.hostNetwork) return "it uses the host's network";
  if (options.excludeNamespaces.includes(pod.namespace)) return `its namespace ${pod.namespace} is excluded`;
  const proxy = findProxy(pod);
  if (proxy === undefined) return "it has no container istio-proxy";
  const [command, type = "sidecar"] = proxy.args;
  if (command === "proxy" && type !== "sidecar")
    return `its proxy is not a sidecar: its args say proxy ${JSON.stringify(type)}`;
  // Presence is enough, so a value that is not text still counts: it must not open the pod.
  if (!pod.annotations.has(statusKey) && !pod.badAnnotations.has(statusKey)) {
    return `it was not injected: there is no annotation ${statusKey}`;
  }
  const label = pod.labels.get(injectKey);
  if (parseBool(label ?? pod.annotations.get(injectKey) ?? "") === false) {
    return `the ${label === undefined ? "annotation" : "label"} ${injectKey} says no`;
  }
  if (parseBool(proxy.env.get("DISABLE_ENVOY") ?? "") === true) return "its proxy has DISABLE_ENVOY set: no Envoy runs";
  if (pod.annotations.get(interceptionModeKey) === "NONE") return `${interceptionModeKey} is NONE`;
  if (options.skipIptablesPods === true && pod.initContainers.some(({ name }) => name === "istio-init")) {
    return "its istio-init makes iptables rules, and --skip-iptables-pods is set";
  }
  return undefined;
}
