/**
 * Why a socket is treated as it is: the verdict of decide.ts, the text of the rule that decided, and what was
 * considered beside it. Pure.
 */
import { type Address, formatAddress, formatPrefix } from "../model/address.js";
import { defaultMesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import { formatPolicyId, type Policy } from "../model/policy.js";
import type { Problem } from "../model/problem.js";
import type { OutsideCause } from "../model/status.js";
import type { Reason, Verdict } from "../model/verdict.js";
import { interceptionModeKey } from "./annotations.js";
import { tunnelPort } from "./compile.js";
import type { Decision } from "./decide.js";
import { injectKey, statusKey } from "./enrolment.js";
import { type Origin, originOf } from "./explainOrigin.js";
import { considered, consideredOutside, type Step } from "./explainSteps.js";
import { proxyEnvironment } from "./explainVariable.js";
import { capturesIpv6 } from "./family.js";
import { type PolicyContext, type PolicyOptions, podPolicyWith } from "./podPolicy.js";
import { proxyContainerName } from "./proxy.js";
import { assumptions, decideQuestion, type ExplainFacts, excludedNames, type Question } from "./question.js";
import { indexSidecars, selectSidecar } from "./sidecarSelect.js";

export interface Explanation extends Origin {
  readonly verdict: Verdict;
  /** `127.0.0.1:15001`, where redirected. */
  readonly to: string | null;
  readonly reason: Reason;
  readonly considered: readonly Step[];
  /** What the answer depends on and nobody has said, in words. */
  readonly assumed: readonly string[];
  /** 16 hex digits; "" of a pod that has none. */
  readonly policy: string;
}

/** What stands in no annotation. */
function builtIn(policy: Policy, question: Question, reason: Reason): string {
  const off = "IPv6 is not captured in this pod: its first address is IPv4, and it is not dual-stack";
  if (reason === "family-off") return off;
  if (question.direction === "inbound") {
    if (reason === "excluded-interface") return `it arrives by the excluded interface ${question.interface}`;
    if (reason === "not-tcp") return "inbound udp is not captured";
    return `inbound port ${tunnelPort} is never captured`;
  }
  const destination = formatAddress(question.destination);
  const words: Partial<Record<Reason, string>> = {
    proxy: `the proxy's own connections pass (uid ${policy.proxyUid}, gid ${policy.proxyGid})`,
    "proxy-to-self": "the proxy calls an address of its own pod: that is inbound",
    "tunnel-port": `the proxy calls port ${tunnelPort} of its own pod: never captured`,
    "passthrough-source": "from 127.0.0.6 or ::6 to the pod itself: the proxy hands on what it let in",
    "local-address": `${destination} is an address of the pod itself`,
    loopback: `${destination} is ${/^(?:0\.0\.0\.0|::)$/.test(destination) ? "reached as " : ""}loopback`,
    "excluded-interface": `${destination} is reached through an excluded interface`,
    "owner-group": `the caller's group is not captured (${[policy.owners.mode, ...policy.owners.gids].join(" ")})`,
    dns: "port 53 goes to the proxy's DNS port",
    "not-tcp": `${question.protocol} is not captured`,
  };
  return words[reason] ?? reason;
}

/** @param origin of the rules that somebody wrote. @param source of those that are the same for everybody. */
function explainWith(
  policy: Policy,
  facts: ExplainFacts,
  question: Question,
  origin: (decision: Decision) => Origin | undefined,
  source: string,
): Explanation {
  const decision = decideQuestion(policy, facts, question);
  const { verdict, reason, to } = decision;
  const outbound = question.direction === "outbound";
  const proxy = outbound && question.destination.family === 6 ? "[::1]" : "127.0.0.1";
  return {
    verdict,
    to: to === null ? null : `${proxy}:${to}`,
    reason,
    ...(origin(decision) ?? { rule: builtIn(policy, question, reason), source }),
    considered: considered(policy, question, excludedNames(facts), reason),
    assumed: assumptions(policy, facts, question),
    policy: formatPolicyId(policy.id),
  };
}

/** A policy as the kernel's maps hold it: what made it is not known there. */
export function explainPolicy(policy: Policy, facts: ExplainFacts, question: Question): Explanation {
  const id = formatPolicyId(policy.id);
  const origin = ({ rule, reason }: Decision): Origin | undefined => {
    if (rule !== undefined) {
      const port = "port" in rule;
      const what = port ? `${rule.direction} port ${rule.port}` : formatPrefix(rule.prefix);
      return { rule: `${what}: ${rule.action} ${rule.reason}`, source: `${port ? "port" : "range"}_rules ${id}` };
    }
    if (reason === "sidecar-none") return { rule: "sidecar-none is set for the rest", source: `policies ${id}` };
    if (reason !== "included-all" && reason !== "not-included") return undefined;
    const set = reason === "included-all" ? "set" : "not set";
    return { rule: `capture-other-${question.direction} is ${set}`, source: `policies ${id}` };
  };
  return explainWith(policy, facts, question, origin, `policies ${id}`);
}

/**
 * A pod that is not captured: its sockets are left alone. Of the closed list of reasons, `mode-none` where the
 * annotation says so, `foreign-netns` where the pod has no network of its own, and `unknown-pod` for all else:
 * the programs do not know such a pod.
 * @param why as enrolment says it, or why it is not in the kernel. @param cause of enrolment, if it was that.
 * @param written where that is, if it is in a file.
 */
export function explainOutside(why: string, cause: OutsideCause | "" = "", written?: string): Explanation {
  const reasons: Partial<Record<typeof cause, Reason>> = { "mode-none": "mode-none", "host-network": "foreign-netns" };
  const sources: Partial<Record<typeof cause, string>> = {
    "host-network": "spec.hostNetwork",
    namespace: "--exclude-namespaces",
    "no-proxy": "spec.containers",
    "not-a-sidecar": `args of ${proxyContainerName}`,
    "not-injected": statusKey,
    "inject-refused": injectKey,
    "no-envoy": proxyEnvironment,
    "mode-none": interceptionModeKey,
    iptables: "--skip-iptables-pods",
  };
  return {
    verdict: "bypass",
    to: null,
    reason: reasons[cause] ?? "unknown-pod",
    rule: why,
    source: written ?? sources[cause] ?? "default",
    considered: consideredOutside(cause),
    assumed: [],
    policy: "",
  };
}

/**
 * Whose words it is that the kernel has given this reason for.
 * @returns undefined for what nobody writes: it is the same for everybody.
 */
export function originOfReason(
  pod: Pod,
  options: PolicyOptions & Partial<PolicyContext>,
  question: Question,
  reason: Reason,
): Origin | undefined {
  const { compiled, originFor } = compileFor(pod, options, question);
  return compiled.enrolled ? originFor(reason) : undefined;
}

function compileFor(pod: Pod, options: PolicyOptions & Partial<PolicyContext>, question: Question) {
  const { sidecars = [], mesh = defaultMesh, standIns } = options;
  const sidecar = selectSidecar(indexSidecars(sidecars), pod, mesh.rootNamespace);
  const compiled = podPolicyWith(pod, options, sidecar, mesh);
  const { direction, port, interface: name } = question;
  const address = direction === "outbound" ? question.destination : undefined;
  const originFor = (reason: Reason): Origin | undefined => {
    if (!compiled.enrolled) return undefined;
    const { policy, dualStack } = compiled;
    return originOf(
      { pod, policy, sidecar, mesh, standIns, dualStack },
      { direction, port, address, interface: name },
      reason,
    );
  };
  return { compiled, originFor };
}

/**
 * What the agent has done with a socket of this pod, by what its document says.
 * @param addresses the pod's own, without loopback, those of its status first.
 */
export function explain(
  pod: Pod,
  options: PolicyOptions & Partial<PolicyContext> & { readonly proxyIdentity?: "uid" | "cgroup" },
  addresses: readonly Address[],
  question: Question,
): Explanation & { readonly problems: readonly Problem[] } {
  const { compiled, originFor } = compileFor(pod, options, question);
  const { problems } = compiled;
  if (!compiled.enrolled) {
    const { why, cause } = compiled;
    return { ...explainOutside(why, cause, options.sources?.[cause]), problems };
  }
  const { policy, dualStack, excludeInterfaces } = compiled;
  const interfaces = new Map(excludeInterfaces.map((each, i) => [each, i + 1]));
  const facts: ExplainFacts = {
    localAddresses: addresses,
    captureIpv6: capturesIpv6(addresses, dualStack),
    excludedInterfaces: [...interfaces.values()],
    interfaces,
    routes: "unknown",
    proxyCgroupOnly: options.proxyIdentity === "cgroup",
  };
  return { ...explainWith(policy, facts, question, ({ reason }) => originFor(reason), "default"), problems };
}
