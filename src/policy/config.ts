/**
 * The file of settings for the whole mesh. Its keys are those of Istio's charts: `global.proxy.…` of the chart
 * istiod, `excludeNamespaces` of the chart cni. Pure.
 */
import { loadAll, type YAMLException } from "js-yaml";
import { fieldOf, isAbsent, isRecord } from "../model/documentShape.js";
import { type Problem, shownValue } from "../model/problem.js";
import { defaultExcludedNamespaces } from "./enrolment.js";
import type { PolicyOptions } from "./podPolicy.js";
import { type StandIn, type StandInFlag, type StandIns, standInFlags } from "./standIns.js";

/** Settings of one place, a file or the flags: what it does not say is left to others. */
export interface Config {
  readonly standIns: StandIns;
  readonly excludeNamespaces?: { readonly names: readonly string[]; readonly source: string };
  readonly skipIptablesPods?: { readonly skip: boolean; readonly source: string };
}

export const noConfig: Config = { standIns: new Map() };

/** Key under `global.proxy` → the flag that says the same. */
const proxyKeys = {
  includeIPRanges: "include-outbound-ip-ranges",
  excludeIPRanges: "exclude-outbound-ip-ranges",
  includeOutboundPorts: "include-outbound-ports",
  excludeOutboundPorts: "exclude-outbound-ports",
  includeInboundPorts: "include-inbound-ports",
  excludeInboundPorts: "exclude-inbound-ports",
  statusPort: "status-port",
} as const satisfies Record<string, StandInFlag>;
type ProxyKey = keyof typeof proxyKeys;
/** Of these the injector writes no annotation if they are empty, so the default stays (1.26, injection template). */
const emptyIsAbsent: readonly ProxyKey[] = ["includeOutboundPorts", "excludeOutboundPorts"];

/** Problems of one file that are listed: a file of another kind has no end of them. */
const listedProblems = 8;

/** A name of a namespace, as the API server takes them (RFC 1123 label). */
export function isNamespaceName(name: unknown): name is string {
  return typeof name === "string" && /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(name);
}

/**
 * @param text YAML or JSON; a file of comments alone sets nothing, an empty one may be half written.
 * @param file for messages and as the source of what it says.
 * @returns all of it, or what is wrong with it. Never throws.
 */
export function readConfig(text: string, file: string): { config: Config } | { problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const refuse: Refuse = (key, value, why) => {
    if (problems.length === listedProblems) return;
    const shown = isAbsent(value) ? "" : shownValue(value);
    problems.push({ kind: "mesh", where: file, pod: "", key: shownValue(key, 200), value: shown, why });
  };
  const fields = (value: unknown, path: string, known: readonly string[]): void => {
    if (!isAbsent(value) && !isRecord(value)) refuse(path, value, "must be a mapping");
    for (const key of isRecord(value) ? Object.keys(value) : [])
      if (!known.includes(key))
        refuse(path === "file" ? key : `${path}.${key}`, fieldOf(value, key), `no such key: ${known.join(", ")}`);
  };

  const root = parse(text, refuse);
  fields(root, "file", ["global", "excludeNamespaces", "skipIptablesPods"]);
  const global = fieldOf(root, "global");
  fields(global, "global", ["proxy"]);
  const proxy = fieldOf(global, "proxy");
  fields(proxy, "global.proxy", Object.keys(proxyKeys));

  const standIns = new Map<string, StandIn>();
  for (const key of Object.keys(proxyKeys) as ProxyKey[]) {
    const value = fieldOf(proxy, key);
    if (isAbsent(value) || (value === "" && emptyIsAbsent.includes(key))) continue;
    const path = `global.proxy.${key}`;
    // One port needs no quotes in YAML.
    const written = Number.isSafeInteger(value) ? `${Number(value)}` : value;
    if (typeof written !== "string") {
      refuse(path, value, "must be text, with commas between the items: put it in quotes");
      continue;
    }
    const { annotation, parse: read } = standInFlags[proxyKeys[key]];
    const parsed = read(written);
    if ("why" in parsed) {
      const item = parsed.item === written ? "" : `${JSON.stringify(shownValue(parsed.item, 40))}: `;
      refuse(path, written, `${item}${parsed.why}`);
    } else standIns.set(annotation, { text: written, source: `${file} ${path}` });
  }

  const names = fieldOf(root, "excludeNamespaces");
  const list = Array.isArray(names) ? names : [];
  if (!isAbsent(names) && !Array.isArray(names)) refuse("excludeNamespaces", names, "must be a list of namespaces");
  for (const [i, name] of list.entries())
    if (!isNamespaceName(name)) refuse(`excludeNamespaces[${i}]`, name, "not a namespace's name");
  const skip = fieldOf(root, "skipIptablesPods");
  if (!isAbsent(skip) && typeof skip !== "boolean") refuse("skipIptablesPods", skip, "must be true or false");
  if (problems.length > 0) return { problems };
  const config: Config = {
    standIns,
    ...(isAbsent(names)
      ? {}
      : { excludeNamespaces: { names: list.filter(isNamespaceName), source: `${file} excludeNamespaces` } }),
    ...(typeof skip === "boolean" ? { skipIptablesPods: { skip, source: `${file} skipIptablesPods` } } : {}),
  };
  return { config };
}

type Refuse = (key: string, value: unknown, why: string) => void;

function parse(text: string, refuse: Refuse): unknown {
  let documents: readonly unknown[] = [];
  try {
    documents = loadAll(text, { maxAliases: 100 });
  } catch (error) {
    const { mark, reason } = error as Partial<YAMLException>;
    const line = mark === undefined ? "" : `line ${mark.line + 1}: `;
    refuse("file", undefined, `not YAML: ${line}${reason ?? (error as Error).message}`);
  }
  if (text.trim() === "") refuse("file", undefined, "is empty: to set nothing, write {}");
  if (documents.length > 1) refuse("file", undefined, "must hold one document");
  return documents[0];
}

/** What holds: of each setting what the flags say, else the file, else the default. */
export function policyOptions(flags: Config, file: Config): PolicyOptions {
  const namespaces = flags.excludeNamespaces ?? file.excludeNamespaces;
  const skip = flags.skipIptablesPods ?? file.skipIptablesPods;
  return {
    excludeNamespaces: namespaces?.names ?? defaultExcludedNamespaces,
    skipIptablesPods: skip?.skip ?? false,
    sources: { namespace: namespaces?.source ?? "default", iptables: skip?.source ?? "default" },
    standIns: new Map([...file.standIns, ...flags.standIns]),
  };
}
