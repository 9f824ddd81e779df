/** Where a rule that decided is written: the annotation and its item, the Sidecar and its listener. Pure. */
import { type Address, contains, formatPrefix } from "../model/address.js";
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import { type Sidecar, sidecarName } from "../model/sidecar.js";
import type { Reason } from "../model/verdict.js";
import { alwaysExcludedInbound, parseStatusPort, statusPortKey, traffic, variables } from "./annotations.js";
import { variableOrigin } from "./explainVariable.js";
import { type List, lists, type StandIn, type StandIns } from "./standIns.js";
import { parsePort, parseRange, trimSpace } from "./values.js";

export interface Origin {
  /** The text that decided. */
  readonly rule: string;
  /** Annotation key, `Sidecar ns/name`, `MeshConfig`, `env of istio-proxy`, a flag, a file and the key in it, `default`, or a map of the kernel. */
  readonly source: string;
}

export interface Place {
  readonly direction: "outbound" | "inbound";
  readonly port: number;
  /** Of the destination; undefined inbound. */
  readonly address: Address | undefined;
  /** That it leaves or arrives by, as far as that is known. */
  readonly interface: string | undefined;
}

/** All that a policy was made of. */
export interface Makings {
  readonly pod: Pod;
  readonly policy: Policy;
  readonly sidecar: Sidecar | undefined;
  readonly mesh: Mesh;
  readonly standIns: StandIns | undefined;
  readonly dualStack: boolean;
}

/** A list's text, and how what it says is to be shown. */
interface Written {
  readonly text: string;
  origin(rule: string): Origin;
}

function standInOrigin({ flag, source }: StandIn, rule: string): Origin {
  return { rule: flag === undefined ? rule : `${flag} ${rule}`, source };
}

/** @returns undefined if nobody wrote it, or badly, which counts as absent as a whole. */
function written({ pod, standIns }: Makings, list: List): Written | undefined {
  const key = traffic(list);
  const text = pod.annotations.get(key);
  if (text !== undefined && "value" in lists[list](text)) return { text, origin: (rule) => ({ rule, source: key }) };
  const standIn = standIns?.get(key);
  if (standIn === undefined) return undefined;
  return { text: standIn.text, origin: (rule) => standInOrigin(standIn, rule) };
}

/** The first item that fits: the one at which iptables would have stopped. */
function item(makings: Makings, list: List, fits: (item: string) => boolean): Origin | undefined {
  const from = written(makings, list);
  const found = from?.text.split(",").find(fits);
  return found === undefined ? undefined : from?.origin(trimSpace(found));
}

function portItem(makings: Makings, list: List, port: number): Origin | undefined {
  return item(makings, list, (each) => {
    const parsed = parsePort(each);
    return "value" in parsed && parsed.value === port;
  });
}

function rangeItem(makings: Makings, list: List, address: Address | undefined): Origin | undefined {
  if (address === undefined) return undefined;
  const whole = { address, length: address.family === 4 ? 32 : 128 };
  return item(makings, list, (each) => {
    const parsed = parseRange(each);
    return "value" in parsed && contains(parsed.value.prefix, whole);
  });
}

/** The whole value: it says what becomes of all that no item names. */
function wholeValue(makings: Makings, list: List): Origin {
  const from = written(makings, list);
  if (from === undefined) return { rule: `${list} *`, source: "default" };
  return from.origin(trimSpace(from.text) === "" ? '""' : from.text);
}

/** The listener of the pod's Sidecar that says NONE, in its own words. */
function listener({ sidecar }: Makings, { direction, port }: Place): Origin | undefined {
  if (sidecar === undefined) return undefined;
  const list: readonly { readonly port: number | undefined }[] =
    direction === "outbound" ? sidecar.egress : sidecar.ingress;
  const named = list.findIndex((each) => port !== 0 && each.port === port);
  const index = named < 0 ? list.findIndex((each) => each.port === undefined) : named;
  if (index < 0) return undefined;
  const field = `${direction === "outbound" ? "egress" : "ingress"}[${index}]`;
  const what = named < 0 ? "without a port" : `port ${port}`;
  return { rule: `${field} ${what}, captureMode NONE`, source: `Sidecar ${sidecarName(sidecar)}` };
}

function excludedPort(makings: Makings, { direction, port }: Place): Origin {
  const list = direction === "outbound" ? "excludeOutboundPorts" : "excludeInboundPorts";
  const found = portItem(makings, list, port);
  if (found !== undefined) return found;
  const isStatusPort = direction === "inbound" && !alwaysExcludedInbound.includes(port);
  const says = (text: string | undefined): text is string => {
    const parsed = text === undefined ? undefined : parseStatusPort(text);
    return isStatusPort && parsed !== undefined && "value" in parsed && parsed.value === port;
  };
  const statusPort = makings.pod.annotations.get(statusPortKey);
  if (says(statusPort)) return { rule: trimSpace(statusPort), source: statusPortKey };
  const standIn = makings.standIns?.get(statusPortKey);
  if (standIn !== undefined && says(standIn.text)) return standInOrigin(standIn, trimSpace(standIn.text));
  return { rule: `${list} ${port}`, source: "default" };
}

/** Loopback that is never captured. Where a step before it has let loopback pass, nobody's text decided. */
function loopbackRange({ pod, policy, mesh }: Makings, { address, port }: Place): Origin | undefined {
  if (address?.family !== 4 || !(policy.keepLocal || (policy.dns !== "off" && port === 53))) return undefined;
  const byDefault = { rule: `${variables.loopback}=${formatPrefix(policy.loopback)}`, source: "default" };
  return variableOrigin(pod, mesh, "loopback") ?? byDefault;
}

/** By which groups a connection is let pass. */
function ownerGroup({ pod, policy, mesh }: Makings): Origin | undefined {
  return variableOrigin(pod, mesh, policy.owners.mode === "included" ? "ownerGroups" : "ownerGroupsExcluded");
}

function familyOff({ pod, mesh, dualStack }: Makings): Origin | undefined {
  const said = variableOrigin(pod, mesh, "dualStack");
  if (said === undefined) return undefined;
  const but = dualStack ? "no address of the pod is IPv6" : "the pod's first address is IPv4";
  return { ...said, rule: `${said.rule}: ${but}` };
}

/** @returns undefined for what nobody writes. */
export function originOf(makings: Makings, place: Place, reason: Reason): Origin | undefined {
  const outbound = place.direction === "outbound";
  switch (reason) {
    case "excluded-port":
      return excludedPort(makings, place);
    case "included-port":
      return portItem(makings, outbound ? "includeOutboundPorts" : "includeInboundPorts", place.port);
    case "excluded-range":
      return rangeItem(makings, "excludeOutboundIPRanges", place.address);
    case "included-range":
      return rangeItem(makings, "includeOutboundIPRanges", place.address);
    case "included-all":
    case "not-included":
      return wholeValue(makings, outbound ? "includeOutboundIPRanges" : "includeInboundPorts");
    case "sidecar-none":
      return listener(makings, place);
    case "loopback":
      return loopbackRange(makings, place);
    case "owner-group":
      return ownerGroup(makings);
    case "dns":
      return variableOrigin(makings.pod, makings.mesh, "dnsCapture");
    case "family-off":
      return familyOff(makings);
    case "excluded-interface":
      return {
        rule: place.interface ?? trimSpace(makings.pod.annotations.get(traffic("excludeInterfaces")) ?? ""),
        source: traffic("excludeInterfaces"),
      };
    default:
      return undefined;
  }
}
