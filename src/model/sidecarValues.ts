/**
 * Values in an Istio `Sidecar`. Each check returns why a value is refused, or undefined; the rules are those of
 * pkg/config/validation in Istio 1.26.
 */
import { parseIpv4Bytes, parseIpv6Bytes } from "./addressText.js";
import { isDnsLabel, refuseWildcardName } from "./dnsName.js";

const unixPrefix = "unix://";

export function isUnix(address: string): boolean {
  return address.startsWith(unixPrefix);
}

/** `unix:///path` or `unix://@abstract`. */
export function refuseUnix(address: string): string | undefined {
  const path = address.slice(unixPrefix.length);
  if (path === "") return "the path of the unix socket is missing";
  if (path.startsWith("@")) return undefined;
  return path.startsWith("/") && !path.endsWith("/")
    ? undefined
    : "must be an absolute path to a file: unix:///dir/file";
}

/** An address as Go's netip.ParseAddr takes it: IPv6 may have a zone. */
export function refuseAddress(text: string): string | undefined {
  const [, address = text, zone] = /^([^%]*)%(.*)$/s.exec(text) ?? [];
  const bytes = zone === undefined ? (parseIpv4Bytes(text) ?? parseIpv6Bytes(text)) : parseIpv6Bytes(address);
  return bytes === undefined || zone === "" ? "not an IPv4 or IPv6 address" : undefined;
}

export function refusePort(port: number): string | undefined {
  return port >= 1 && port <= 65535 ? undefined : "a port is 1 to 65535";
}

const protocols = "tcp udp grpc grpc-web http http_proxy http2 https tls mongo redis mysql".split(" ");

/** "" leaves it to the proxy to find out. */
export function refuseProtocol(text: string): string | undefined {
  return text === "" || protocols.includes(text.toLowerCase())
    ? undefined
    : `not a protocol that Istio knows: ${protocols.join(", ").toUpperCase()}`;
}

export function isTls(protocol: string): boolean {
  return ["https", "tls"].includes(protocol.toLowerCase());
}

/** The hosts that a listener's traffic may be handed on to, all of them the pod itself. */
const ownHosts = ["", "127.0.0.1", "0.0.0.0", "::1", "::"];

/** `127.0.0.1:8080`, `[::1]:8080`, `:8080` or a unix socket. */
export function refuseEndpoint(text: string): string | undefined {
  if (isUnix(text)) return refuseUnix(text);
  // net.SplitHostPort: an address with colons stands in brackets.
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(text);
  if (match === null) return "must be an address and a port, 127.0.0.1:8080, or unix:///path";
  const host = match[1] ?? match[2] ?? "";
  if (!ownHosts.includes(host))
    return "must be 127.0.0.1, 0.0.0.0, [::1], [::] or no host, and a port, or unix:///path";
  const port = match[3] ?? "";
  return /^[-+]?[0-9]+$/.test(port) ? refusePort(Number(port)) : "the port is not a number";
}

/** `namespace/dnsName`. */
export function refuseHost(text: string): string | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return "must be of the form namespace/dnsName";
  const namespace = text.slice(0, slash);
  const name = text.slice(slash + 1);
  if (namespace === "" || name === "") return "neither the namespace nor the DNS name may be empty";
  if (!["*", ".", "~"].includes(namespace) && !isDnsLabel(namespace))
    return 'the namespace must be *, ".", ~ or a name';
  if (name !== "*" && !name.includes(".")) return "a short name is not accepted: write the whole DNS name, or *";
  return refuseWildcardName(name);
}
