/**
 * The values of Istio's annotations, with Istio's own rules (semantics, section 2): ports as strconv.ParseUint
 * reads them, ranges as netip.ParsePrefix, booleans as strconv.ParseBool. Stricter and laxer readings both
 * capture something else than Istio would.
 */
import { type Address, clearHostBits, type Prefix } from "../model/address.js";
import { parseIpv4Bytes, parseIpv6Bytes } from "../model/addressText.js";

/** A refusal names the item, not the whole list: a list can be long. */
export type Parsed<T> = { readonly value: T } | { readonly why: string; readonly item: string };

export interface Range {
  /** Host bits masked off. `::ffff:10.0.0.0/104` stays IPv6 and so holds no IPv4 address. */
  readonly prefix: Prefix;
  /** The address as written, before its host bits are masked off, is a loopback address (netip's IsLoopback). */
  readonly loopback: boolean;
}

/** The white space of Go's strings.TrimSpace; String.trim knows U+FEFF in addition and U+0085 not. */
const space = "[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const outerSpace = new RegExp(`^${space}|${space}$`, "g");

/** @returns the text without the white space around it, as Go trims. */
export function trimSpace(text: string): string {
  return isVisible(text.charCodeAt(0)) && isVisible(text.charCodeAt(text.length - 1))
    ? text
    : text.replace(outerSpace, "");
}

/** A character of ASCII that is not white space: at both ends of nearly every item, of which there may be thousands. */
function isVisible(code: number): boolean {
  return code > 0x20 && code < 0x7f;
}

/** One port, 0–65535; white space around it is fine. */
export function parsePort(text: string): Parsed<number> {
  const item = trimSpace(text);
  const refuse = (why: string): Parsed<number> => ({ why, item });
  if (/^[0-9]+$/.test(item)) {
    const value = Number(item);
    return value <= 65535 ? { value } : refuse("not a port: at most 65535");
  }
  if (item === "") return refuse("an empty item: remove the extra comma");
  const isRange = /^[0-9]+[-:][0-9]+$/.test(item);
  return refuse(
    isRange ? "a range of ports is not supported: list each port" : "not a port: decimal digits only, 0 to 65535",
  );
}

const [comma, zero, nine] = [0x2c, 0x30, 0x39];

/** Digits and commas alone, as nearly every list is. @returns undefined where there is more to it, or something is wrong. */
function plainPorts(text: string): number[] | undefined {
  const ports: number[] = [];
  let value = -1;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : comma;
    if (code === comma) {
      if (value < 0) return undefined;
      ports.push(value);
      value = -1;
    } else if (code >= zero && code <= nine) {
      value = Math.max(value, 0) * 10 + code - zero;
      if (value > 65535) return undefined;
    } else {
      return undefined;
    }
  }
  return ports;
}

/** Ports separated by commas. @returns them in the order written, duplicates included; "" is no port. */
export function parsePorts(text: string): Parsed<readonly number[]> {
  const plain = plainPorts(text);
  if (plain !== undefined) return { value: plain };
  const trimmed = trimSpace(text);
  if (trimmed === "*") return { why: "* is not accepted here: list the ports", item: "*" };
  return trimmed === "" ? { value: [] } : parseItems(trimmed.split(","), parsePort);
}

/** As {@link parsePorts}, or exactly `*`. */
export function parsePortsOrStar(text: string): Parsed<"*" | readonly number[]> {
  if (text === "*") return { value: "*" };
  if (trimSpace(text) === "*") return { why: "* must stand alone, without white space", item: text };
  return parsePorts(text);
}

/**
 * Address blocks separated by commas, without white space anywhere; "" is no block.
 * @param options.star whether exactly `*` is accepted, meaning all addresses.
 */
export function parseRanges(text: string, options: { readonly star: true }): Parsed<"*" | readonly Range[]>;
export function parseRanges(text: string, options: { readonly star: false }): Parsed<readonly Range[]>;
export function parseRanges(text: string, options: { readonly star: boolean }): Parsed<"*" | readonly Range[]> {
  if (text === "") return { value: [] };
  if (text === "*" && options.star) return { value: "*" };
  const items = text.split(",");
  // One piece of memory for all: each array of its own would take twice as much.
  const room = new ArrayBuffer(16 * items.length);
  return parseItems(items, (item, i) => {
    if (!item.includes("*") || trimSpace(item) !== "*") return parseRange(item, new Uint8Array(room, 16 * i, 16));
    return { why: options.star ? "* must stand alone" : "* is not accepted here: list address blocks", item };
  });
}

/** One address block, `10.0.0.0/8` or `2001:db8::/32`, with nothing around it. @param room 16 zeros for the address. */
export function parseRange(item: string, room = new Uint8Array(16)): Parsed<Range> {
  const slash = item.lastIndexOf("/");
  const address = slash < 0 ? undefined : readAddress(item.slice(0, slash), room);
  if (address === undefined) return { why: rangeRefusal(item, slash), item };
  const mask = item.slice(slash + 1);
  const bits = address.family === 4 ? 32 : 128;
  if (/^(?:0|[1-9][0-9]{0,2})$/.test(mask) && Number(mask) <= bits) {
    const length = Number(mask);
    const loopback = isLoopback(address);
    clearHostBits(address.bytes, length);
    return { value: { prefix: { address, length }, loopback } };
  }
  return { why: trimSpace(item) === item ? `the mask must be 0 to ${bits}` : whiteSpace, item };
}

const whiteSpace = "white space is not accepted around an address block";

/** Unlike parseAddress this does not turn a v4-mapped address into IPv4. */
function readAddress(text: string, room: Uint8Array): Address | undefined {
  const ipv4 = parseIpv4Bytes(text, room);
  if (ipv4 !== undefined) return { family: 4, bytes: ipv4 };
  const ipv6 = parseIpv6Bytes(text);
  return ipv6 && { family: 6, bytes: ipv6 };
}

/** Why there is no address before the slash. */
function rangeRefusal(item: string, slash: number): string {
  if (item === "") return "an empty item: remove the extra comma";
  if (trimSpace(item) !== item) return whiteSpace;
  if (slash < 0) return "the mask is missing: write 10.0.0.1/32 for one address";
  if (item.includes("%")) return "a zone is not accepted in an address block";
  return "not an IPv4 or IPv6 address block: write 10.0.0.0/8 or 2001:db8::/32";
}

/** netip.Addr.IsLoopback: 127/8, ::1, and v4-mapped 127/8. */
function isLoopback({ family, bytes }: Address): boolean {
  if (family === 4) return bytes[0] === 127;
  const zero = (from: number, to: number): boolean => bytes.subarray(from, to).every((byte) => byte === 0);
  return (
    (zero(0, 15) && bytes[15] === 1) || (zero(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff && bytes[12] === 127)
  );
}

function parseItems<T>(items: readonly string[], parse: (item: string, i: number) => Parsed<T>): Parsed<readonly T[]> {
  const value: T[] = [];
  for (const [i, item] of items.entries()) {
    const parsed = parse(item, i);
    if ("why" in parsed) return parsed;
    value.push(parsed.value);
  }
  return { value };
}

/** A name as istio-iptables takes it: at most 15 characters (IFNAMSIZ with its NUL), a letter first. */
function parseInterface(item: string): Parsed<string> {
  if (item === "") return { why: "an empty item: remove the extra comma", item };
  if (item.length <= 15 && /^[a-zA-Z][a-zA-Z0-9_.-]*$/.test(item)) return { value: item };
  return { why: "not the name of an interface: a letter, then letters, digits, _ . or -, 15 characters at most", item };
}

/** Names separated by commas, without white space; "" is none. */
export function parseInterfaces(text: string): Parsed<readonly string[]> {
  return text === "" ? { value: [] } : parseItems(text.split(","), parseInterface);
}

/** Istio's limit (tools/istio-iptables/pkg/config, ValidateOwnerGroups). */
const mostGroups = 64;

/** Numbers of groups separated by commas; empty items are passed over, as Istio does. */
export function parseGroups(text: string): Parsed<readonly number[]> {
  const value: number[] = [];
  for (const item of text.split(",")) {
    if (item === "") continue;
    // iptables would look a name up on the node; which pod's group it is, only the pod's image knows.
    if (!/^[0-9]+$/.test(item) || Number(item) > 0xfffffffe)
      return { why: "not the number of a group; names cannot be resolved outside the pod", item };
    value.push(Number(item));
  }
  return value.length <= mostGroups ? { value } : { why: `more than ${mostGroups} groups`, item: text };
}

/** As {@link parseGroups}, or exactly `*`. */
export function parseGroupsOrStar(text: string): Parsed<"*" | readonly number[]> {
  return text === "*" ? { value: "*" } : parseGroups(text);
}

/** Go's strconv.ParseBool. @returns undefined for anything else. */
export function parseBool(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  return undefined;
}
