/**
 * A network namespace's routes, as /proc/PID/net shows them (net/ipv4/fib_trie.c, fib_route_seq_show(), and
 * net/ipv6/route.c, ipv6_route_seq_show()). Of IPv4 it is the main table.
 */
import { type Address, addressFromBytes, maskAddress, type Prefix } from "../model/address.js";

export interface Route {
  readonly prefix: Prefix;
  readonly interface: string;
}

/** <linux/route.h>. */
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;
const RTF_LOCAL = 0x80000000;

interface Candidate extends Route {
  readonly metric: number;
}

/** Of several routes to one prefix the kernel takes that with the smallest metric, and of equal ones the first. */
function best(candidates: readonly Candidate[]): Route[] {
  const found = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const { address, length } = candidate.prefix;
    const key = `${address.family} ${address.bytes.join(".")}/${length}`;
    const known = found.get(key);
    if (known === undefined || candidate.metric < known.metric) found.set(key, candidate);
  }
  return [...found.values()].map(({ prefix, interface: name }) => ({ prefix, interface: name }));
}

/** A word of /proc/net/route: the 32 bits in network order, printed as a number of this machine. */
function wordBytes(hex: string): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, Number.parseInt(hex, 16), true);
  return bytes;
}

const bits = (bytes: Uint8Array): number =>
  bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);

/** @param text of /proc/PID/net/route. Lines of another form are passed over. */
export function parseRoutes4(text: string): Route[] {
  return best(
    text.split("\n").flatMap((line): Candidate[] => {
      const [name, destination, , flags = "", , , metric, mask] = line.split("\t");
      if (name === undefined || !/^[0-9A-F]{8}$/.test(destination ?? "") || !/^[0-9A-F]{8}$/.test(mask ?? ""))
        return [];
      const set = Number.parseInt(flags, 16);
      if ((set & RTF_UP) === 0 || (set & RTF_REJECT) !== 0) return [];
      const address: Address = addressFromBytes(wordBytes(destination ?? ""));
      const prefix = maskAddress(address, bits(wordBytes(mask ?? "")));
      return [{ prefix, interface: name, metric: Number(metric) }];
    }),
  );
}

/** @param text of /proc/PID/net/ipv6_route. Lines of another form are passed over. */
export function parseRoutes6(text: string): Route[] {
  return best(
    text.split("\n").flatMap((line): Candidate[] => {
      const [destination = "", length = "", , , , metric = "", , , flags = "", name] = line.trim().split(/\s+/);
      if (name === undefined || !/^[0-9a-f]{32}$/.test(destination)) return [];
      const set = Number.parseInt(flags, 16);
      // The pod's own addresses stand here with their interface, and leave by lo.
      if ((set & RTF_UP) === 0 || (set & (RTF_REJECT | RTF_LOCAL)) !== 0) return [];
      const address: Address = { family: 6, bytes: Uint8Array.from(Buffer.from(destination, "hex")) };
      const prefix: Prefix = { address, length: Number.parseInt(length, 16) };
      return [{ prefix, interface: name, metric: Number.parseInt(metric, 16) }];
    }),
  );
}
