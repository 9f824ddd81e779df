/** The question of `shunt explain`, from its flags and back into words. */
import { UsageError } from "../errors.js";
import { type Address, formatAddress, parseAddress } from "../model/address.js";
import { parseEndpoint } from "../model/endpoint.js";
import type { Question } from "../policy/question.js";
import { parsePort } from "../policy/values.js";

export function wrong(why: string): UsageError {
  return new UsageError(`shunt explain: ${why}. See "shunt explain --help".`);
}

export const questionFlags = {
  to: { type: "string" },
  udp: { type: "boolean", default: false },
  as: { type: "string" },
  uid: { type: "string" },
  gid: { type: "string" },
  from: { type: "string" },
  inbound: { type: "string" },
  ipv6: { type: "boolean", default: false },
  interface: { type: "string" },
} as const;

export interface Asked {
  readonly to?: string | undefined;
  readonly udp?: boolean | undefined;
  readonly as?: string | undefined;
  readonly uid?: string | undefined;
  readonly gid?: string | undefined;
  readonly from?: string | undefined;
  readonly inbound?: string | undefined;
  readonly ipv6?: boolean | undefined;
  readonly interface?: string | undefined;
}

/** The flags that are the question, of all that were given. */
export function askedOf(flags: Asked): Asked {
  const { to, udp, as, uid, gid, from, inbound, ipv6, interface: name } = flags;
  return { to, udp, as, uid, gid, from, inbound, ipv6, interface: name };
}

function destination(text: string): { destination: Address; port: number } {
  try {
    const { address, port } = parseEndpoint(text);
    const parsed = parseAddress(address);
    if (parsed !== undefined) return { destination: parsed, port };
  } catch {
    // Said below.
  }
  const hint = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:\d+$/.test(text) ? ": put the IPv6 address in brackets" : "";
  throw wrong(`--to ${text} is not an address and a port, such as 10.0.0.1:443 or [fd00::1]:443${hint}`);
}

/** 4294967295 stands for "no id" in the kernel. */
function id(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffffffff) return Number(text);
  throw wrong(`--${flag} ${text} is not the number of a ${flag === "uid" ? "user" : "group"}`);
}

/** @throws UsageError */
export function parseQuestion(flags: Asked): Question {
  const { to, inbound, ipv6 = false, udp = false, as, from, interface: name } = flags;
  if ((to === undefined) === (inbound === undefined)) throw wrong("it takes either --to IP:PORT or --inbound PORT");
  if (name === "") throw wrong("--interface takes the name of an interface, such as eth0");
  const protocol = udp ? "udp" : "tcp";
  if (inbound !== undefined) {
    if ([as, from, flags.uid, flags.gid].some((flag) => flag !== undefined))
      throw wrong("--as, --uid, --gid and --from belong to --to");
    const port = parsePort(inbound);
    if ("why" in port) throw wrong(`--inbound ${inbound}: ${port.why}`);
    return { direction: "inbound", port: port.value, family: ipv6 ? 6 : 4, protocol, interface: name };
  }
  if (ipv6) throw wrong("--ipv6 belongs to --inbound; --to says it by its address");
  if (as !== undefined && as !== "app" && as !== "proxy") throw wrong(`--as ${as}: it is app or proxy`);
  const asked = destination(to ?? "");
  const source = from === undefined ? undefined : parseAddress(from);
  if (from !== undefined && source === undefined) throw wrong(`--from ${from} is not an IP address`);
  if (source !== undefined && source.family !== asked.destination.family)
    throw wrong(`--from ${from} is not an IPv${asked.destination.family} address, as the destination is`);
  const [uid, gid] = [id("uid", flags.uid), id("gid", flags.gid)];
  return { direction: "outbound", protocol, ...asked, as: as ?? "app", uid, gid, source, interface: name };
}

/** For people: `the application (gid 7) to 10.0.0.1:443, tcp`. */
export function describeQuestion(question: Question): string {
  const by = question.interface === undefined ? "" : `, by ${question.interface}`;
  if (question.direction === "inbound") {
    const udp = question.protocol === "udp" ? ", udp" : "";
    return `inbound, port ${question.port}${udp}${question.family === 6 ? ", IPv6" : ""}${by}`;
  }
  const { destination: address, port, protocol, as, uid, gid, source } = question;
  const text = formatAddress(address);
  const to = `${address.family === 6 ? `[${text}]` : text}:${port}`;
  const given = [uid === undefined ? [] : `uid ${uid}`, gid === undefined ? [] : `gid ${gid}`].flat();
  const who = `${as === "app" ? "the application" : "the proxy"}${given.length === 0 ? "" : ` (${given.join(", ")})`}`;
  return `${who} to ${to}, ${protocol}${source === undefined ? "" : `, from ${formatAddress(source)}`}${by}`;
}
