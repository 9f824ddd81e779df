/** Where a rule that decided is written: the annotation and its item, as somebody wrote it. Pure. */
import { type Address, contains, formatPrefix } from "../model/address.js";
import type { Pod } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import type { Reason } from "../model/verdict.js";
import { alwaysExcludedInbound, loopbackVariable, proxyConfigKey, statusPortKey, traffic } from "./annotations.js";
import { findProxy, parseProxyMetadata } from "./proxy.js";
import { type Parsed, parsePort, parsePorts, parsePortsOrStar, parseRange, parseRanges, trimSpace } from "./values.js";

export interface Origin {
  /** The text that decided. */
  readonly rule: string;
  /** Annotation key, `default`, or a map of the kernel. */
  readonly source: string;
}

export interface Place {
  readonly direction: "outbound" | "inbound";
  readonly port: number;
  /** Of the destination; undefined inbound. */
  readonly address: Address | undefined;
}

/** Parsers of the lists, by the annotation's name. */
const lists = {
  includeOutboundIPRanges: (text: string): Parsed<unknown> => parseRanges(text, { star: true }),
  excludeOutboundIPRanges: (text: string): Parsed<unknown> => parseRanges(text, { star: false }),
  includeOutboundPorts: parsePorts,
  excludeOutboundPorts: parsePorts,
  includeInboundPorts: parsePortsOrStar,
  excludeInboundPorts: parsePorts,
} as const;
type List = keyof typeof lists;

/** @returns undefined if the annotation is absent, or bad, which counts as absent as a whole. */
function written(pod: Pod, list: List): string | undefined {
  const text = pod.annotations.get(traffic(list));
  return text === undefined || "why" in lists[list](text) ? undefined : text;
}

/** The first item that fits: the one at which iptables would have stopped. */
function item(pod: Pod, list: List, fits: (item: string) => boolean): Origin | undefined {
  const found = written(pod, list)?.split(",").find(fits);
  return found === undefined ? undefined : { rule: trimSpace(found), source: traffic(list) };
}

function portItem(pod: Pod, list: List, port: number): Origin | undefined {
  return item(pod, list, (each) => {
    const parsed = parsePort(each);
    return "value" in parsed && parsed.value === port;
  });
}

function rangeItem(pod: Pod, list: List, address: Address | undefined): Origin | undefined {
  if (address === undefined) return undefined;
  const whole = { address, length: address.family === 4 ? 32 : 128 };
  return item(pod, list, (each) => {
    const parsed = parseRange(each);
    return "value" in parsed && contains(parsed.value.prefix, whole);
  });
}

/** The whole value: it says what becomes of all that no item names. */
function wholeValue(pod: Pod, list: List): Origin {
  const text = written(pod, list);
  if (text === undefined) return { rule: `${list} *`, source: "default" };
  return { rule: trimSpace(text) === "" ? '""' : text, source: traffic(list) };
}

function excludedPort(pod: Pod, { direction, port }: Place): Origin {
  const list = direction === "outbound" ? "excludeOutboundPorts" : "excludeInboundPorts";
  const found = portItem(pod, list, port);
  if (found !== undefined) return found;
  const statusPort = pod.annotations.get(statusPortKey);
  if (direction === "outbound" || alwaysExcludedInbound.includes(port) || statusPort === undefined)
    return { rule: `${list} ${port}`, source: "default" };
  return { rule: trimSpace(statusPort), source: statusPortKey };
}

/** Loopback that is never captured, asked where an included range is a loopback one itself. */
function loopbackRange(pod: Pod, policy: Policy): Origin | undefined {
  if (!policy.keepLocal) return undefined;
  const range = formatPrefix(policy.loopback);
  const says = (value: string | undefined): value is string => {
    const parsed = parseRange(value ?? "");
    return "value" in parsed && formatPrefix(parsed.value.prefix) === range;
  };
  const metadata = parseProxyMetadata(pod.annotations.get(proxyConfigKey) ?? "");
  const annotated = "value" in metadata ? metadata.value.get(loopbackVariable) : undefined;
  if (says(annotated)) return { rule: `${loopbackVariable} ${annotated}`, source: proxyConfigKey };
  const inherited = findProxy(pod)?.env.get(loopbackVariable);
  if (says(inherited)) return { rule: inherited, source: `env ${loopbackVariable}` };
  return { rule: `${loopbackVariable} ${range}`, source: "default" };
}

/** @returns undefined for what no annotation decides. @param policy the one of the pod's annotations. */
export function originOf(pod: Pod, policy: Policy, place: Place, reason: Reason): Origin | undefined {
  const outbound = place.direction === "outbound";
  switch (reason) {
    case "excluded-port":
      return excludedPort(pod, place);
    case "included-port":
      return portItem(pod, outbound ? "includeOutboundPorts" : "includeInboundPorts", place.port);
    case "excluded-range":
      return rangeItem(pod, "excludeOutboundIPRanges", place.address);
    case "included-range":
      return rangeItem(pod, "includeOutboundIPRanges", place.address);
    case "included-all":
    case "not-included":
      return wholeValue(pod, outbound ? "includeOutboundIPRanges" : "includeInboundPorts");
    case "loopback":
      return place.address?.family === 4 ? loopbackRange(pod, policy) : undefined;
    default:
      return undefined;
  }
}
