/** The proxy among a pod's containers, and what its surroundings say of it. */
import { loadAll } from "js-yaml";
import type { Container, Pod } from "../model/pod.js";
import { shownValue } from "../model/problem.js";
import { type Parsed, parsePort } from "./values.js";

export const proxyContainerName = "istio-proxy";

/** The container `istio-proxy`: a normal one, or an init container that keeps running. */
export function findProxy(pod: Pod): Container | undefined {
  const isProxy = ({ name }: Container): boolean => name === proxyContainerName;
  return (
    pod.containers.find(isProxy) ?? pod.initContainers.find((container) => isProxy(container) && container.sidecar)
  );
}

/** `-p` and `-z` of istio-iptables (tools/istio-iptables/pkg/cmd, 1.26), which pflag also takes in their long form. */
const portFlags = { outbound: ["-p", "--envoy-port"], inbound: ["-z", "--inbound-capture-port"] } as const;
/** Its short flags that take no value. */
const switches = ["-n", "-f"];

/** A flag's value as pflag reads it: `-p 1`, `-p1`, `-p=1`, `--long 1`, `--long=1`; the last one wins. */
function flagValue(args: readonly string[], [short, long]: readonly [string, string]): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (!arg.startsWith("-")) continue;
    if (arg === "--") break;
    if (arg === short || arg === long) value = args[++i] ?? "";
    else if (arg.startsWith(`${long}=`)) value = arg.slice(long.length + 1);
    else if (arg.startsWith(short) && !arg.startsWith("--")) value = arg.slice(short.length).replace(/^=/, "");
    // Another flag's value may look like a flag itself.
    else if (/^-[a-z]$/.test(arg) && !switches.includes(arg)) i++;
  }
  return value;
}

/**
 * The proxy's port of a direction, from the arguments of `istio-validation` or `istio-init`.
 * @returns undefined if they do not name one.
 */
export function proxyPort(
  pod: Pod,
  direction: "outbound" | "inbound",
): { key: string; port: Parsed<number> } | undefined {
  for (const name of ["istio-validation", "istio-init"]) {
    const container = pod.initContainers.find((candidate) => candidate.name === name);
    const flags = portFlags[direction];
    const value = container === undefined ? undefined : flagValue(container.args, flags);
    if (value === undefined) continue;
    const port = parsePort(value);
    const none = "value" in port && port.value === 0;
    return {
      key: `${name} args ${flags[0]}`,
      port: none ? { why: "not a port to listen on: 1 to 65535", item: value } : port,
    };
  }
  return undefined;
}

/**
 * `proxyMetadata` of the annotation `proxy.istio.io/config`, whose value is YAML.
 * Istio reads it into a map of strings and refuses the pod if it is anything else.
 */
export function parseProxyMetadata(text: string): Parsed<ReadonlyMap<string, string>> {
  let config: unknown;
  try {
    config = loadAll(text, { maxAliases: 100 })[0];
  } catch (cause) {
    return { why: `not YAML: ${shownValue((cause as Error).message.split("\n")[0], 200)}`, item: text };
  }
  if (config === null || config === undefined) return { value: new Map() };
  if (!isRecord(config)) return { why: "not a YAML mapping", item: text };
  const metadata = config["proxyMetadata"] ?? {};
  if (!isRecord(metadata)) return { why: "proxyMetadata is not a YAML mapping", item: text };
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string")
      return { why: `proxyMetadata.${shownValue(key)} is not text: put it in quotes`, item: text };
    found.set(key, value);
  }
  return { value: found };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
