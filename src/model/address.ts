import ipaddr from "ipaddr.js";
import { parseIpv4Bytes, parseIpv6Bytes } from "./addressText.js";

/**
 * One address form everywhere (as in bpf/addr.h): a family and 16 bytes.
 * An IPv4 address stands in the first four; a v4-mapped IPv6 address is IPv4.
 */
export interface Address {
  readonly family: 4 | 6;
  /** 16 bytes; for family 4 the last twelve are 0. */
  readonly bytes: Uint8Array;
}

/** An address block. Host bits are 0. */
export interface Prefix {
  readonly address: Address;
  /** Bits: 0–32 for family 4, 0–128 for family 6. */
  readonly length: number;
}

const v4Mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/**
 * @param bytes 4 or 16 of them, in network order.
 * @throws RangeError for any other number.
 */
export function addressFromBytes(bytes: Uint8Array): Address {
  const padded = new Uint8Array(16);
  if (bytes.length === 4) {
    padded.set(bytes);
    return { family: 4, bytes: padded };
  }
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  if (v4Mapped.every((byte, i) => bytes[i] === byte)) {
    padded.set(bytes.subarray(12));
    return { family: 4, bytes: padded };
  }
  padded.set(bytes);
  return { family: 6, bytes: padded };
}

/**
 * Parses an address as a person writes it: four decimal parts, or IPv6 without a zone.
 * @returns undefined if it is not one, as Go's netip, which Istio and Kubernetes use, has it: no octal, no short forms.
 */
export function parseAddress(text: string): Address | undefined {
  const ipv4 = parseIpv4Bytes(text, new Uint8Array(16));
  if (ipv4 !== undefined) return { family: 4, bytes: ipv4 };
  const bytes = parseIpv6Bytes(text);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

/** `10.0.0.1`, `2001:db8::1` (RFC 5952). */
export function formatAddress(address: Address): string {
  const { bytes } = address;
  if (address.family === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return new ipaddr.IPv6([...bytes]).toRFC5952String();
}

/** `10.0.0.0/8`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** Most often they are one object: what is wanted becomes what is there. */
export function sameAddress(a: Address, b: Address): boolean {
  if (a === b) return true;
  if (a.family !== b.family) return false;
  for (let i = 0; i < a.bytes.length; i++) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}

/** Clears the host bits. @param length bits, within the family's range. */
export function maskAddress(address: Address, length: number): Prefix {
  return { address: { family: address.family, bytes: clearHostBits(address.bytes.slice(), length) }, length };
}

/** In place, for those that are nobody else's yet. @returns the same bytes. */
export function clearHostBits(bytes: Uint8Array, length: number): Uint8Array {
  const whole = length >> 3;
  if (whole < bytes.length) bytes[whole] = (bytes[whole] ?? 0) & leadingBits(length);
  for (let i = whole + 1; i < bytes.length; i++) bytes[i] = 0;
  return bytes;
}

/** The mask of the byte in which a prefix ends. */
function leadingBits(length: number): number {
  return 0xff & (0xff00 >> (length & 7));
}

/** Whether every address of `inner` is one of `outer`. Families never match each other. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.address.family !== inner.address.family || outer.length > inner.length) return false;
  const a = outer.address.bytes;
  const b = inner.address.bytes;
  const whole = outer.length >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  return (((a[whole] ?? 0) ^ (b[whole] ?? 0)) & leadingBits(outer.length)) === 0;
}
