/**
 * Values for the whole mesh that stand in where a pod has no annotation of that name, as Istio's chart values
 * (`global.proxy.includeIPRanges` and its like) are what the injector writes where there is none. So they are as
 * strong as the annotation would be.
 */
import { traffic } from "./annotations.js";
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

/** Flag without its dashes → the annotation that it stands in for. */
export const standInFlags = {
  "include-outbound-ip-ranges": "includeOutboundIPRanges",
  "exclude-outbound-ip-ranges": "excludeOutboundIPRanges",
  "include-outbound-ports": "includeOutboundPorts",
  "exclude-outbound-ports": "excludeOutboundPorts",
  "include-inbound-ports": "includeInboundPorts",
  "exclude-inbound-ports": "excludeInboundPorts",
} as const satisfies Record<string, List>;
export type StandInFlag = keyof typeof standInFlags;
export const standInNames = Object.keys(standInFlags) as StandInFlag[];

/** Annotation key → text. */
export type StandIns = ReadonlyMap<string, string>;

/** @returns the flag that stands in for an annotation, with its dashes. */
export function standInFlagOf(list: List): string {
  return `--${standInNames.find((name) => standInFlags[name] === list)}`;
}

/** @returns a value that cannot be read as the annotation's would be: which, and why. */
export function readStandIns(
  flags: Readonly<Partial<Record<StandInFlag, string | undefined>>>,
): { readonly standIns: StandIns } | { readonly flag: StandInFlag; readonly why: string } {
  const standIns = new Map<string, string>();
  for (const flag of standInNames) {
    const text = flags[flag];
    if (text === undefined) continue;
    const parsed = lists[standInFlags[flag]](text);
    if ("why" in parsed) return { flag, why: parsed.why };
    standIns.set(traffic(standInFlags[flag]), text);
  }
  return { standIns };
}
