/**
 * Why a socket is treated as it is: the verdict of decide.ts, the text of the rule that decided, and what was
 * considered beside it. Pure.
 *
 * First match wins, so what stands before the step that decided did not match, and what stands after it was not
 * asked. The decision's reason tells which step that was.
 */
import { type Address, formatAddress, formatPrefix } from "../model/address.js";
import { defaultMesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import { formatPolicyId, type Policy } from "../model/policy.js";
import { type Problem, shownValue } from "../model/problem.js";
import type { OutsideCause } from "../model/status.js";
import type { Reason, Verdict } from "../model/verdict.js";
import { interceptionModeKey } from "./annotations.js";
import { tunnelPort } from "./compile.js";
import { type Decision, decideInbound, decideOutbound, type PodFacts } from "./decide.js";
import { injectKey, statusKey } from "./enrolment.js";
import { type Origin, originOf } from "./explainOrigin.js";
import { capturesIpv6 } from "./family.js";
import { type PolicyContext, type PolicyOptions, podPolicyWith } from "./podPolicy.js";
import { indexSidecars, selectSidecar } from "./sidecarSelect.js";

export type Question =
  | {
      readonly direction: "outbound";
      readonly protocol: "tcp" | "udp";
      readonly destination: Address;
      readonly port: number;
      /** The application has neither the proxy's uid nor its gid, the proxy has both. */
      readonly as: "app" | "proxy";
      /** What the socket is bound to, if anything. */
      readonly source?: Address | undefined;
    }
  | { readonly direction: "inbound"; readonly port: number /** IPv4 by default. */; readonly family?: 4 | 6 };

/** One step of the list, in its order. */
export interface Step {
  /** What it asks, with its values. */
  readonly rule: string;
  readonly outcome: "no" | "yes" | "not asked";
}

export interface Explanation extends Origin {
  readonly verdict: Verdict;
  /** `127.0.0.1:15001`, where redirected. */
  readonly to: string | null;
  readonly reason: Reason;
  readonly considered: readonly Step[];
  /** 16 hex digits; "" of a pod that has none. */
  readonly policy: string;
}

type Steps = readonly (readonly [rule: string, reasons: readonly Reason[]])[];

/** As much of a list as a line has room for. */
function listed(name: string, items: readonly (string | number)[]): string {
  return `${name}: ${items.length === 0 ? "none" : shownValue(items.join(","), 60)}`;
}

/** @returns each step of decide.ts with the reasons that it can decide with. */
function outboundSteps(policy: Policy): Steps {
  const rules = policy.ports.filter((rule) => rule.direction === "outbound");
  const ports = (reason: Reason) => rules.filter((rule) => rule.reason === reason).map(({ port }) => port);
  const ranges = (action: string) =>
    policy.ranges.filter((rule) => rule.action === action).map(({ prefix }) => formatPrefix(prefix));
  const proxy: readonly Reason[] = ["proxy", "proxy-to-self", "tunnel-port"];
  const kept = policy.keepLocal ? ": goes on, since a loopback range is included" : "";
  const { owners, dns } = policy;
  const away = policy.routes.filter((route) => route.excluded).map(({ prefix }) => formatPrefix(prefix));
  const groups = owners.mode === "all" ? [] : [listed(`${owners.mode} groups`, owners.gids)];
  const servers = dns === "all" ? "any server" : "a server of resolv.conf";
  return [
    ...(away.length === 0 ? [] : [[listed("leaves by an excluded interface", away), ["excluded-interface"]] as const]),
    [listed("excluded ports", ports("excluded-port")), ["excluded-port"]],
    ["from 127.0.0.6 or ::6 to the pod itself", ["passthrough-source"]],
    [`the proxy (uid ${policy.proxyUid})`, proxy],
    [`loopback or the pod's own address${kept}`, policy.keepLocal ? [] : ["local-address", "loopback"]],
    [`the proxy's group (gid ${policy.proxyGid})`, proxy],
    ...groups.map((text) => [text, ["owner-group"]] as const),
    ...(dns === "off" ? [] : [[`port 53 of ${servers}`, ["dns"]] as const]),
    ["not TCP", ["not-tcp"]],
    [`in ${formatPrefix(policy.loopback)} or ::1`, ["loopback"]],
    [listed("excluded ranges", ranges("bypass")), ["excluded-range"]],
    [listed("included ports", ports("included-port")), ["included-port"]],
    [listed("included ranges", ranges("redirect")), ["included-range"]],
    ...sidecarSteps(policy, ports),
  ];
}

function leftAlone(ports: readonly number[]): Steps {
  return ports.length === 0 ? [] : [[listed("ports that the Sidecar leaves alone", ports), ["sidecar-none"]]];
}

/** The end of the list. A Sidecar has a say in what no annotation names. */
function sidecarSteps(policy: Policy, ports: (reason: Reason) => readonly number[]): Steps {
  if (policy.sidecarNone) {
    return [
      [listed("ports that the Sidecar keeps captured", ports("included-all")), ["included-all"]],
      ["every other address: left alone by the Sidecar", ["sidecar-none"]],
    ];
  }
  return [
    ...leftAlone(ports("sidecar-none")),
    policy.captureOtherOutbound
      ? ["every other address: captured", ["included-all"]]
      : ["every other address: left alone", ["not-included"]],
  ];
}

function inboundSteps(policy: Policy): Steps {
  const rules = policy.ports.filter((rule) => rule.direction === "inbound");
  const ports = (reason: Reason) => rules.filter((rule) => rule.reason === reason).map(({ port }) => port);
  return [
    [listed("the mesh's tunnel", ports("tunnel-port")), ["tunnel-port"]],
    [listed("excluded ports", ports("excluded-port")), ["excluded-port"]],
    [listed("included ports", ports("included-port")), ["included-port"]],
    ...leftAlone(ports("sidecar-none")),
    policy.captureOtherInbound
      ? ["every other port: captured", ["included-all"]]
      : ["every other port: left alone", ["not-included"]],
  ];
}

/** Asked first, and only where the answer is not the same for every pod. */
function familyStep(facts: PodFacts, question: Question): Steps {
  const family = question.direction === "outbound" ? question.destination.family : question.family;
  if (family !== 6 || facts.captureIpv6 === true) return [];
  return [["IPv6, which is not captured in this pod", ["family-off"]]];
}

function outcomes(steps: Steps, reason: Reason): Step[] {
  const decided = steps.findIndex(([, reasons]) => reasons.includes(reason));
  return steps.map(([rule], i) => ({ rule, outcome: i < decided ? "no" : i === decided ? "yes" : "not asked" }));
}

/** What stands in no annotation. */
function builtIn(policy: Policy, question: Question, reason: Reason): string {
  const off = "IPv6 is not captured in this pod: its first address is IPv4, and it is not dual-stack";
  if (reason === "family-off") return off;
  if (question.direction === "inbound") return `inbound port ${tunnelPort} is never captured`;
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

/** An application's id. */
const otherThan = (id: number): number => (id === 1000 ? 1001 : 1000);

function decide(policy: Policy, pod: PodFacts, question: Question): Decision {
  if (question.direction === "inbound") return decideInbound(policy, pod, question);
  const { as, protocol, destination, port, source } = question;
  const { proxyUid: uid, proxyGid: gid } = policy;
  const ids = as === "proxy" ? { uid, gid } : { uid: otherThan(uid), gid: otherThan(gid) };
  const socket = { protocol, source, destination, port, ...ids, isProxyCgroup: false };
  return decideOutbound(policy, pod, socket);
}

/** @param origin of the rules that somebody wrote. @param source of those that are the same for everybody. */
function explainWith(
  policy: Policy,
  facts: PodFacts,
  question: Question,
  origin: (decision: Decision) => Origin | undefined,
  source: string,
): Explanation {
  const decision = decide(policy, facts, question);
  const { verdict, reason, to } = decision;
  const outbound = question.direction === "outbound";
  const proxy = outbound && question.destination.family === 6 ? "[::1]" : "127.0.0.1";
  return {
    verdict,
    to: to === null ? null : `${proxy}:${to}`,
    reason,
    ...(origin(decision) ?? { rule: builtIn(policy, question, reason), source }),
    considered: outcomes(
      [...familyStep(facts, question), ...(outbound ? outboundSteps(policy) : inboundSteps(policy))],
      reason,
    ),
    policy: formatPolicyId(policy.id),
  };
}

/** A policy as the kernel's maps hold it: what made it is not known there. */
export function explainPolicy(policy: Policy, facts: PodFacts, question: Question): Explanation {
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
    "mode-none": interceptionModeKey,
    "inject-refused": injectKey,
    "not-injected": statusKey,
  };
  return {
    verdict: "bypass",
    to: null,
    reason: reasons[cause] ?? "unknown-pod",
    rule: why,
    source: sources[cause] ?? written ?? "default",
    considered: [{ rule: "is the pod captured?", outcome: "no" }],
    policy: "",
  };
}

/**
 * What the agent has done with a socket of this pod, by what its document says.
 * @param addresses the pod's own, without loopback, those of its status first.
 */
export function explain(
  pod: Pod,
  options: PolicyOptions & Partial<PolicyContext>,
  addresses: readonly Address[],
  question: Question,
): Explanation & { readonly problems: readonly Problem[] } {
  const { sidecars = [], mesh = defaultMesh, standIns } = options;
  const sidecar = selectSidecar(indexSidecars(sidecars), pod, mesh.rootNamespace);
  const compiled = podPolicyWith(pod, options, sidecar, mesh);
  const { problems } = compiled;
  if (!compiled.enrolled) {
    const { why, cause } = compiled;
    return { ...explainOutside(why, cause, options.sources?.[cause]), problems };
  }
  const { policy } = compiled;
  const { direction, port } = question;
  const place = { direction, port, address: direction === "outbound" ? question.destination : undefined };
  const origin = ({ reason }: Decision) => originOf({ pod, policy, sidecar, mesh, standIns }, place, reason);
  const facts = { localAddresses: addresses, captureIpv6: capturesIpv6(addresses, compiled.dualStack) };
  return { ...explainWith(policy, facts, question, origin, "default"), problems };
}
