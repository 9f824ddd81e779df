/** `--listen`: where metrics and probes are served. */
import { isIPv4, isIPv6 } from "node:net";
import { UsageError } from "../errors.js";

export const defaultListen = "127.0.0.1:15099";

export interface Listen {
  /** Undefined: every address of the machine. */
  readonly host: string | undefined;
  /** 0: one that is free. */
  readonly port: number;
}

/**
 * @param text `127.0.0.1:15099`, `[::1]:15099`, `:15099` (every address), `off`.
 * @returns undefined for `off`.
 * @throws UsageError in words.
 */
export function parseListen(text: string): Listen | undefined {
  if (text === "off") return undefined;
  const refuse = (why: string): never => {
    throw new UsageError(
      `shunt run: --listen ${text}: ${why}. Write it as ${defaultListen}, [::1]:15099, :15099 or off.`,
    );
  };
  const colon = text.lastIndexOf(":");
  const [before, digits] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  if (colon < 0 || isIPv6(text) || text.endsWith("]")) refuse("there is no port");
  if (!/^\d{1,5}$/.test(digits) || Number(digits) > 65535) refuse(`"${digits}" is no port`);
  const port = Number(digits);
  if (before === "") return { host: undefined, port };
  const inside = /^\[(.*)\]$/.exec(before)?.[1];
  if (isIPv6(before)) refuse("an IPv6 address stands in brackets");
  if (inside === undefined ? !isIPv4(before) : !isIPv6(inside)) refuse(`"${before}" is no IP address`);
  return { host: inside ?? before, port };
}
