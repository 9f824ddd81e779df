/**
 * What is compared between iptables and Shunt. One place: what Shunt learns is switched on here, and from then on has
 * to agree. What stays out for good, and why, is in README.md.
 */
import { type CaptureConfig, split } from "./config.js";
import { interfaceOf } from "./contract.js";
import { familyOf, isTcp, type Socket } from "./sockets.js";

/** Parts of the contract that a socket may need. */
export const features = {
  /** TCP that comes from outside the pod. */
  inbound: true,
  /** IPv6 addresses. */
  ipv6: true,
  /** IPv4 through an IPv6 socket. */
  mapped: true,
  /** Port 53 where DNS is captured. */
  dns: true,
  /** Sockets whose way is through an excluded interface. */
  interfaces: true,
  /** Configurations that name owner groups. */
  ownerGroups: true,
  /** Sidecars and a mesh configuration beside the pod. Istio's rules ignore them, so the contract judges alone. */
  sidecars: true,
} satisfies Readonly<Record<string, boolean>>;

export type Feature = keyof typeof features;

/** The parts that decide about this socket. Those of none are decided by outbound IPv4 TCP alone. */
export function needs(config: CaptureConfig, socket: Socket): Feature[] {
  const groups = config.OwnerGroupsInclude !== "*" || config.OwnerGroupsExclude !== "";
  const needed: Record<Feature, boolean> = {
    inbound: socket.direction === "inbound" && isTcp(socket),
    ipv6: familyOf(socket) === 6,
    mapped: socket.kind === "mapped",
    dns: config.RedirectDNS && socket.port === 53 && socket.direction === "outbound",
    interfaces: split(config.ExcludeInterfaces).includes(interfaceOf(socket)),
    ownerGroups: groups && socket.direction === "outbound",
    sidecars: false, // of the whole configuration: without them it has none
  };
  return (Object.keys(needed) as Feature[]).filter((feature) => needed[feature]);
}

export type Features = Readonly<Record<Feature, boolean>>;

export function isCompared(config: CaptureConfig, socket: Socket, on: Features = features): boolean {
  return needs(config, socket).every((feature) => on[feature]);
}
