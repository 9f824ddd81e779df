/** First, last and neighbouring addresses of CIDRs. */
import ipaddr from "ipaddr.js";

interface Numeric {
  readonly value: bigint;
  /** Bytes of an address of that family. */
  readonly size: 4 | 16;
}

/** Parsing is most of the work of a comparison otherwise: the same few addresses come thousands of times. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text) ?? make(text);
    known.set(text, found);
    return found;
  };
}

const toNumber = remembered((text: string): Numeric => {
  const bytes = ipaddr.parse(text).toByteArray();
  return { value: bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n), size: bytes.length === 4 ? 4 : 16 };
});

function toText({ value, size }: Numeric): string {
  const bytes = Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * (size - 1 - i))) & 0xffn));
  return ipaddr.fromByteArray(bytes).toString();
}

const bounds = remembered((cidr: string): { first: bigint; last: bigint; size: 4 | 16 } => {
  const [address = "", length = ""] = cidr.split("/");
  const { value, size } = toNumber(address);
  const host = (1n << BigInt(8 * size - Number(length))) - 1n;
  return { first: value & ~host, last: value | host, size };
});

/** Whether an address is in a CIDR of its own family. A v4-mapped CIDR is IPv6, and no address here is. */
export function contains(cidr: string, address: string): boolean {
  if (cidr.includes(":") !== address.includes(":") || isMapped(cidr)) return false;
  const { first, last } = bounds(cidr);
  const { value } = toNumber(address);
  return first <= value && value <= last;
}

export const isMapped = (cidr: string): boolean => /^::ffff:\d+\./i.test(cidr);

/** The edges of a CIDR: the first and the last address in it at which somebody can be, and those just outside. */
export function edges(cidr: string): string[] {
  if (isMapped(cidr)) return [];
  const { first, last, size } = bounds(cidr);
  const all = (1n << BigInt(8 * size)) - 1n;
  const text = (value: bigint): string[] => (value < 0n || value > all ? [] : [toText({ value, size })]);
  const inside = (edge: bigint, next: bigint): string[] => [edge, next].flatMap(text).filter(isDestination).slice(0, 1);
  const found = [text(first - 1n), inside(first, first + 1n), inside(last, last - 1n), text(last + 1n)].flat();
  return [...new Set(found)].filter(isDestination);
}

/** Whether a connection to it can be opened: not "this network", a broadcast or a multicast address. */
export function isDestination(address: string): boolean {
  if (address.includes(":")) return /^(::1|::6|[23]|fd|fc)/.test(address);
  const first = Number(address.split(".")[0]);
  return first > 0 && first < 224 && address !== "127.0.0.0" && address !== "127.255.255.255";
}
