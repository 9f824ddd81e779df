/** The sockets that a configuration makes interesting: its ports and ranges, their neighbours, and what is always so. */
import { type CaptureConfig, split } from "./config.js";
import { isLocal } from "./contract.js";
import { contains, edges, isDestination } from "./ranges.js";
import { place, proxyPorts } from "./site.js";
import type { Kind, Socket } from "./sockets.js";

/** DNS, the proxy's own ports and ports that have nothing to do with it. */
const alwaysPorts = [53, 54, 80, 443, 15008, 15020, 15021, 15090, ...Object.values(proxyPorts)];

/** Every port that a configuration names, its neighbours, and those that are always interesting. */
export function portsOf(config: CaptureConfig): number[] {
  const lists = [
    config.InboundPortsInclude,
    config.InboundPortsExclude,
    config.OutboundPortsInclude,
    config.OutboundPortsExclude,
  ];
  const named = lists.flatMap((list) => (list === "*" ? [] : split(list).map(Number)));
  const near = named.flatMap((port) => [port - 1, port, port + 1]);
  return [...new Set([...alwaysPorts, ...near])].filter((port) => port > 0 && port < 65536);
}

/** Destinations of the pod's sockets. */
export function destinationsOf(config: CaptureConfig): string[] {
  const named = [config.OutboundIPRangesInclude, config.OutboundIPRangesExclude, config.HostIPv4LoopbackCidr].flatMap(
    (list) => (list === "*" ? [] : split(list).flatMap(edges)),
  );
  const four = ["127.0.0.1", "127.0.0.2", "127.0.0.6", "0.0.0.0", place.address, place.second];
  const six = ["::1", "::6", "::", place.address6, place.second6];
  const outside = ["203.0.113.9", "198.51.100.9", "2001:db8:9::9", "2001:db8:51::9"];
  const servers = [...config.DNSServersV4, ...config.DNSServersV6];
  return [...new Set([...four, ...six, ...outside, ...servers, ...named])].filter(isUsable);
}

/** Whether somebody listens there. In the pods' own networks that is the pod alone. */
function isUsable(address: string): boolean {
  if (isLocal(address)) return address === "0.0.0.0" || address === "::" || isDestination(address);
  return (
    isDestination(address) && !["100.0.0.0/8", "169.254.0.0/16", "fd00::/8"].some((cidr) => contains(cidr, address))
  );
}

/** What a socket to that destination may be bound to. From a loopback address no packet leaves the pod. */
export function sourcesOf(address: string): (string | undefined)[] {
  const six = address.includes(":");
  if (address === "0.0.0.0" || address === "::") return [undefined];
  if (!isLocal(address)) return [undefined, six ? place.address6 : place.address];
  return six ? [undefined, "::6", place.address6] : [undefined, "127.0.0.6", place.address];
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** An application, the proxy, either of its ids alone, root, and the groups that the configuration names. */
export function idsOf(config: CaptureConfig): Ids[] {
  const [uid = 1337] = split(config.ProxyUID).map(Number);
  const [gid = 1337] = split(config.ProxyGID).map(Number);
  const groups = split(`${config.OwnerGroupsInclude},${config.OwnerGroupsExclude}`).filter((group) => group !== "*");
  return [
    { uid: 1000, gid: 1000 },
    { uid, gid },
    { uid: 1000, gid },
    { uid, gid: 1000 },
    { uid: 0, gid: 0 },
    ...groups.map((group) => ({ uid: 1000, gid: Number(group) })),
  ];
}

export function kindsOf(address: string): Kind[] {
  return address.includes(":") ? ["tcp", "udp", "sendto"] : ["tcp", "mapped", "udp", "sendto"];
}

const targets = [place.address, place.second, place.address6, place.second6] as const;

/** Calls from outside the pod to a port of it. Who calls cannot be told from inside. */
export function inboundOf(ports: readonly number[]): Socket[] {
  return ports.flatMap((port) =>
    targets.flatMap((address) =>
      (["tcp", "udp"] as const).map((kind): Socket => {
        const source = address.includes(":") ? place.caller6 : place.caller;
        return { direction: "inbound", kind, uid: 0, gid: 0, source, address, port };
      }),
    ),
  );
}

/**
 * Each combination once; of the second ways to open a socket those of the application and the proxy, and of a family
 * that is off the plain ones.
 */
export function allSockets(config: CaptureConfig): Socket[] {
  const ports = portsOf(config);
  const ids = idsOf(config);
  const off = (address: string): boolean => address.includes(":") && !config.EnableIPv6;
  const outbound = destinationsOf(config).flatMap((address) =>
    (off(address) ? (["tcp", "udp"] as const) : kindsOf(address)).flatMap((kind) =>
      (off(address) ? [undefined] : sourcesOf(address)).flatMap((source) =>
        (kind === "tcp" || kind === "udp" ? ids : ids.slice(0, 3)).flatMap((who) =>
          ports.map((port): Socket => ({ direction: "outbound", kind, ...who, source, address, port })),
        ),
      ),
    ),
  );
  return [...outbound, ...inboundOf(ports)];
}
