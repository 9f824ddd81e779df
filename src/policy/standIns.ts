/**
 * Values for the whole mesh that stand in where a pod has no annotation of that name, as Istio's chart values
 * (`global.proxy.includeIPRanges` and its like) are what the injector writes where there is none. So they are as
 * strong as the annotation would be.
 */
import { parseStatusPort, statusPortKey, traffic } from "./annotations.js";
import { type Parsed, parsePorts, parsePortsOrStar, parseRanges } from "./values.js";

/** Parsers of the lists, by the annotation's name. */
export const lists = {
  includeOutboundIPRanges: (text: string): Parsed<unknown> => parseRanges(text, { star: true }),
  excludeOutboundIPRanges: (text: string): Parsed<unknown> => parseRanges(text, { star: false }),
  includeOutboundPorts: parsePorts as (text: string) => Parsed<unknown>,
  excludeOutboundPorts: parsePorts as (text: string) => Parsed<unknown>,
  includeInboundPorts: parsePortsOrStar as (text: string) => Parsed<unknown>,
  excludeInboundPorts: parsePorts as (text: string) => Parsed<unknown>,
} as const;
export type List = keyof typeof lists;

interface Place {
  /** Key of the annotation that it stands in for. */
  readonly annotation: string;
  readonly parse: (text: string) => Parsed<unknown>;
}

const list = (name: List): Place => ({ annotation: traffic(name), parse: lists[name] });

/** By the flag without its dashes. */
export const standInFlags = {
  "include-outbound-ip-ranges": list("includeOutboundIPRanges"),
  "exclude-outbound-ip-ranges": list("excludeOutboundIPRanges"),
  "include-outbound-ports": list("includeOutboundPorts"),
  "exclude-outbound-ports": list("excludeOutboundPorts"),
  "include-inbound-ports": list("includeInboundPorts"),
  "exclude-inbound-ports": list("excludeInboundPorts"),
  "status-port": { annotation: statusPortKey, parse: parseStatusPort },
} as const satisfies Record<string, Place>;
export type StandInFlag = keyof typeof standInFlags;
export const standInNames = Object.keys(standInFlags) as StandInFlag[];

export interface StandIn {
  /** As the annotation would be written; one that can be read. */
  readonly text: string;
  /** Who says it: `--exclude-outbound-ports`; undefined of a file. */
  readonly flag?: string;
  /** Where that is written: the flag, or the file and the key in it. */
  readonly source: string;
}

/** By the annotation's key. */
export type StandIns = ReadonlyMap<string, StandIn>;

/** @returns a value that cannot be read as the annotation's would be: which, and why. */
export function readStandIns(
  flags: Readonly<Partial<Record<StandInFlag, string | undefined>>>,
): { readonly standIns: StandIns } | { readonly flag: StandInFlag; readonly why: string } {
  const standIns = new Map<string, StandIn>();
  for (const flag of standInNames) {
    const text = flags[flag];
    if (text === undefined) continue;
    const { annotation, parse } = standInFlags[flag];
    const parsed = parse(text);
    if ("why" in parsed) return { flag, why: parsed.why };
    standIns.set(annotation, { text, flag: `--${flag}`, source: `--${flag}` });
  }
  return { standIns };
}
