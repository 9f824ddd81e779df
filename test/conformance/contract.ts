/**
 * What the written contract says of a socket, as it is told there: Istio's rules in words, sections 3 and 4 of the
 * semantics, and where a Sidecar comes in (sidecar.ts). It is here so that the iptables side can be judged too: rules that were loaded wrongly would agree with a
 * steering that does nothing.
 */
import { type CaptureConfig, split } from "./config.js";
import { contains, isMapped } from "./ranges.js";
import type { Narrowing } from "./sidecar.js";
import { place, proxyPorts } from "./site.js";
import { familyOf, isTcp, type Socket } from "./sockets.js";

type Who = keyof typeof proxyPorts | "app" | "peer";

/** Where the second interface leads, and its own networks. */
const second = [place.behindSecond, place.behindSecond6, "100.65.0.0/24", "fd00:65::/64"];
const own = ["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128", "::6/128"].concat(
  [place.address, place.second].map((address) => `${address}/32`),
  [place.address6, place.second6].map((address) => `${address}/128`),
);

const within = (cidrs: readonly string[], address: string): boolean => cidrs.some((cidr) => contains(cidr, address));

export const isLocal = (address: string): boolean => within(own, address);

/** The interface that a packet of the socket leaves or enters the pod by. */
export function interfaceOf({ address, direction }: Socket): string {
  if (direction === "inbound")
    return [place.second, place.second6].includes(address as never) ? place.interface : "eth0";
  if (isLocal(address)) return "lo";
  return within(second, address) ? place.interface : "eth0";
}

/** Who listens where the socket was going. */
export function destinationOf({ direction, address, port }: Socket): Who {
  if (direction === "outbound" && !isLocal(address)) return "peer";
  for (const [name, own] of Object.entries(proxyPorts)) if (own === port) return name as Who;
  return "app";
}

const isLoopback = (cidr: string): boolean => {
  if (cidr === "*") return false;
  const address = (cidr.split("/")[0] ?? "").replace(isMapped(cidr) ? /^::ffff:/i : "", "");
  return contains("127.0.0.0/8", address) || address === "::1";
};

/**
 * @param narrowing of the pod's Sidecar: asked where no annotation names the port or the address.
 * @returns who is to get it.
 */
export function contract(config: CaptureConfig, socket: Socket, narrowing?: Narrowing): Who {
  const direction = socket.direction === "inbound" ? inbound : outbound;
  const steered = direction(config, socket, narrowing);
  return steered ?? destinationOf(socket);
}

function outbound(config: CaptureConfig, socket: Socket, narrowing?: Narrowing): Who | undefined {
  const { uid, gid, source, port } = socket;
  const four = familyOf(socket) === 4;
  if (!four && !config.EnableIPv6) return undefined;
  // The kernel makes loopback of an address that says "any".
  const address = socket.address === "0.0.0.0" ? "127.0.0.1" : socket.address === "::" ? "::1" : socket.address;
  const local = isLocal(address);
  // To an IPv6 address of its own the kernel chooses that very address as the source; to 127.x it chooses 127.0.0.1.
  const from = source ?? (local && !four ? address : undefined);
  const loopback = contains(four ? config.HostIPv4LoopbackCidr : "::1/128", address);
  const tcp = isTcp(socket);
  const ports = (list: string): boolean => split(list).some((item) => Number(item) === port);
  const ranges = (list: string): boolean => list === "*" || within(split(list), address);
  const servers = four ? config.DNSServersV4 : config.DNSServersV6;
  const anyServer = config.CaptureAllDNS || config.DNSServersV4.length + config.DNSServersV6.length > 0;
  const dns = config.RedirectDNS && anyServer;
  const keepLocal = split(config.OutboundIPRangesInclude).some(isLoopback);
  const excluded = split(config.ExcludeInterfaces);
  if (excluded.includes(interfaceOf(socket))) return undefined;
  if (ports(config.OutboundPortsExclude)) return undefined;
  if (local && (from === "127.0.0.6" || from === "::6")) return undefined;

  const owners = [
    ...split(config.ProxyUID).map((id) => ({ mine: uid === Number(id), isUser: true })),
    ...split(config.ProxyGID).map((id) => ({ mine: gid === Number(id), isUser: false })),
  ];
  for (const { mine, isUser } of owners) {
    if (mine) {
      const toSelf = local && tcp && !loopback && port !== 15008 && !(dns && isUser && port === 53);
      return toSelf ? "proxy-inbound" : undefined;
    }
    if (local && !keepLocal && (!dns || (tcp && port !== 53))) return undefined;
  }
  const groups = (list: string): boolean => split(list).some((item) => Number(item) === gid);
  if (config.OwnerGroupsInclude === "*" ? groups(config.OwnerGroupsExclude) : !groups(config.OwnerGroupsInclude)) {
    return undefined;
  }
  if (dns && port === 53 && (config.CaptureAllDNS || servers.includes(address))) return "dns";
  if (!tcp || loopback || ranges(config.OutboundIPRangesExclude)) return undefined;
  if (ports(config.OutboundPortsInclude)) return "proxy-outbound";
  if (config.OutboundIPRangesInclude !== "*")
    return ranges(config.OutboundIPRangesInclude) ? "proxy-outbound" : undefined;
  return narrowing?.passesOut(port) ? undefined : "proxy-outbound";
}

function inbound(config: CaptureConfig, socket: Socket, narrowing?: Narrowing): Who | undefined {
  const { port } = socket;
  const ports = (list: string): boolean => split(list).some((item) => Number(item) === port);
  if (!isTcp(socket) || (familyOf(socket) === 6 && !config.EnableIPv6)) return undefined;
  if (split(config.ExcludeInterfaces).includes(interfaceOf(socket))) return undefined;
  if (config.InboundPortsInclude === "" || port === 15008) return undefined;
  const all = config.InboundPortsInclude === "*";
  if (all && narrowing?.passesIn(port)) return undefined;
  return (all ? !ports(config.InboundPortsExclude) : ports(config.InboundPortsInclude)) ? "proxy-inbound" : undefined;
}
