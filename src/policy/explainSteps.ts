/** What is asked of a socket, in the order of decide.ts, with the policy's own values: for people. Pure. */
import { formatPrefix } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { shownValue } from "../model/problem.js";
import type { OutsideCause } from "../model/status.js";
import type { Reason } from "../model/verdict.js";
import { enrolmentQuestions } from "./enrolment.js";
import type { Question } from "./question.js";

/** One step of the list, in its order. */
export interface Step {
  /** What it asks, with its values. */
  readonly rule: string;
  readonly outcome: "no" | "yes" | "not asked";
}

type Steps = readonly (readonly [rule: string, reasons: readonly Reason[]])[];

/** As much of a list as a line has room for. */
function listed(name: string, items: readonly (string | number)[]): string {
  return `${name}: ${items.length === 0 ? "none" : shownValue(items.join(","), 60)}`;
}

function portsOf(policy: Policy, direction: Question["direction"]) {
  const rules = policy.ports.filter((rule) => rule.direction === direction);
  return (reason: Reason): number[] => rules.filter((rule) => rule.reason === reason).map(({ port }) => port);
}

/** @param away by which interfaces or to where; none if no interface is excluded. */
function awayStep(away: readonly string[], verb: "leaves" | "arrives"): Steps {
  return away.length === 0 ? [] : [[listed(`${verb} by an excluded interface`, away), ["excluded-interface"]]];
}

type OutboundQuestion = Extract<Question, { direction: "outbound" }>;

/** The step that lets local destinations pass. Where DNS is captured it leaves some of them to the steps below. */
function localStep(policy: Policy, { protocol, port }: OutboundQuestion): Steps[number] {
  const what = "loopback or the pod's own address";
  if (policy.keepLocal) return [`${what}: goes on, since a loopback range is included`, []];
  if (policy.dns === "off") return [what, ["local-address", "loopback"]];
  const goesOn = protocol === "udp" || port === 53;
  return [`${what}, TCP to other ports than 53`, goesOn ? [] : ["local-address", "loopback"]];
}

function outboundSteps(policy: Policy, question: OutboundQuestion, interfaces: readonly string[]): Steps {
  const ports = portsOf(policy, "outbound");
  const ranges = (action: string) =>
    policy.ranges.filter((rule) => rule.action === action).map(({ prefix }) => formatPrefix(prefix));
  const routes = policy.routes.filter((route) => route.excluded).map(({ prefix }) => formatPrefix(prefix));
  const proxy: readonly Reason[] = ["proxy", "proxy-to-self", "tunnel-port"];
  const { owners, dns } = policy;
  const groups = owners.mode === "all" ? [] : [listed(`${owners.mode} groups`, owners.gids)];
  const servers = dns === "all" ? "any server" : "a server of resolv.conf";
  return [
    ...awayStep(interfaces.length > 0 ? interfaces : routes, "leaves"),
    [listed("excluded ports", ports("excluded-port")), ["excluded-port"]],
    ["from 127.0.0.6 or ::6 to the pod itself", ["passthrough-source"]],
    [`the proxy (uid ${policy.proxyUid})`, proxy],
    localStep(policy, question),
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

function inboundSteps(policy: Policy, interfaces: readonly string[]): Steps {
  const ports = portsOf(policy, "inbound");
  return [
    ["not TCP", ["not-tcp"]],
    ...awayStep(interfaces, "arrives"),
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
function familyStep(question: Question): Steps {
  const family = question.direction === "outbound" ? question.destination.family : question.family;
  return family === 6 ? [["IPv6, in a pod that does not capture it", ["family-off"]]] : [];
}

/**
 * First match wins, so what stands before the step that decided did not match, and what stands after it was not
 * asked. The decision's reason tells which step that was.
 * @param interfaces that are excluded, as far as they are known by name.
 */
export function considered(
  policy: Policy,
  question: Question,
  interfaces: readonly string[],
  reason: Reason,
): readonly Step[] {
  const own =
    question.direction === "outbound"
      ? [...familyStep(question), ...outboundSteps(policy, question, interfaces)]
      : inboundOrder(familyStep(question), inboundSteps(policy, interfaces));
  return outcomes(own, reason);
}

/** UDP is none of the programs' business, of whatever family. */
function inboundOrder(family: Steps, [protocol, ...others]: Steps): Steps {
  return [...(protocol === undefined ? [] : [protocol]), ...family, ...others];
}

function outcomes(steps: Steps, reason: Reason): Step[] {
  const decided = steps.findIndex(([, reasons]) => reasons.includes(reason));
  return steps.map(([rule], i) => ({ rule, outcome: i < decided ? "no" : i === decided ? "yes" : "not asked" }));
}

/** Of a pod that is not captured. @param cause "" where it was not enrolment that left it out. */
export function consideredOutside(cause: OutsideCause | ""): readonly Step[] {
  if (cause === "") return [{ rule: "is the pod captured?", outcome: "no" }];
  const decided = enrolmentQuestions.findIndex(([each]) => each === cause);
  return enrolmentQuestions.map(([, rule], i) => ({
    rule,
    outcome: i < decided ? "no" : i === decided ? "yes" : "not asked",
  }));
}
