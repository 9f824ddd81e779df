/**
 * The verdict, on a compiled policy: the same lookups in the same order as bpf/decide.h. One table of cases
 * runs on both, and a property test compares this with Istio's list (semantics, section 3).
 *
 * The order, first match wins. `local`: the destination is loopback or one of the pod's own addresses.
 *  0. IPv6, and it is not captured in this pod                          bypass   family-off
 *     not local, and the longest route leaves by an excluded interface  bypass   excluded-interface
 *  1. a port rule that says bypass, but not a Sidecar's                  its reason (TCP and UDP)
 *  2. local, from 127.0.0.6 or ::6                                       bypass   passthrough-source
 *  3. the proxy's cgroup or uid (where --proxy-identity=cgroup holds, not the uid, nor in 5. the gid):
 *     a. local, TCP, outside the loopback range, port 15008              bypass   tunnel-port
 *     b. local, TCP, outside the loopback range                          redirect proxy-to-self, inbound port
 *     c. else; with DNS capture also a. and b. of port 53 by the uid     bypass   proxy
 *  4. local, unless the policy keeps local destinations;                 bypass   loopback or local-address
 *     with DNS capture only TCP to other ports than 53
 *  5. the proxy's gid: as 3. After 4, so another uid with this gid does not come back through the proxy.
 *     owner groups: not of an included one, or of an excluded one        bypass   owner-group
 *     port 53 where DNS is captured, of the servers that are             redirect dns, 15053
 *  6. not TCP                                                            bypass   not-tcp
 *  7. inside the loopback range                                          bypass   loopback
 *  8. the longest range rule says bypass                                 its reason
 *  9. a port rule                                                        its verdict and reason, outbound port
 * 10. the longest range rule says redirect                               its reason, outbound port
 * 11. the policy captures the rest                                       redirect included-all, outbound port
 * 12. a Sidecar lets the rest pass                                       bypass   sidecar-none
 * 13. else                                                               bypass   not-included
 *
 * The Sidecar: in Istio's list its NONE would stand between the included ranges and `*`:
 *       included port, included range                                    redirect
 *       a Sidecar's listener on this port says NONE                      bypass   sidecar-none
 *       no listener names the port, and the one for the rest says NONE   bypass   sidecar-none
 *       *                                                                redirect included-all
 * since an annotation that names the port or the address is stronger, and `*` names none. There are no included
 * ranges beside `*`, so 9 is where it is asked for: a rule of the port's own. A port that is named by a listener of
 * another mode, beside one for the rest that says NONE, has a rule that redirects with the reason included-all.
 */
import { type Address, contains, type Prefix } from "../model/address.js";
import type { Policy, PortRule, RangeRule } from "../model/policy.js";
import type { Reason, Verdict } from "../model/verdict.js";
import { tunnelPort } from "./compile.js";

export interface PodFacts {
  /** The pod's own addresses on any interface. Those of loopback need not be in it. */
  readonly localAddresses: readonly Address[];
  /** Of its resolv.conf; asked where DNS capture is limited to them. */
  readonly dnsServers?: readonly Address[];
  /** Whether IPv6 is captured. */
  readonly captureIpv6?: boolean;
  /** Indexes of the excluded interfaces. */
  readonly excludedInterfaces?: readonly number[];
  /** The proxy's cgroup alone makes a proxy, its uid and gid do not. */
  readonly proxyCgroupOnly?: boolean;
}

export interface OutboundSocket {
  readonly protocol: "tcp" | "udp";
  /** What the socket is bound to; undefined or unspecified: nothing. */
  readonly source: Address | undefined;
  /** As the application asks; a v4-mapped address is family 4 already. */
  readonly destination: Address;
  /** Of the destination, host order. */
  readonly port: number;
  /** Real ids of the caller, as the pod sees them. */
  readonly uid: number;
  readonly gid: number;
  /** The caller runs in the proxy container's cgroup. */
  readonly isProxyCgroup: boolean;
}

export interface Decision {
  readonly verdict: Verdict;
  /** The proxy's port on loopback, where redirected. */
  readonly to: number | null;
  readonly reason: Reason;
  /** The rule that decided, if one did. */
  readonly rule?: PortRule | RangeRule;
}

/** Outbound, at connect() or sendmsg(). Pure. */
export function decideOutbound(policy: Policy, pod: PodFacts, socket: OutboundSocket): Decision {
  const { protocol, source, port } = socket;
  const destination = reached(socket);
  if (destination.family === 6 && pod.captureIpv6 !== true) return bypass("family-off");
  const loopback = isLoopback(destination);
  const local = loopback || pod.localAddresses.some((address) => equal(address, destination));
  // What is local leaves by lo, whatever the routes say.
  if (!local && longest(policy.routes, destination)?.excluded) return bypass("excluded-interface");
  const named = findPort(policy, "outbound", port);
  if (named?.action === "bypass" && named.reason !== "sidecar-none") return bypass(named.reason, named);

  if (local && isPassthrough(chosenSource(source, destination))) return bypass("passthrough-source");

  const inLoopbackRange =
    destination.family === 4
      ? contains(policy.loopback, { address: destination, length: 32 })
      : equal(destination, loopback6);
  const dns = policy.dns !== "off";
  const proxy = (byUid: boolean): Decision => {
    if (!local || protocol !== "tcp" || inLoopbackRange) return bypass("proxy");
    // Its resolver may live in the pod itself.
    if (byUid && dns && port === dnsPort) return bypass("proxy");
    if (port === tunnelPort) return bypass("tunnel-port");
    return redirect(policy.inboundPort, "proxy-to-self");
  };

  const byIds = pod.proxyCgroupOnly !== true;
  if (socket.isProxyCgroup || (byIds && socket.uid === policy.proxyUid)) return proxy(true);
  if (local && !policy.keepLocal && (!dns || (protocol === "tcp" && port !== dnsPort)))
    return bypass(loopback ? "loopback" : "local-address");
  if (byIds && socket.gid === policy.proxyGid) return proxy(false);
  const listed = policy.owners.gids.includes(socket.gid);
  if (policy.owners.mode === "included" ? !listed : listed) return bypass("owner-group");
  const server = (known: Address) => equal(known, destination);
  if (dns && port === dnsPort && (policy.dns === "all" || pod.dnsServers?.some(server)))
    return redirect(proxyDnsPort, "dns");
  if (protocol !== "tcp") return bypass("not-tcp");
  if (inLoopbackRange) return bypass("loopback");

  const range = longest(policy.ranges, destination);
  if (range?.action === "bypass") return bypass(range.reason, range);
  const rule = named ?? range;
  if (rule?.action === "bypass") return bypass(rule.reason, rule);
  if (rule !== undefined) return redirect(policy.outboundPort, rule.reason, rule);
  if (policy.captureOtherOutbound) return redirect(policy.outboundPort, "included-all");
  return bypass(policy.sidecarNone ? "sidecar-none" : "not-included");
}

export interface InboundSocket {
  /** The local one, host order. */
  readonly port: number;
  readonly family?: 4 | 6;
  readonly protocol?: "tcp" | "udp";
  /** Index of the interface that it arrived at; 0 where that is not asked. */
  readonly interface?: number;
}

/** What arrives from outside the pod (semantics, section 4). Of UDP the programs are not asked: nothing is steered. */
export function decideInbound(policy: Policy, pod: PodFacts, socket: InboundSocket): Decision {
  const { port, family = 4, interface: index = 0 } = socket;
  if (socket.protocol === "udp") return bypass("not-tcp");
  if (family === 6 && pod.captureIpv6 !== true) return bypass("family-off");
  if (pod.excludedInterfaces?.includes(index)) return bypass("excluded-interface");
  const rule = findPort(policy, "inbound", port);
  if (rule?.action === "bypass") return bypass(rule.reason, rule);
  if (rule !== undefined) return redirect(policy.inboundPort, rule.reason, rule);
  return policy.captureOtherInbound ? redirect(policy.inboundPort, "included-all") : bypass("not-included");
}

const dnsPort = 53;
/** Of every proxy of Istio's (pilot/pkg/bootstrap, DNS_PROXY_ADDR). */
const proxyDnsPort = 15053;

function bypass(reason: Reason, rule?: PortRule | RangeRule): Decision {
  return { verdict: "bypass", to: null, reason, ...(rule === undefined ? {} : { rule }) };
}

function redirect(to: number, reason: Reason, rule?: PortRule | RangeRule): Decision {
  return { verdict: "redirect", to, reason, ...(rule === undefined ? {} : { rule }) };
}

/** The hash lookup. */
function findPort(policy: Policy, direction: PortRule["direction"], port: number): PortRule | undefined {
  return policy.ports.find((rule) => rule.direction === direction && rule.port === port);
}

/** The longest-prefix lookup. */
function longest<R extends { readonly prefix: Prefix }>(rules: readonly R[], address: Address): R | undefined {
  const whole: Prefix = { address, length: address.family === 4 ? 32 : 128 };
  let found: R | undefined;
  for (const rule of rules) {
    if (contains(rule.prefix, whole) && rule.prefix.length >= (found?.prefix.length ?? 0)) found = rule;
  }
  return found;
}

/**
 * What the kernel connects to when it is asked for 0.0.0.0 or ::, and what iptables therefore sees: the source if
 * that is bound (IPv4 only), else 127.0.0.1 or ::1 (Linux 6.18: ip_route_output_key_hash_rcu, tcp_v6_connect).
 */
function reached({ source, destination }: OutboundSocket): Address {
  if (!isUnspecified(destination)) return destination;
  if (destination.family === 6) return loopback6;
  return source === undefined || source.family !== 4 || isUnspecified(source) ? loopback4 : source;
}

const loopback4: Address = { family: 4, bytes: Uint8Array.of(127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
const loopback6: Address = { family: 6, bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) };
const passthrough: readonly Address[] = [
  { family: 4, bytes: Uint8Array.of(127, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
  { family: 6, bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6) },
];

function equal(a: Address, b: Address): boolean {
  return a.family === b.family && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

function isUnspecified({ bytes }: Address): boolean {
  return bytes.every((byte) => byte === 0);
}

/** 127/8 or ::1. */
function isLoopback(address: Address): boolean {
  return address.family === 4 ? address.bytes[0] === 127 : equal(address, loopback6);
}

/**
 * What the kernel sends from. To ::6, which is an address of lo, it chooses ::6 itself; to 127.0.0.6 it is 127.0.0.1,
 * the preferred source of the route to 127.0.0.0/8.
 */
function chosenSource(source: Address | undefined, destination: Address): Address | undefined {
  const bound = source !== undefined && !isUnspecified(source);
  return !bound && destination.family === 6 ? destination : source;
}

/** What Envoy binds to reach its own application: 127.0.0.6, ::6. */
function isPassthrough(address: Address | undefined): boolean {
  return address !== undefined && passthrough.some((known) => equal(known, address));
}
