/** The structs of bpf/contract.h, by name, bound to the layout of the object that is loaded. */
import { createHash } from "node:crypto";
import type { BtfEnum, BtfStruct } from "../kernel/native.js";
import { type UnknownPods, unknownPods } from "../model/status.js";
import { directions, reasons, verdicts } from "../model/verdict.js";
import { type Codec, checkEnum, enumNames, LayoutError, structCodec, type ValueOf } from "./layout.js";

const address = { family: "uint", words: "bytes" } as const;
const podRecord = {
  cgroup_id: "u64",
  policy: "u64",
  netns_cookie: "u64",
  proxy_cgroup_id: "u64",
  ipv4: address,
  ipv6: address,
  flags: "uint",
  uid_base: "uint",
  gid_base: "uint",
} as const;
const policy = {
  id: "u64",
  flags: "uint",
  proxy_uid: "uint",
  proxy_gid: "uint",
  outbound_port: "uint",
  inbound_port: "uint",
  loopback: "uint",
  loopback_mask: "uint",
} as const;
const portKey = { policy: "u64", port: "uint", direction: "uint" } as const;
const rangeKey = { prefix_length: "uint", family: "uint", policy: "u64", words: "bytes" } as const;
const groupKey = { policy: "u64", gid: "uint" } as const;
const interfaceKey = { pod: "u64", index: "uint" } as const;
const rule = { verdict: "uint", reason: "uint" } as const;
const localKey = { pod: "u64", address } as const;
const verdictKey = { pod: "u64", direction: "uint", verdict: "uint", reason: "uint" } as const;
const control = { first_level: "u64", pod_levels: "u64", flow_interval: "u64", unknown_pods: "u64" } as const;
const cgroupPlace = { id: "u64", level: "uint" } as const;
const listenerSearch = { pod: "u64", netns_cookie: "u64", port: "uint" } as const;
const foundListener = { netns_cookie: "u64", listening: "uint", error: "uint" } as const;
const flow = {
  time: "u64",
  pod: "u64",
  source: address,
  destination: address,
  source_port: "uint",
  destination_port: "uint",
  pid: "uint",
  uid: "uint",
  direction: "uint",
  verdict: "uint",
  reason: "uint",
  protocol: "uint",
  target_port: "uint",
  command: "bytes",
} as const;

export type PodRecord = ValueOf<typeof podRecord>;

export interface Contract {
  /** Changes whenever a layout does: pinned maps of another hash are not ours to read. */
  readonly hash: string;
  readonly podRecord: Codec<typeof podRecord>;
  readonly policy: Codec<typeof policy>;
  readonly portKey: Codec<typeof portKey>;
  readonly rangeKey: Codec<typeof rangeKey>;
  readonly groupKey: Codec<typeof groupKey>;
  readonly interfaceKey: Codec<typeof interfaceKey>;
  readonly rule: Codec<typeof rule>;
  readonly localKey: Codec<typeof localKey>;
  readonly verdictKey: Codec<typeof verdictKey>;
  readonly control: Codec<typeof control>;
  readonly cgroupPlace: Codec<typeof cgroupPlace>;
  readonly listenerSearch: Codec<typeof listenerSearch>;
  readonly foundListener: Codec<typeof foundListener>;
  readonly flow: Codec<typeof flow>;
  /** Names of the `counters` map's elements, by index. */
  readonly counters: readonly string[];
  /** Bits of a range key before the address: family and policy. */
  readonly rangeKeyFixedBits: number;
  /** Added to the family of a range key: a route of the pod's. */
  readonly rangeRoute: number;
  readonly policyFlags: Readonly<Record<PolicyFlag, number>>;
  readonly podFlags: Readonly<Record<PodFlag, number>>;
  /** What an entry of `pods` says of a pod that is known and not to be captured, instead of a slot. */
  readonly outsideSlot: number;
  /** What becomes of calls from pods that are not known. */
  readonly unknownPods: Readonly<Record<UnknownPods, number>>;
}

export const policyFlags = [
  "capture-other-outbound",
  "keep-local",
  "has-outbound-ports",
  "has-ranges",
  "capture-other-inbound",
  "has-inbound-ports",
  "has-routes",
  "groups-included",
  "groups-excluded",
  "dns",
  "dns-all-servers",
  "sidecar-none",
] as const;
export type PolicyFlag = (typeof policyFlags)[number];

export const podFlags = ["ipv6", "proxy-cgroup-only"] as const;
export type PodFlag = (typeof podFlags)[number];

/**
 * @param btf of the object file, from `native().readBtf`.
 * @throws LayoutError if the object was compiled from another contract than this code was written for.
 */
export function bindContract(btf: { structs: readonly BtfStruct[]; enums: readonly BtfEnum[] }): Contract {
  checkEnum(btf.enums, "verdict", verdicts);
  checkEnum(btf.enums, "reason", reasons);
  checkEnum(btf.enums, "direction", directions);
  return {
    hash: layoutHash(btf),
    podRecord: structCodec(btf.structs, "pod_record", podRecord),
    policy: structCodec(btf.structs, "policy", policy),
    portKey: structCodec(btf.structs, "port_key", portKey),
    rangeKey: structCodec(btf.structs, "range_key", rangeKey),
    groupKey: structCodec(btf.structs, "group_key", groupKey),
    interfaceKey: structCodec(btf.structs, "interface_key", interfaceKey),
    rule: structCodec(btf.structs, "rule", rule),
    localKey: structCodec(btf.structs, "local_key", localKey),
    verdictKey: structCodec(btf.structs, "verdict_key", verdictKey),
    control: structCodec(btf.structs, "control", control),
    cgroupPlace: structCodec(btf.structs, "cgroup_place", cgroupPlace),
    listenerSearch: structCodec(btf.structs, "listener_search", listenerSearch),
    foundListener: structCodec(btf.structs, "found_listener", foundListener),
    flow: structCodec(btf.structs, "flow", flow),
    counters: [...enumNames(btf.enums, "counter")].sort(([a], [b]) => a - b).map(([, name]) => name),
    rangeKeyFixedBits: enumValues(btf.enums, "range_key_bits", ["fixed"]).fixed,
    rangeRoute: enumValues(btf.enums, "range_key_bits", ["route"]).route,
    policyFlags: enumValues(btf.enums, "policy_flag", policyFlags),
    podFlags: enumValues(btf.enums, "pod_flag", podFlags),
    outsideSlot: enumValues(btf.enums, "pod_slot", ["outside"]).outside,
    unknownPods: enumValues(btf.enums, "unknown_pods", unknownPods),
  };
}

/** @throws LayoutError if a name that is used here is not in the C enum. */
function enumValues<N extends string>(enums: readonly BtfEnum[], name: string, names: readonly N[]): Record<N, number> {
  const compiled = new Map([...enumNames(enums, name)].map(([value, text]) => [text, value]));
  const missing = names.filter((wanted) => !compiled.has(wanted));
  if (missing.length > 0) throw new LayoutError(`enum ${name}: has no ${missing.join(", ")}`);
  return Object.fromEntries(names.map((wanted) => [wanted, compiled.get(wanted)])) as Record<N, number>;
}

/** Over the types that stand in pinned maps, nested ones included. */
function layoutHash(btf: { structs: readonly BtfStruct[]; enums: readonly BtfEnum[] }): string {
  const structs = [
    "group_key",
    "interface_key",
    "dns_socket",
    "dns_server",
    "address",
    "origin",
    "handoff_key",
    "pod_record",
    "policy",
    "port_key",
    "range_key",
    "rule",
  ];
  structs.push("local_key", "listener_key", "proxy_socket", "verdict_key", "control", "flow");
  const enums = [
    "verdict",
    "reason",
    "direction",
    "policy_flag",
    "pod_flag",
    "pod_slot",
    "unknown_pods",
    "local_flag",
    "range_key_bits",
    "counter",
  ];
  const types = [
    ...btf.structs.filter((struct) => structs.includes(struct.name)),
    ...btf.enums.filter((entry) => enums.includes(entry.name)),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(types)).digest("hex").slice(0, 12);
}
