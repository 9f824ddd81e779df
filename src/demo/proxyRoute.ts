import { type Endpoint, formatEndpoint, parseEndpoint } from "../model/endpoint.js";

/** The mesh as the proxy knows it: a service's address and who stands behind it. Keys as {@link formatEndpoint}. */
export type Services = ReadonlyMap<string, readonly Endpoint[]>;

/** `10.96.0.10:5000=10.77.0.3:5000,10.77.0.4:5000`, each. @throws RangeError for anything else. */
export function parseServices(texts: readonly string[]): Services {
  return new Map(
    texts.map((text) => {
      const [service = "", workloads = "", ...more] = text.split("=");
      if (more.length > 0) throw new RangeError(`not a service: ${text}`);
      return [formatEndpoint(parseEndpoint(service)), workloads.split(",").map(parseEndpoint)] as const;
    }),
  );
}

/** Chooses where a request goes: a service's workloads in turn; anything else where it was going. */
export function createPicker(services: Services): (original: Endpoint) => Endpoint {
  const turns = new Map<string, number>();
  return (original) => {
    const key = formatEndpoint(original);
    const workloads = services.get(key) ?? [];
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    return workloads[turn % workloads.length] ?? original;
  };
}

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

/**
 * What a connection's first bytes say it is. HTTP/2 ("PRI …") and TLS are tcp here.
 * @returns `more` while they could still become HTTP.
 */
export function classify(bytes: Uint8Array): "http" | "tcp" | "more" {
  const start = Buffer.from(bytes.subarray(0, 8)).toString("latin1");
  if (methods.some((method) => start.startsWith(`${method} `))) return "http";
  return methods.some((method) => `${method} `.startsWith(start)) ? "more" : "tcp";
}
