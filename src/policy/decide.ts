/**
 * The verdict, on a compiled policy: the same lookups in the same order as bpf/decide.h. One table of cases
 * runs on both, and a property test compares this with Istio's list (semantics, section 3).
 *
 * The order, first match wins. `local`: the destination is loopback or one of the pod's own addresses.
 *  1. a port rule that says bypass, but not a Sidecar's                  its reason (TCP and UDP)
 *  2. local, from 127.0.0.6 or ::6                                       bypass   passthrough-source
 *  3. the proxy's uid or cgroup:
 *     a. local, TCP, outside the loopback range, port 15008              bypass   tunnel-port
 *     b. local, TCP, outside the loopback range                          redirect proxy-to-self, inbound port
 *     c. else                                                            bypass   proxy
 *  4. local, unless the policy keeps local destinations                  bypass   loopback or local-address
 *  5. the proxy's gid: as 3. After 4, so another uid with this gid does not come back through the proxy.
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
}

export interface OutboundSocket {
  readonly protocol: "tcp" | "udp";
  /** What the socket is bound to; undefined or unspecified: nothing. */
  readonly source: Address | undefined;
  /** As the application asks; a v4-mapped address is family 4 already. */
  readonly destination: Address;
  /** Of the destination, host order. */
  readonly port: number;
  /** Real ids of the caller in the initial user namespace. */
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
  const named = findPort(policy, "outbound", port);
  if (named?.action === "bypass" && named.reason !== "sidecar-none") return bypass(named.reason, named);

  const loopback = isLoopback(destination);
  const local = loopback || pod.localAddresses.some((address) => equal(address, destination));
  if (local && source !== undefined && isPassthrough(source)) return bypass("passthrough-source");

  const inLoopbackRange =
    destination.family === 4
      ? contains(policy.loopback, { address: destination, length: 32 })
      : equal(destination, loopback6);
  const proxy = (): Decision => {
    if (!local || protocol !== "tcp" || inLoopbackRange) return bypass("proxy");
    if (port === tunnelPort) return bypass("tunnel-port");
    return redirect(policy.inboundPort, "proxy-to-self");
  };

  if (socket.isProxyCgroup || socket.uid === policy.proxyUid) return proxy();
  if (local && !policy.keepLocal) return bypass(loopback ? "loopback" : "local-address");
  if (socket.gid === policy.proxyGid) return proxy();
  if (protocol !== "tcp") return bypass("not-tcp");
  if (inLoopbackRange) return bypass("loopback");

  const range = longestRange(policy, destination);
  if (range?.action === "bypass") return bypass(range.reason, range);
  const rule = named ?? range;
  if (rule?.action === "bypass") return bypass(rule.reason, rule);
  if (rule !== undefined) return redirect(policy.outboundPort, rule.reason, rule);
  if (policy.captureOtherOutbound) return redirect(policy.outboundPort, "included-all");
  return bypass(policy.sidecarNone ? "sidecar-none" : "not-included");
}

/** Inbound TCP that arrives from outside the pod (semantics, section 4). @param port the local one, host order. */
export function decideInbound(policy: Policy, port: number): Decision {
  const rule = findPort(policy, "inbound", port);
  if (rule?.action === "bypass") return bypass(rule.reason, rule);
  if (rule !== undefined) return redirect(policy.inboundPort, rule.reason, rule);
  return policy.captureOtherInbound ? redirect(policy.inboundPort, "included-all") : bypass("not-included");
}

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
function longestRange(policy: Policy, address: Address): RangeRule | undefined {
  const whole: Prefix = { address, length: address.family === 4 ? 32 : 128 };
  let longest: RangeRule | undefined;
  for (const rule of policy.ranges) {
    if (contains(rule.prefix, whole) && rule.prefix.length >= (longest?.prefix.length ?? 0)) longest = rule;
  }
  return longest;
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

/** What Envoy binds to reach its own application: 127.0.0.6, ::6. */
function isPassthrough(address: Address): boolean {
  return passthrough.some((known) => equal(known, address));
}
