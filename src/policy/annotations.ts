/**
 * A pod's annotations as settings. Rules and defaults: semantics, section 2, which are those of istio-cni
 * (cni/pkg/plugin/sidecar_redirect.go) with the injector's validation (pkg/kube/inject/validate.go).
 */
import { addressFromBytes, type Prefix } from "../model/address.js";
import type { Mesh } from "../model/mesh.js";
import { type Pod, podName } from "../model/pod.js";
import { type Problem, shownValue } from "../model/problem.js";
import { findProxy, parseProxyMetadata, proxyPort } from "./proxy.js";
import type { Settings } from "./settings.js";
import {
  type Parsed,
  parseBool,
  parseGroups,
  parseGroupsOrStar,
  parseInterfaces,
  parsePort,
  parsePorts,
  parsePortsOrStar,
  parseRange,
  parseRanges,
  trimSpace,
} from "./values.js";

export const traffic = (name: string): string => `traffic.sidecar.istio.io/${name}`;
export const statusPortKey = "status.sidecar.istio.io/port";
export const proxyConfigKey = "proxy.istio.io/config";
export const interceptionModeKey = "sidecar.istio.io/interceptionMode";
const rerouteKeys = ["istio.io/reroute-virtual-interfaces", traffic("kubevirtInterfaces")] as const;
/** Made once: they are asked for of every pod. */
const keys = {
  includeOutboundIPRanges: traffic("includeOutboundIPRanges"),
  excludeOutboundIPRanges: traffic("excludeOutboundIPRanges"),
  includeOutboundPorts: traffic("includeOutboundPorts"),
  excludeOutboundPorts: traffic("excludeOutboundPorts"),
  includeInboundPorts: traffic("includeInboundPorts"),
  excludeInboundPorts: traffic("excludeInboundPorts"),
  excludeInterfaces: traffic("excludeInterfaces"),
} as const;
/** Names in `proxyMetadata` and in the proxy's environment. */
export const variables = {
  loopback: "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
  dnsCapture: "ISTIO_META_DNS_CAPTURE",
  dualStack: "ISTIO_DUAL_STACK",
  ownerGroups: "ISTIO_OUTBOUND_OWNER_GROUPS",
  ownerGroupsExcluded: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
} as const;
export const variableParsers = {
  loopback: parseLoopback,
  dnsCapture: parseSwitch,
  dualStack: parseSwitch,
  ownerGroups: parseGroupsOrStar,
  ownerGroupsExcluded: parseGroups,
} as const satisfies Record<keyof typeof variables, (text: string) => Parsed<unknown>>;

/** Ports of the proxy itself, never captured inbound under `*`. */
export const alwaysExcludedInbound: readonly number[] = [15020, 15021, 15090];
const defaultProxyId = 1337;
const defaultPorts = { outbound: 15001, inbound: 15006 } as const;
const defaultLoopback: Prefix = { address: addressFromBytes(Uint8Array.of(127, 0, 0, 1)), length: 32 };

export interface SettingsOptions {
  /** Annotation key → what stands in where a pod has no such annotation, or a bad one; see standIns.ts. */
  readonly standIns?: ReadonlyMap<string, { readonly text: string }> | undefined;
  /** Whose `proxyMetadata` is the default of the pod's. */
  readonly mesh?: Mesh | undefined;
}

export interface ReadSettings {
  readonly settings: Settings;
  readonly problems: readonly Problem[];
  /** A value was bad and counts as absent here: the settings stand in only where the pod has no policy yet. */
  readonly bad: boolean;
}

/**
 * Reads everything that decides over capture from a pod. A bad value is a problem and counts as absent.
 * Whether the pod is to be captured at all is not asked here; see enrolment.ts.
 */
export function readSettings(pod: Pod, { standIns, mesh }: SettingsOptions = {}): ReadSettings {
  const problems: Problem[] = [];
  let unreadable = false;

  /** The parsed value, or the fallback where it is absent or refused. */
  const accept = <T>(kind: Problem["kind"], key: string, text: string, parsed: Parsed<T>, fallback: T): T => {
    if ("value" in parsed) return parsed.value;
    const why = parsed.item === text ? parsed.why : `${JSON.stringify(shownValue(parsed.item, 40))}: ${parsed.why}`;
    // What is wrong with the mesh is said once, not once a pod.
    const place = kind === "mesh" ? { where: mesh?.where ?? "", pod: "" } : { where: pod.where, pod: podName(pod) };
    problems.push({ kind, ...place, key, value: shownValue(text), why });
    return fallback;
  };
  const annotation = <T>(key: string, parse: (text: string) => Parsed<T>, fallback: T): T => {
    if (pod.badAnnotations.has(key)) unreadable = true; // already reported where the document was read
    const other = standIns?.get(key)?.text;
    const standIn = other === undefined ? undefined : parse(other);
    const absent = standIn !== undefined && "value" in standIn ? standIn.value : fallback;
    const text = pod.annotations.get(key);
    return text === undefined ? absent : accept("annotation", key, text, parse(text), absent);
  };
  const port = (direction: "outbound" | "inbound"): number => {
    const said = proxyPort(pod, direction);
    if (said === undefined) return defaultPorts[direction];
    const text = "value" in said.port ? "" : said.port.item;
    return accept("pod", said.key, text, said.port, defaultPorts[direction]);
  };

  annotation(interceptionModeKey, parseMode, "REDIRECT");
  const proxy = findProxy(pod);
  const metadata = annotation<ReadonlyMap<string, string>>(proxyConfigKey, parseProxyMetadata, new Map());
  /**
   * Of the proxy. Live edits apply at once, so the annotation beats the environment that the injector once made of
   * it; and that beats the mesh, because the proxy runs with it.
   */
  const variable = <T>(which: keyof typeof variables, parse: (text: string) => Parsed<T>, fallback: T): T => {
    const name = variables[which];
    const read = (kind: Problem["kind"], key: string, text: string | undefined, otherwise: T): T =>
      text === undefined ? otherwise : accept(kind, key, text, parse(text), otherwise);
    const [annotated, inherited] = [metadata.get(name), proxy?.env.get(name)];
    if (annotated === undefined && inherited === undefined)
      return read("mesh", `MeshConfig defaultConfig.proxyMetadata.${name}`, mesh?.proxyMetadata.get(name), fallback);
    const otherwise = read("pod", `env ${name}`, inherited, fallback);
    return read("annotation", `${proxyConfigKey} ${name}`, annotated, otherwise);
  };
  // That traffic is forwarded: it has no socket in the pod that could be steered. Said, and not a bad value.
  const reroute = rerouteKeys.find((key) => pod.annotations.has(key));
  const unsupported: Problem[] = [];
  if (reroute !== undefined && annotation(reroute, parseInterfaces, []).length > 0) {
    const value = shownValue(pod.annotations.get(reroute));
    const why = "partly unsupported: traffic that the pod forwards for these interfaces is not captured";
    unsupported.push({ kind: "annotation", where: pod.where, pod: podName(pod), key: reroute, value, why });
  }
  const statusPort = annotation(statusPortKey, parseStatusPort, 15020);

  const settings: Settings = {
    includeOutboundRanges: annotation(keys.includeOutboundIPRanges, (text) => parseRanges(text, { star: true }), "*"),
    excludeOutboundRanges: annotation(keys.excludeOutboundIPRanges, (text) => parseRanges(text, { star: false }), []),
    includeOutboundPorts: annotation(keys.includeOutboundPorts, parsePorts, []),
    excludeOutboundPorts: annotation(keys.excludeOutboundPorts, parsePorts, [15020]),
    includeInboundPorts: annotation(keys.includeInboundPorts, parsePortsOrStar, "*"),
    excludeInboundPorts: [
      ...annotation(keys.excludeInboundPorts, parsePorts, []),
      ...alwaysExcludedInbound,
      ...(statusPort === 0 ? [] : [statusPort]),
    ],
    // A proxy that runs as root (TPROXY, capNetBindService) is known by its gid alone.
    proxyUid: proxy?.runAsUser || defaultProxyId,
    proxyGid: proxy?.runAsGroup || defaultProxyId,
    outboundPort: port("outbound"),
    inboundPort: port("inbound"),
    ownerGroups: variable("ownerGroups", variableParsers.ownerGroups, "*"),
    ownerGroupsExcluded: variable("ownerGroupsExcluded", variableParsers.ownerGroupsExcluded, []),
    dnsCapture: variable("dnsCapture", variableParsers.dnsCapture, false),
    dualStack: variable("dualStack", variableParsers.dualStack, false),
    excludeInterfaces: annotation(keys.excludeInterfaces, parseInterfaces, []),
    loopback: variable("loopback", variableParsers.loopback, defaultLoopback),
  };
  return { settings, problems: [...problems, ...unsupported], bad: unreadable || problems.length > 0 };
}

/** Go's ParseBool; "" is no, as an absent variable. */
function parseSwitch(text: string): Parsed<boolean> {
  const value = text === "" ? false : parseBool(text);
  return value === undefined ? { why: "must be true or false", item: text } : { value };
}

function parseMode(text: string): Parsed<string> {
  if (["REDIRECT", "TPROXY", "NONE"].includes(text)) return { value: text };
  return { why: "must be REDIRECT, TPROXY or NONE, in capitals", item: text };
}

/** 0 stands for "no status port", as does "". */
export function parseStatusPort(text: string): Parsed<number> {
  return trimSpace(text) === "" ? { value: 0 } : parsePort(text);
}

function parseLoopback(text: string): Parsed<Prefix> {
  const parsed = parseRange(text);
  if ("why" in parsed) return parsed;
  const { prefix } = parsed.value;
  if (prefix.address.family === 4 && prefix.length >= 8 && prefix.address.bytes[0] === 127) return { value: prefix };
  return { why: "must be an address block within 127.0.0.0/8", item: text };
}
