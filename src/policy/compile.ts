/**
 * Settings, which are a list of rules where the first match wins, as a policy, which is answered with one hash
 * lookup for the port and one longest-prefix lookup for the address.
 *
 * Why the lookups agree with the list. The end of the list (semantics, section 3) is: excluded port, …,
 * excluded range, included port, included range or (the Sidecar's NONE, then `*`), pass.
 * - Ports: no rule before the excluded port concerns ports, and an excluded port never gets any further. So a
 *   port that is both excluded and included is an excluded one, and one rule a port is enough. The reader must
 *   still ask the ranges before it obeys an included port.
 * - The Sidecar's ports stand after everything that names a port, so an excluded or included port replaces them;
 *   and before `*`, beside which there is no included range. So the reader may ask for them where it asks for the
 *   included port: after the excluded ranges. Without `*` they would come after the last step that captures, and
 *   are left out. The same holds inbound, where there are no ranges at all.
 * - Ranges: an exclude stands before every include, so inside an excluded range nothing is included, however
 *   long the included prefix. Take those includes out, and keep of the rest the outermost of each kind. What is
 *   left are disjoint excludes and disjoint includes, and an exclude may lie inside an include but no include
 *   inside an exclude. The longest prefix that holds an address is then its exclude if it has one, else its
 *   include; and an address had an exclude or an include before if and only if it has one now, because what
 *   was taken out lay inside something of the same kind or inside an exclude.
 */
import { contains, type Prefix } from "../model/address.js";
import type { Owners, Policy, PortRule, RangeRule, RouteRule } from "../model/policy.js";
import { policyId } from "./policyId.js";
import type { Settings, SidecarCapture } from "./settings.js";
import type { Range } from "./values.js";

/** Tunnelled traffic of the mesh (HBONE): the proxy listens there itself, no annotation can capture it. */
export const tunnelPort = 15008;

/** Pure: equal settings, in whatever order and however often their items are written, are one policy with one id. */
export function compilePolicy(settings: Settings, dns: "resolv-conf" | "all" = "all"): Policy {
  const { includeOutboundRanges, includeInboundPorts, proxyUid, proxyGid, outboundPort, inboundPort, loopback } =
    settings;
  const star = includeOutboundRanges === "*";
  const included = star ? [] : includeOutboundRanges;
  const sidecarNone = star && settings.sidecar?.otherOutbound === true;
  const content: Omit<Policy, "id"> = {
    proxyUid,
    proxyGid,
    outboundPort,
    inboundPort,
    captureOtherOutbound: star && !sidecarNone,
    sidecarNone,
    captureOtherInbound: includeInboundPorts === "*",
    keepLocal: included.some((range) => range.loopback),
    loopback,
    owners: ownersOf(settings),
    dns: settings.dnsCapture ? dns : "off",
    routes: [],
    ports: [...inboundRules(settings), ...outboundRules(settings)],
    ranges: rangeRules(included, settings.excludeOutboundRanges),
  };
  return { id: policyId(content), ...content };
}

/** The policy of a pod with excluded interfaces, by the pod's own routes. @param routes in any order. */
export function withRoutes(policy: Policy, routes: readonly RouteRule[]): Policy {
  const sorted = routes.toSorted((a, b) => comparePrefixes(a.prefix, b.prefix));
  const { id: _, ...content } = { ...policy, routes: sorted };
  return { id: policyId(content), ...content };
}

function ownersOf({ ownerGroups, ownerGroupsExcluded }: Settings): Owners {
  const sorted = (gids: readonly number[]) => [...new Set(gids)].sort((a, b) => a - b);
  if (ownerGroups !== "*") return { mode: "included", gids: sorted(ownerGroups) };
  if (ownerGroupsExcluded.length === 0) return { mode: "all", gids: [] };
  return { mode: "excluded", gids: sorted(ownerGroupsExcluded) };
}

/** One rule a port, the later rules replacing the earlier ones, sorted by port. @param rules are sorted in place. */
function onePerPort(rules: PortRule[]): PortRule[] {
  // The sort is stable: of one port the last one stands last.
  rules.sort((a, b) => a.port - b.port);
  return rules.filter(({ port }, i) => rules[i + 1]?.port !== port);
}

interface SidecarRules {
  readonly outbound: readonly PortRule[];
  readonly inbound: readonly PortRule[];
}
const noSidecar: SidecarRules = { outbound: [], inbound: [] };

/** Of each Sidecar once: all its pods' policies have the same objects. */
const sidecarRules = new WeakMap<SidecarCapture, SidecarRules>();

function sidecarRulesOf(capture: SidecarCapture | undefined): SidecarRules {
  if (capture === undefined) return noSidecar;
  const known = sidecarRules.get(capture);
  if (known !== undefined) return known;
  const { otherOutbound, outboundPorts, inboundPorts } = capture;
  const made: SidecarRules = {
    outbound: outboundPorts.map((port) =>
      otherOutbound
        ? { direction: "outbound", port, action: "redirect", reason: "included-all" }
        : { direction: "outbound", port, action: "bypass", reason: "sidecar-none" },
    ),
    inbound: inboundPorts.map((port) => ({ direction: "inbound", port, action: "bypass", reason: "sidecar-none" })),
  };
  sidecarRules.set(capture, made);
  return made;
}

function outboundRules(settings: Settings): PortRule[] {
  const direction = "outbound";
  const rules = settings.includeOutboundRanges === "*" ? sidecarRulesOf(settings.sidecar).outbound.slice() : [];
  for (const port of settings.includeOutboundPorts)
    rules.push({ direction, port, action: "redirect", reason: "included-port" });
  for (const port of settings.excludeOutboundPorts)
    rules.push({ direction, port, action: "bypass", reason: "excluded-port" });
  return onePerPort(rules);
}

/** Semantics, section 4. An include list ignores the excludes; an empty one captures nothing and needs no rules. */
function inboundRules(settings: Settings): PortRule[] {
  const direction = "inbound";
  const { includeInboundPorts, excludeInboundPorts } = settings;
  if (includeInboundPorts.length === 0) return [];
  const star = includeInboundPorts === "*";
  const rules = star ? sidecarRulesOf(settings.sidecar).inbound.slice() : [];
  if (star) {
    for (const port of excludeInboundPorts) rules.push({ direction, port, action: "bypass", reason: "excluded-port" });
  } else {
    for (const port of includeInboundPorts)
      rules.push({ direction, port, action: "redirect", reason: "included-port" });
  }
  rules.push({ direction, port: tunnelPort, action: "bypass", reason: "tunnel-port" });
  return onePerPort(rules);
}

/** Family, then address, then length: an outer prefix stands right before what it holds. */
function comparePrefixes(a: Prefix, b: Prefix): number {
  return a.address.family - b.address.family || compareBytes(a.address.bytes, b.address.bytes) || a.length - b.length;
}

/** Of one length. Addresses differ in their first bytes: a call of Buffer.compare takes longer. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** n log n: prefixes nest or are disjoint, so in sorted order the one that holds another is the last that was kept. */
function rangeRules(included: readonly Range[], excluded: readonly Range[]): RangeRule[] {
  const all: RangeRule[] = [];
  for (const { prefix } of excluded) all.push({ prefix, action: "bypass", reason: "excluded-range" });
  for (const { prefix } of included) all.push({ prefix, action: "redirect", reason: "included-range" });
  all.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  const kept: RangeRule[] = [];
  let exclude: Prefix | undefined;
  let include: Prefix | undefined;
  // The sort is stable: of two equal prefixes the exclude comes first.
  for (const rule of all) {
    if (exclude !== undefined && contains(exclude, rule.prefix)) continue;
    if (rule.action === "bypass") exclude = rule.prefix;
    else if (include !== undefined && contains(include, rule.prefix)) continue;
    else include = rule.prefix;
    kept.push(rule);
  }
  return kept;
}
