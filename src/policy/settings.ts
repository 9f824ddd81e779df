/** What is to be captured, in the terms of the annotations: values parsed, nothing resolved yet. */
import type { Prefix } from "../model/address.js";
import type { Range } from "./values.js";

/** What a Sidecar takes away from what `*` would capture; see sidecarCapture.ts. */
export interface SidecarCapture {
  /** Outbound ports pass, but for `outboundPorts`; else they are captured, but for `outboundPorts`. */
  readonly otherOutbound: boolean;
  readonly outboundPorts: readonly number[];
  /** Inbound ports that pass. */
  readonly inboundPorts: readonly number[];
}

export interface Settings {
  /** `*`: every address. */
  readonly includeOutboundRanges: "*" | readonly Range[];
  readonly excludeOutboundRanges: readonly Range[];
  readonly includeOutboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  /** A list ignores the excludes. */
  readonly includeInboundPorts: "*" | readonly number[];
  /** With what is always added: 15020, 15021, 15090 and the status port. */
  readonly excludeInboundPorts: readonly number[];
  readonly proxyUid: number;
  readonly proxyGid: number;
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** `*`: every group; then `ownerGroupsExcluded` counts. */
  readonly ownerGroups: "*" | readonly number[];
  readonly ownerGroupsExcluded: readonly number[];
  readonly dnsCapture: boolean;
  /** IPv6 is captured if the pod has any address of it, not only if its first one is. */
  readonly dualStack: boolean;
  /** Names of interfaces: what leaves or arrives there is not captured. */
  readonly excludeInterfaces: readonly string[];
  /** IPv4, within 127.0.0.0/8. */
  readonly loopback: Prefix;
  /** Undefined: no Sidecar. */
  readonly sidecar?: SidecarCapture | undefined;
}
