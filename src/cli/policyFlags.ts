/** Flags that say what is captured where a pod does not say it itself: the same for `run` and `explain`. */
import { UsageError } from "../errors.js";
import { defaultExcludedNamespaces } from "../policy/enrolment.js";
import type { PolicyOptions } from "../policy/podPolicy.js";
import { readStandIns } from "../policy/standIns.js";

export const policyFlags = {
  "include-outbound-ip-ranges": { type: "string" },
  "exclude-outbound-ip-ranges": { type: "string" },
  "include-outbound-ports": { type: "string" },
  "exclude-outbound-ports": { type: "string" },
  "include-inbound-ports": { type: "string" },
  "exclude-inbound-ports": { type: "string" },
  "exclude-namespaces": { type: "string" },
  "skip-iptables-pods": { type: "boolean", default: false },
} as const;

export const policyFlagsHelp = `  --include-outbound-ip-ranges R, --exclude-outbound-ip-ranges R,
  --include-outbound-ports P, --exclude-outbound-ports P,
  --include-inbound-ports P, --exclude-inbound-ports P
                     what stands in where a pod has no annotation traffic.sidecar.istio.io/… of that name, written
                     as there: --exclude-outbound-ip-ranges 10.96.0.1/32 leaves the API server's address alone
  --exclude-namespaces N,…
                     namespaces whose pods are left alone (default: ${defaultExcludedNamespaces.join(",")})
  --skip-iptables-pods
                     leave pods alone whose istio-init makes iptables rules
`;

type Values = { readonly [flag in keyof typeof policyFlags]?: string | boolean | undefined };

/** @throws UsageError that names the flag and what is wrong with its value. */
export function readPolicyFlags(command: string, values: Values): PolicyOptions {
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
  });
  if ("why" in read) throw new UsageError(`shunt ${command}: --${read.flag} ${text(read.flag)}: ${read.why}`);
  const namespaces = text("exclude-namespaces");
  const named = namespaces === undefined ? defaultExcludedNamespaces : splitNames(command, namespaces);
  return {
    excludeNamespaces: named,
    skipIptablesPods: values["skip-iptables-pods"] === true,
    standIns: read.standIns,
  };
}

function splitNames(command: string, text: string): string[] {
  const names = text === "" ? [] : text.split(",").map((name) => name.trim());
  const bad = names.find((name) => !/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(name));
  if (bad === undefined) return names;
  throw new UsageError(
    `shunt ${command}: --exclude-namespaces ${text}: ${JSON.stringify(bad)} is not a namespace's name`,
  );
}
