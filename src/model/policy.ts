import type { Prefix } from "./address.js";
import type { Reason } from "./verdict.js";

/**
 * A port rule beats everything that comes after it in the list, so one rule a port is enough. One that says bypass is
 * the first step of the outbound list; of a Sidecar (`sidecar-none`) it stands where redirects by port stand.
 */
export interface PortRule {
  readonly direction: "outbound" | "inbound";
  /** 0–65535, host order. */
  readonly port: number;
  readonly action: "bypass" | "redirect";
  readonly reason: Reason;
}

/** Outbound only. The longest prefix that holds the destination decides; the compiler makes that agree with first match. */
export interface RangeRule {
  readonly prefix: Prefix;
  readonly action: "bypass" | "redirect";
  readonly reason: Reason;
}

/** A route of the pod's own, as a range: an excluded interface passes what leaves through it. */
export interface RouteRule {
  readonly prefix: Prefix;
  readonly excluded: boolean;
}

/** Whose connections are captured, by the caller's gid as the pod sees it. */
export interface Owners {
  /** `all`: everybody's. `included`: only these groups'. `excluded`: not these groups'. */
  readonly mode: "all" | "included" | "excluded";
  /** Sorted, each once; none for `all`. */
  readonly gids: readonly number[];
}

/** Port 53 to the proxy's DNS port: of no server, of those in the pod's resolv.conf, of every one. */
export type DnsCapture = "off" | "resolv-conf" | "all";

/**
 * What one or more pods' sockets are to do. Immutable: another rule is another policy.
 * The id is made of the content, so equal policies are one policy, on every node and after every restart.
 */
export interface Policy {
  /** First 64 bits of SHA-256 over the canonical content; never 0. */
  readonly id: bigint;
  /** Real uid of the proxy in the initial user namespace. */
  readonly proxyUid: number;
  readonly proxyGid: number;
  /** TCP port that outbound connections are steered to (15001). */
  readonly outboundPort: number;
  /** TCP port that inbound connections are steered to (15006). */
  readonly inboundPort: number;
  /** Outbound TCP that no rule names: steered (`includeOutboundIPRanges: "*"`) or left alone. */
  readonly captureOtherOutbound: boolean;
  /** Outbound TCP that no rule names is left alone because a Sidecar says so: the reason is then `sidecar-none`. */
  readonly sidecarNone: boolean;
  /** Inbound TCP that no rule names: steered (`includeInboundPorts: "*"`) or left alone. */
  readonly captureOtherInbound: boolean;
  /** An included range is itself a loopback address: local destinations go on through the list (semantics, section 3, keep_lo). */
  readonly keepLocal: boolean;
  /** Destination that is never steered at the end of the list (127.0.0.1/32), family 4. */
  readonly loopback: Prefix;
  readonly owners: Owners;
  readonly dns: DnsCapture;
  /** Sorted as `ranges`. Empty unless an interface is excluded; then the longest prefix tells the route. */
  readonly routes: readonly RouteRule[];
  /** Sorted by direction, then port; no port twice in a direction. */
  readonly ports: readonly PortRule[];
  /** Sorted by family, address, length; no prefix twice. Nothing in it is redundant. */
  readonly ranges: readonly RangeRule[];
}

/** A policy's id as people see it: 16 hex digits. */
export function formatPolicyId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}
