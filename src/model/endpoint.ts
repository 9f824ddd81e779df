import { formatAddress, parseAddress } from "./address.js";

/** An address and a TCP port. */
export interface Endpoint {
  /** As {@link formatAddress} writes it, so equal addresses are equal text; a v4-mapped one is IPv4. */
  readonly address: string;
  readonly port: number;
}

/** `10.96.0.10:5000`, `[fd00::1]:5000`. @throws RangeError if it is something else. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const endpoint = match && makeEndpoint(match[1] ?? match[2], Number(match[3]));
  if (!endpoint || endpoint.port > 65535) throw new RangeError(`not an address and a port: ${text}`);
  return endpoint;
}

/** @returns undefined if the address is not one (a socket that is closed has none). */
export function makeEndpoint(address: string | undefined, port: number | undefined): Endpoint | undefined {
  const parsed = parseAddress(address ?? "");
  return parsed === undefined || port === undefined ? undefined : { address: formatAddress(parsed), port };
}

/** The form that {@link parseEndpoint} reads; "" for undefined. */
export function formatEndpoint(endpoint: Endpoint | undefined): string {
  if (endpoint === undefined) return "";
  const { address, port } = endpoint;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
