/**
 * Which proxy the environment names for a server, as kubectl and every other Go program reads it: HTTPS_PROXY, HTTP_PROXY
 * and NO_PROXY, capital letters first. https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 */
import { BlockList, isIP } from "node:net";

type Environment = Readonly<Record<string, string | undefined>>;

const named = (env: Environment, name: string): string => env[name] || env[name.toLowerCase()] || "";

const familyOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4");

/** @param range `10.0.0.0/8`. @returns undefined if it is none. */
function readRange(range: string): BlockList | undefined {
  const [, address = "", length = ""] = /^([^/]+)\/(\d+)$/.exec(range) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(length) > (family === 6 ? 128 : 32)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(length), familyOf(address));
  return list;
}

/** `host`, `host:port`, `1.2.3.4`, `1.2.3.4:443`, `fd00::1` or `[fd00::1]:443`. */
function splitPort(entry: string): { host: string; port: string } {
  if (isIP(entry) !== 0) return { host: entry, port: "" };
  const [, host = entry, port = ""] = /^(.*):(\d+)$/.exec(entry) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port };
}

/** Whether one entry of NO_PROXY speaks of the server. */
function excepts(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  const range = readRange(entry);
  if (range !== undefined) return isIP(host) !== 0 && range.check(host, familyOf(host));
  const named = splitPort(entry);
  if (named.port !== "" && named.port !== port) return false;
  if (isIP(named.host) !== 0) {
    const same = new BlockList();
    same.addAddress(named.host, familyOf(named.host));
    return isIP(host) !== 0 && same.check(host, familyOf(host));
  }
  // `.example` and `*.example` are what is below example, `example` is that and itself.
  const domain = named.host.replace(/^\*(?=\.)/, "");
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

/** @returns the proxy's URL, or undefined if the server is asked directly. This machine itself always is. */
export function proxyFor(server: URL, env: Environment): string | undefined {
  const proxy = named(env, server.protocol === "http:" ? "HTTP_PROXY" : "HTTPS_PROXY");
  if (proxy === "") return undefined;
  const host = server.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  const port = server.port || (server.protocol === "http:" ? "80" : "443");
  const entries = named(env, "NO_PROXY")
    .split(",")
    .map((entry) => entry.trim().toLowerCase());
  const direct = ["127.0.0.0/8", "::1", ...entries].some((entry) => entry !== "" && excepts(entry, host, port));
  if (direct || host === "localhost") return undefined;
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}
