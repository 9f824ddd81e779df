/** What the maps hold, and the rest of what a killed predecessor left half done. */
import type { NativeMap } from "../kernel/native.js";
import type { Contract } from "./contract.js";
import { u32, u64 } from "./layout.js";
import { decodeAddress, decodePodRecord } from "./records.js";
import { type PolicyKeys, readPolicyKeys, removePolicyRules } from "./rules.js";
import { fromLocalEntries, type LocalAddress, type PodState } from "./state.js";
import type { Maps } from "./store.js";

function* elements(map: NativeMap): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
  const { keySize, valueStride } = map.info;
  const { count, keys, values } = map.entries();
  for (let i = 0; i < count; i++) {
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueStride, (i + 1) * valueStride)];
  }
}

export interface Found {
  readonly pods: Map<bigint, PodState & { readonly slot: number }>;
  readonly outside: Set<bigint>;
  readonly policies: Map<bigint, PolicyKeys>;
}

/**
 * Reads pods and policies. Not attached to a record or a policy by now: rules, addresses, records and
 * entries that are neither whole nor wanted are deleted here. No program can use them: a pod is found by its
 * entry, a policy by its record, and both are written last and deleted first.
 */
export function readMaps(maps: Maps, contract: Contract): Found {
  const rules = readPolicyKeys(maps, contract);
  const none: PolicyKeys = { ports: new Uint8Array(), ranges: new Uint8Array(), groups: new Uint8Array() };
  const policies = new Map(
    [...elements(maps.policies)].map(([key]) => u64.decode(key)).map((id) => [id, rules.get(id) ?? none]),
  );
  for (const [id, keys] of rules) if (!policies.has(id)) removePolicyRules(maps, keys);

  const addresses = new Map<bigint, (LocalAddress & { key: Uint8Array })[]>();
  for (const [key, [flags = 0]] of elements(maps.local_addrs)) {
    const { pod, address: encoded } = contract.localKey.decode(key);
    const address = decodeAddress(encoded);
    if (address === undefined) maps.local_addrs.delete(key);
    else addresses.set(pod, [...(addresses.get(pod) ?? []), { address, flags, key }]);
  }
  const interfaces = new Map<bigint, { index: number; key: Uint8Array }[]>();
  for (const [key] of elements(maps.excluded_interfaces)) {
    const { pod, index } = contract.interfaceKey.decode(key);
    interfaces.set(pod, [...(interfaces.get(pod) ?? []), { index, key }]);
  }

  const pods = new Map<bigint, PodState & { slot: number }>();
  const outside = new Set<bigint>();
  for (const [key, value] of elements(maps.pods)) {
    const cgroupId = u64.decode(key);
    const slot = u32.decode(value);
    if (slot === contract.outsideSlot) {
      outside.add(cgroupId);
      continue;
    }
    const bytes = maps.pod_records.lookup(u32.encode(slot));
    const record = bytes === undefined ? undefined : contract.podRecord.decode(bytes);
    if (record?.cgroup_id !== cgroupId) {
      maps.pods.delete(key);
      continue;
    }
    const facts = {
      ...fromLocalEntries(addresses.get(cgroupId) ?? []),
      excludedInterfaces: (interfaces.get(cgroupId) ?? []).map(({ index }) => index),
    };
    pods.set(cgroupId, { ...decodePodRecord(contract, record, facts), slot });
  }
  for (const [pod, entries] of addresses) {
    if (!pods.has(pod)) for (const { key } of entries) maps.local_addrs.delete(key);
  }
  for (const [pod, entries] of interfaces) {
    if (!pods.has(pod)) for (const { key } of entries) maps.excluded_interfaces.delete(key);
  }
  return { pods, outside, policies };
}
