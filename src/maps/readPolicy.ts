/**
 * The maps as they are pinned, read back into the model: for whoever asks what is in the kernel. Changes nothing,
 * unlike read.ts, which clears up; so it may be done beside an agent that runs.
 */
import type { KernelError, Native, NativeMap } from "../kernel/native.js";
import type { Policy, PortRule, RangeRule, RouteRule } from "../model/policy.js";
import { directions, reasons, verdicts } from "../model/verdict.js";
import type { Contract } from "./contract.js";
import { u32, u64 } from "./layout.js";
import { decodeAddress, decodePodRecord } from "./records.js";
import { fromLocalEntries, type LocalAddress, type PodState } from "./state.js";

/** What pods and policies are made of, and what holds for those that have neither. */
const readable = [
  "pods",
  "pod_records",
  "policies",
  "port_rules",
  "range_rules",
  "local_addrs",
  "owner_groups",
  "excluded_interfaces",
  "controls",
] as const;
type ReadableMap = (typeof readable)[number];
export type ReadableMaps = Readonly<Record<ReadableMap, NativeMap>>;
type PodMaps = Omit<ReadableMaps, "controls">;

/**
 * @param directory where the maps of this layout are pinned.
 * @returns handles, to be closed by the caller; undefined if one is not there: an agent was killed at its start.
 * @throws KernelError for anything else.
 */
export function openPinnedMaps(
  native: Pick<Native, "openPinnedMap">,
  directory: string,
): { readonly maps: ReadableMaps; close(): void } | undefined {
  const opened: [ReadableMap, NativeMap][] = [];
  const close = (): void => {
    for (const [, map] of opened) map.close();
  };
  try {
    for (const name of readable) opened.push([name, native.openPinnedMap(`${directory}/${name}`)]);
  } catch (error) {
    close();
    if ((error as Partial<KernelError>).code === "ENOENT") return undefined;
    throw error;
  }
  return { maps: Object.fromEntries(opened) as Record<ReadableMap, NativeMap>, close };
}

function elements(map: NativeMap): (readonly [key: Uint8Array, value: Uint8Array])[] {
  const { keySize, valueStride } = map.info;
  const { count, keys, values } = map.entries();
  return Array.from({ length: count }, (_, i) => [
    keys.subarray(i * keySize, (i + 1) * keySize),
    values.subarray(i * valueStride, (i + 1) * valueStride),
  ]);
}

/** Entries of the `pods` map but those of pods outside the mesh; undefined where the record in the slot is another pod's: the programs refuse it then. */
export function readPods(maps: PodMaps, contract: Contract): Map<bigint, PodState | undefined> {
  const addresses = new Map<bigint, LocalAddress[]>();
  for (const [key, [flags = 0]] of elements(maps.local_addrs)) {
    const { pod, address: encoded } = contract.localKey.decode(key);
    const address = decodeAddress(encoded);
    if (address !== undefined) addresses.set(pod, [...(addresses.get(pod) ?? []), { address, flags }]);
  }
  const interfaces = new Map<bigint, number[]>();
  for (const [key] of elements(maps.excluded_interfaces)) {
    const { pod, index } = contract.interfaceKey.decode(key);
    interfaces.set(pod, [...(interfaces.get(pod) ?? []), index]);
  }
  return new Map(
    elements(maps.pods).flatMap(([key, value]): [bigint, PodState | undefined][] => {
      const cgroupId = u64.decode(key);
      const slot = u32.decode(value);
      if (slot === contract.outsideSlot) return [];
      const bytes = maps.pod_records.lookup(u32.encode(slot));
      const record = bytes === undefined ? undefined : contract.podRecord.decode(bytes);
      if (record?.cgroup_id !== cgroupId) return [[cgroupId, undefined]];
      const local = fromLocalEntries(addresses.get(cgroupId) ?? []);
      const excludedInterfaces = interfaces.get(cgroupId) ?? [];
      return [[cgroupId, decodePodRecord(contract, record, { ...local, excludedInterfaces })]];
    }),
  );
}

/** Whether the map says of a pod that it is known and not to be captured. */
export function isOutside(maps: PodMaps, contract: Contract, cgroupId: bigint): boolean {
  const entry = maps.pods.lookup(u64.encode(cgroupId));
  return entry !== undefined && u32.decode(entry) === contract.outsideSlot;
}

export function readPolicyIds(maps: PodMaps): bigint[] {
  return elements(maps.policies).map(([key]) => u64.decode(key));
}

/** @throws RangeError for a number that the lists do not have: a map that another contract has written. */
function readRule(contract: Contract, bytes: Uint8Array): Pick<PortRule, "action" | "reason"> {
  const rule = contract.rule.decode(bytes);
  const action = verdicts[rule.verdict];
  const reason = reasons[rule.reason];
  if (action === undefined || action === "deny" || reason === undefined)
    throw new RangeError(`a rule of verdict ${rule.verdict}, reason ${rule.reason}`);
  return { action, reason };
}

type Prefixed = Pick<RangeRule, "prefix">;
function compareRanges({ prefix: a }: Prefixed, { prefix: b }: Prefixed): number {
  return a.address.family - b.address.family || Buffer.compare(a.address.bytes, b.address.bytes) || a.length - b.length;
}

/** Bits of a mask in network order. */
function maskLength(mask: number): number {
  return u32.encode(mask).reduce((bits, byte) => bits + byte.toString(2).replaceAll("0", "").length, 0);
}

/** @returns undefined if the map has no policy of this id. */
export function readPolicy(maps: PodMaps, contract: Contract, id: bigint): Policy | undefined {
  const bytes = maps.policies.lookup(u64.encode(id));
  if (bytes === undefined) return undefined;
  const record = contract.policy.decode(bytes);
  const has = (flag: keyof Contract["policyFlags"]): boolean => (record.flags & contract.policyFlags[flag]) !== 0;
  const ports = elements(maps.port_rules).flatMap(([key, value]): PortRule[] => {
    const { policy, port, direction } = contract.portKey.decode(key);
    const side = directions[direction];
    return policy !== id || side === undefined ? [] : [{ direction: side, port, ...readRule(contract, value) }];
  });
  const gids = elements(maps.owner_groups).flatMap(([key]) => {
    const { policy, gid } = contract.groupKey.decode(key);
    return policy === id ? [gid] : [];
  });
  const routes = elements(maps.range_rules).flatMap(([key, value]): RouteRule[] => {
    const { policy, family, words, prefix_length } = contract.rangeKey.decode(key);
    const address = decodeAddress({ family: family - contract.rangeRoute, words });
    if (policy !== id || address === undefined) return [];
    const prefix = { address, length: prefix_length - contract.rangeKeyFixedBits };
    return [{ prefix, excluded: readRule(contract, value).action === "bypass" }];
  });
  const ranges = elements(maps.range_rules).flatMap(([key, value]): RangeRule[] => {
    const { policy, family, words, prefix_length } = contract.rangeKey.decode(key);
    const address = decodeAddress({ family, words });
    if (policy !== id || address === undefined) return [];
    return [{ prefix: { address, length: prefix_length - contract.rangeKeyFixedBits }, ...readRule(contract, value) }];
  });
  const loopback = new Uint8Array(16);
  loopback.set(u32.encode(record.loopback));
  return {
    id: record.id,
    proxyUid: record.proxy_uid,
    proxyGid: record.proxy_gid,
    outboundPort: record.outbound_port,
    inboundPort: record.inbound_port,
    captureOtherOutbound: has("capture-other-outbound"),
    sidecarNone: has("sidecar-none"),
    captureOtherInbound: has("capture-other-inbound"),
    keepLocal: has("keep-local"),
    loopback: { address: { family: 4, bytes: loopback }, length: maskLength(record.loopback_mask) },
    owners: {
      mode: has("groups-included") ? "included" : has("groups-excluded") ? "excluded" : "all",
      gids: gids.sort((a, b) => a - b),
    },
    dns: has("dns-all-servers") ? "all" : has("dns") ? "resolv-conf" : "off",
    routes: routes.sort(compareRanges),
    ports: ports.sort((a, b) => (a.direction < b.direction ? -1 : a.direction > b.direction ? 1 : a.port - b.port)),
    ranges: ranges.sort(compareRanges),
  };
}
