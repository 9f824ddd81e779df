/**
 * The parts of an Istio `Sidecar` that change nothing about capture, and for which Istio would refuse the whole
 * resource all the same: TLS of ingress listeners and connection pools (pkg/config/validation, Istio 1.26).
 */
import { fieldOf, isAbsent, type ShapeReader } from "./documentShape.js";
import { isTls } from "./sidecarValues.js";

const tlsModes = ["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] as const;
/** What a gateway may have and a sidecar's listener may not. */
const foreign = ["subjectAltNames", "credentialNames", "tlsCertificates"];

/** @param protocol of the listener's port. */
export function checkTls(read: ShapeReader, value: unknown, path: string, protocol: string): void {
  const tls = read.record(value, path);
  if (tls === undefined) return;
  const text = (key: string): string => read.text(fieldOf(tls, key), `${path}.${key}`);
  for (const key of foreign) {
    const items = read.list(fieldOf(tls, key), `${path}.${key}`);
    if (items.length > 0) read.refuse(`${path}.${key}`, items, "is not supported for a Sidecar's ingress listener");
  }
  if (text("credentialName") !== "")
    read.refuse(`${path}.credentialName`, text("credentialName"), "is not supported for a Sidecar's ingress listener");
  if (read.flag(fieldOf(tls, "httpsRedirect"), `${path}.httpsRedirect`))
    read.refuse(`${path}.httpsRedirect`, true, "is not supported for a Sidecar's ingress listener");
  if (!isTls(protocol)) read.refuse(path, protocol, "only a port of protocol HTTPS or TLS may have TLS settings");

  const mode = read.choice(fieldOf(tls, "mode"), `${path}.mode`, tlsModes);
  if (mode === "ISTIO_MUTUAL" || mode === "AUTO_PASSTHROUGH")
    read.refuse(`${path}.mode`, mode, "is not a mode for a Sidecar's ingress listener");
  if (mode === "SIMPLE" && text("caCrl") !== "")
    read.refuse(`${path}.caCrl`, text("caCrl"), "SIMPLE has no use for a list of revoked certificates");
  const needed = {
    SIMPLE: ["serverCertificate", "privateKey"],
    MUTUAL: ["serverCertificate", "privateKey", "caCertificates"],
    OPTIONAL_MUTUAL: ["serverCertificate", "privateKey", "caCertificates"],
    ISTIO_MUTUAL: [],
    AUTO_PASSTHROUGH: [],
    PASSTHROUGH: [],
  }[mode ?? "PASSTHROUGH"];
  for (const key of needed) if (text(key) === "") read.refuse(`${path}.${key}`, "", `is needed for the mode ${mode}`);
}

/** Nanoseconds of a duration as Go writes it, `1m30s`. @returns undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
  if (text === "0") return 0;
  const match = /^([-+]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+)$/.exec(text);
  if (match === null) return undefined;
  const parts = (match[2] ?? "").matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g);
  const sum = [...parts].reduce((total, [, number, unit]) => total + Number(number) * (units[unit ?? ""] ?? 0), 0);
  return match[1] === "-" ? -sum : sum;
}

const httpCounts = ["http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries"];
httpCounts.push("maxConcurrentStreams");
const upgrades = ["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] as const;

/** `connectionPool` of a listener, `inboundConnectionPool` of the Sidecar. */
export function checkPool(read: ShapeReader, value: unknown, path: string): void {
  const pool = read.record(value, path);
  if (pool === undefined) return;
  const http = read.record(fieldOf(pool, "http"), `${path}.http`);
  const tcp = read.record(fieldOf(pool, "tcp"), `${path}.tcp`);
  if (isAbsent(fieldOf(pool, "http")) && isAbsent(fieldOf(pool, "tcp")))
    read.refuse(path, pool, "a connection pool needs http or tcp");
  const count = (from: unknown, at: string, key: string): void => {
    const number = read.integer(fieldOf(from, key), `${at}.${key}`);
    if (number !== undefined && number < 0) read.refuse(`${at}.${key}`, number, "must not be negative");
  };
  const duration = (from: unknown, at: string, key: string, options: { readonly zero?: boolean } = {}): void => {
    const text = read.text(fieldOf(from, key), `${at}.${key}`);
    if (text === "") return;
    const length = parseDuration(text);
    if (length === undefined) read.refuse(`${at}.${key}`, text, "not a duration: 10s, 1m30s");
    else if (options.zero === true && Math.trunc(length / 1e6) === 0) return;
    else if (length < 1e6 || length % 1e6 !== 0)
      read.refuse(`${at}.${key}`, text, "must be at least 1ms, and whole milliseconds");
  };

  for (const key of httpCounts) count(http, `${path}.http`, key);
  duration(http, `${path}.http`, "idleTimeout");
  const upgrade = read.choice(fieldOf(http, "h2UpgradePolicy"), `${path}.http.h2UpgradePolicy`, upgrades);
  const keeps = read.flag(fieldOf(http, "useClientProtocol"), `${path}.http.useClientProtocol`);
  if (upgrade === "UPGRADE" && keeps)
    read.refuse(`${path}.http.useClientProtocol`, true, "contradicts h2UpgradePolicy UPGRADE");

  count(tcp, `${path}.tcp`, "maxConnections");
  for (const key of ["connectTimeout", "maxConnectionDuration"]) duration(tcp, `${path}.tcp`, key);
  duration(tcp, `${path}.tcp`, "idleTimeout", { zero: true });
  const alive = read.record(fieldOf(tcp, "tcpKeepalive"), `${path}.tcp.tcpKeepalive`);
  for (const key of ["time", "interval"]) duration(alive, `${path}.tcp.tcpKeepalive`, key);
}
