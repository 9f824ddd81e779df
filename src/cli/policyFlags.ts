/** Flags that say what is captured where a pod does not say it itself: the same for `run` and `explain`. */
import { UsageError } from "../errors.js";
import { type Config, isNamespaceName } from "../policy/config.js";
import { defaultExcludedNamespaces } from "../policy/enrolment.js";
import { readStandIns } from "../policy/standIns.js";

export const policyFlags = {
  config: { type: "string" },
  "include-outbound-ip-ranges": { type: "string" },
  "exclude-outbound-ip-ranges": { type: "string" },
  "include-outbound-ports": { type: "string" },
  "exclude-outbound-ports": { type: "string" },
  "include-inbound-ports": { type: "string" },
  "exclude-inbound-ports": { type: "string" },
  "status-port": { type: "string" },
  "exclude-namespaces": { type: "string" },
  "skip-iptables-pods": { type: "boolean" },
} as const;

export const policyFlagsHelp = `  --include-outbound-ip-ranges R, --exclude-outbound-ip-ranges R,
  --include-outbound-ports P, --exclude-outbound-ports P,
  --include-inbound-ports P, --exclude-inbound-ports P
                     what stands in where a pod has no annotation traffic.sidecar.istio.io/… of that name, written
                     as there: --exclude-outbound-ip-ranges 10.96.0.1/32 leaves the API server's address alone
  --status-port P    the same for status.sidecar.istio.io/port (default: 15020)
  --exclude-namespaces N,…
                     namespaces whose pods are left alone (default: ${defaultExcludedNamespaces.join(",")})
  --skip-iptables-pods
                     leave pods alone whose istio-init makes iptables rules
  --config FILE      these settings as YAML, with the keys of Istio's charts, for what no flag says:
                       global: {proxy: {includeIPRanges, excludeIPRanges, includeOutboundPorts,
                                excludeOutboundPorts, includeInboundPorts, excludeInboundPorts, statusPort}}
                       excludeNamespaces: [N, …]
                       skipIptablesPods: true
                     While the agent runs, an edit of the file holds at once
`;

type Values = { readonly [flag in keyof typeof policyFlags]?: string | boolean | undefined };

/** @throws UsageError that names the flag and what is wrong with its value. */
export function readPolicyFlags(command: string, values: Values): Config {
  const text = (flag: keyof Values): string | undefined => {
    const value = values[flag];
    return typeof value === "string" ? value : undefined;
  };
  const read = readStandIns({
    "include-outbound-ip-ranges": text("include-outbound-ip-ranges"),
    "exclude-outbound-ip-ranges": text("exclude-outbound-ip-ranges"),
    "include-outbound-ports": text("include-outbound-ports"),
    "exclude-outbound-ports": text("exclude-outbound-ports"),
    "include-inbound-ports": text("include-inbound-ports"),
    "exclude-inbound-ports": text("exclude-inbound-ports"),
    "status-port": text("status-port"),
  });
  if ("why" in read) throw new UsageError(`shunt ${command}: --${read.flag} ${text(read.flag)}: ${read.why}`);
  const namespaces = text("exclude-namespaces");
  return {
    standIns: read.standIns,
    ...(namespaces === undefined
      ? {}
      : { excludeNamespaces: { names: splitNames(command, namespaces), source: "--exclude-namespaces" } }),
    ...(values["skip-iptables-pods"] === true
      ? { skipIptablesPods: { skip: true, source: "--skip-iptables-pods" } }
      : {}),
  };
}

function splitNames(command: string, text: string): string[] {
  const names = text === "" ? [] : text.split(",").map((name) => name.trim());
  const bad = names.find((name) => !isNamespaceName(name));
  if (bad === undefined) return names;
  throw new UsageError(
    `shunt ${command}: --exclude-namespaces ${text}: ${JSON.stringify(bad)} is not a namespace's name`,
  );
}
