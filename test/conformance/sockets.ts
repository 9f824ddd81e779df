/** One socket of the comparison, and where it arrived. */
import { isIPv6 } from "node:net";

export type Direction = "outbound" | "inbound";

/**
 * How it is opened: TCP, TCP to an IPv4 address through an IPv6 socket, UDP with connect(), UDP without.
 * The names are ask.c's.
 */
export type Kind = "tcp" | "mapped" | "udp" | "sendto";

export interface Socket {
  /** Opened in the pod, or outside of it. */
  readonly direction: Direction;
  readonly kind: Kind;
  readonly uid: number;
  readonly gid: number;
  /** Address that it is bound to; undefined leaves the choice to the kernel. */
  readonly source: string | undefined;
  readonly address: string;
  readonly port: number;
}

/** Where a socket arrived. `refused`, `nothing` or an errno's name stand alone. */
export interface Arrival {
  /** Who took it: `proxy-outbound`, `proxy-inbound`, `dns`, `app` (in the pod), `peer` (outside), or why nobody did. */
  readonly who: string;
  /** What the accepting side was told about where it had been going: `203.0.113.9 80`. */
  readonly origin: string;
  /** Address that it came from. */
  readonly from: string;
}

export const familyOf = (socket: Socket): 4 | 6 => (isIPv6(socket.address) ? 6 : 4);
export const isTcp = (socket: Socket): boolean => socket.kind === "tcp" || socket.kind === "mapped";

/** A line for ask.c. */
export function formatSocket({ kind, uid, gid, source, address, port }: Socket): string {
  return `${kind} ${uid} ${gid} ${source ?? "-"} ${address} ${port}`;
}

/** A line of ask.c. */
export function parseArrival(line: string): Arrival {
  const [who = "", address = "", port = "", from = ""] = line.split(" ");
  return { who, origin: address && `${address} ${port}`, from };
}

/** For people: `outbound tcp uid 1000 gid 1000 to 10.0.0.1:80 from 127.0.0.6`. */
export function describeSocket({ direction, kind, uid, gid, source, address, port }: Socket): string {
  const to = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  return `${direction} ${kind} uid ${uid} gid ${gid} to ${to}${source === undefined ? "" : ` from ${source}`}`;
}
