/**
 * The maps as one store: reads what they hold, carries out operations, and remembers what it has written,
 * so that a reconcile costs no system call when nothing has changed.
 */
import type { NativeMap } from "../kernel/native.js";
import type { Address } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { type Contract, encodeAddress, encodePodRecord, encodePolicy } from "./contract.js";
import type { Op } from "./diff.js";
import { u32, u64 } from "./layout.js";
import { readMaps } from "./read.js";
import { type PolicyKeys, policyKeys, removePolicyRules, writePolicyRules } from "./rules.js";
import { addressKey, fromLocalEntries, type Have, type LocalAddress, localEntries, type PodState } from "./state.js";

/** The maps that the agent writes, by their names in bpf/maps.h. */
export const stateMaps = [
  "pods",
  "pod_records",
  "policies",
  "port_rules",
  "range_rules",
  "local_addrs",
  "owner_groups",
  "excluded_interfaces",
  "verdicts",
] as const;
export type StateMap = (typeof stateMaps)[number];
export type Maps = Readonly<Record<StateMap, NativeMap>>;

/** An operation that the kernel refused, most often because a map is full. What it stood for is as before. */
export interface Failure {
  readonly op: Op;
  readonly error: Error;
}

export interface Applied {
  readonly failures: readonly Failure[];
  /** Pods whose policy is now another (or whose first), by cgroup id. */
  readonly flipped: readonly bigint[];
  /** Those of them that had none in the kernel. */
  readonly added: readonly bigint[];
}

export interface StoreOptions {
  readonly maps: Maps;
  readonly contract: Contract;
  /** Resolves when every program that ran at the call has ended. */
  gracePeriod(): Promise<void>;
  /** Called before the fence, when everything that was to be seen by new sockets is in the kernel. */
  onVisible?(applied: Applied): void;
  /** An element of `verdicts` that goes with its pod. */
  onCountsGone?(key: Uint8Array, value: Uint8Array): void;
}

/** What of a pod stands in maps of its own. */
type Facts = Pick<PodState, "localAddresses" | "dnsServers" | "excludedInterfaces">;
const noFacts: Facts = { localAddresses: [], dnsServers: [], excludedInterfaces: [] };
const factsOf = ({ localAddresses, dnsServers, excludedInterfaces }: Facts): Facts => {
  return { localAddresses, dnsServers, excludedInterfaces };
};

export class Store {
  readonly #options: StoreOptions;
  readonly #pods: Map<bigint, PodState & { slot: number }>;
  readonly #outside: Set<bigint>;
  readonly #unlisted = new Set<bigint>();
  readonly #policies: Map<bigint, PolicyKeys>;
  /** Of pods whose record is not written yet. */
  readonly #early = new Map<bigint, Facts>();
  readonly #free: number[] = [];

  /** Reads the maps, and deletes what a predecessor that was killed left half done. */
  constructor(options: StoreOptions) {
    this.#options = options;
    const found = readMaps(options.maps, options.contract);
    this.#pods = found.pods;
    this.#outside = found.outside;
    this.#policies = found.policies;
    this.have = { pods: this.#pods, outside: this.#outside, unlisted: this.#unlisted, policies: this.#policies };
    const taken = new Set([...found.pods.values()].map((pod) => pod.slot));
    for (let slot = options.maps.pod_records.info.maxEntries - 1; slot >= 0; slot--) {
      if (!taken.has(slot)) this.#free.push(slot);
    }
  }

  /** Live: it follows every operation. */
  readonly have: Have;

  /** How full the maps of pods and policies are, from memory: no system call. */
  fill(): { name: string; entries: number; capacity: number }[] {
    const rules = [...this.#policies.values()];
    const { contract, maps } = this.#options;
    const entries: Partial<Record<StateMap, number>> = {
      pods: this.#pods.size + this.#outside.size,
      pod_records: this.#pods.size,
      policies: this.#policies.size,
      port_rules: rules.reduce((sum, { ports }) => sum + ports.length / contract.portKey.size, 0),
      range_rules: rules.reduce((sum, { ranges }) => sum + ranges.length / contract.rangeKey.size, 0),
      local_addrs: [...this.#pods.values()].reduce((sum, pod) => sum + localEntries(pod).size, 0),
      owner_groups: rules.reduce((sum, { groups }) => sum + groups.length / contract.groupKey.size, 0),
      excluded_interfaces: [...this.#pods.values()].reduce((sum, pod) => sum + pod.excludedInterfaces.length, 0),
    };
    return Object.entries(entries).map(([name, count]) => {
      return { name, entries: count, capacity: maps[name as StateMap].info.maxEntries };
    });
  }

  /** {@link show}, a grace period, {@link clear}. */
  async apply(ops: readonly Op[]): Promise<Applied> {
    const fence = ops.findIndex((op) => op.kind === "fence");
    const shown = this.show(ops);
    if (fence < 0) return shown;
    await this.#options.gracePeriod();
    return { ...shown, failures: [...shown.failures, ...this.clear(ops.slice(fence + 1))] };
  }

  /**
   * Carries out, in order, what stands before the fence. A failed one does not stop the others: a policy that could not be
   * written is taken back whole, and pods that were to flip to it keep the one that they have.
   */
  show(ops: readonly Op[]): Applied {
    const failures: Failure[] = [];
    const flipped: bigint[] = [];
    const added: bigint[] = [];
    const attempt = (op: Op): void => {
      try {
        this.#carryOut(op);
        if (op.kind === "flip") flipped.push(op.pod);
        if (op.kind === "add-pod" && this.#policies.has(op.pod.policy)) added.push(op.pod.cgroupId);
      } catch (error) {
        failures.push({ op, error: error as Error });
      }
    };
    const fence = ops.findIndex((op) => op.kind === "fence");
    const visible = fence < 0 ? ops : ops.slice(0, fence);
    visible.forEach(attempt);
    flipped.push(...added);
    this.#early.clear();
    const applied = { failures, flipped, added };
    this.#options.onVisible?.(applied);
    return applied;
  }

  /** Carries out what stands behind the fence. @param ops none that was needed since a grace period began that is over. */
  clear(ops: readonly Op[]): Failure[] {
    const failures: Failure[] = [];
    for (const op of ops) {
      try {
        this.#carryOut(op);
      } catch (error) {
        failures.push({ op, error: error as Error });
      }
    }
    this.#forgetCounts(new Set(ops.flatMap((op) => (op.kind === "remove-pod" ? [op.pod] : []))));
    return failures;
  }

  #carryOut(op: Op): void {
    const { maps, contract } = this.#options;
    switch (op.kind) {
      case "add-policy":
        this.#addPolicy(op.policy);
        break;
      case "add-local":
        maps.local_addrs.update(contract.localKey.encode(localKey(op)), Uint8Array.of(op.flags));
        this.#setLocal(op.pod, (entries) => entries.set(addressKey(op.address), op));
        break;
      case "add-interface":
        maps.excluded_interfaces.update(contract.interfaceKey.encode(op), Uint8Array.of(1));
        this.#setFacts(op.pod, ({ excludedInterfaces: list }) => ({ excludedInterfaces: [...list, op.index] }));
        break;
      case "add-pod":
        this.#addPod(op.pod);
        break;
      case "set-pod":
        this.#setRecord(op.pod, op.slot, op.policy);
        break;
      case "flip":
        this.#flip(op.pod, op.slot, op.policy);
        break;
      case "add-outside":
        maps.pods.update(u64.encode(op.pod), u32.encode(contract.outsideSlot));
        this.#outside.add(op.pod);
        if (this.#pods.has(op.pod)) this.#unlisted.add(op.pod);
        break;
      case "unlist-pod":
        maps.pods.delete(u64.encode(op.pod));
        this.#outside.delete(op.pod);
        if (this.#pods.has(op.pod)) this.#unlisted.add(op.pod);
        break;
      case "list-pod":
        maps.pods.update(u64.encode(op.pod), u32.encode(op.slot));
        this.#outside.delete(op.pod);
        this.#unlisted.delete(op.pod);
        break;
      case "remove-local":
        maps.local_addrs.delete(contract.localKey.encode(localKey(op)));
        this.#setLocal(op.pod, (entries) => entries.delete(addressKey(op.address)));
        break;
      case "remove-interface":
        maps.excluded_interfaces.delete(contract.interfaceKey.encode(op));
        this.#setFacts(op.pod, ({ excludedInterfaces: list }) => {
          return { excludedInterfaces: list.filter((index) => index !== op.index) };
        });
        break;
      case "remove-pod":
        this.#removePod(op.pod, op.slot);
        break;
      case "remove-policy":
        this.#removePolicy(op.policy);
        break;
      case "fence":
        break;
    }
  }

  #setFacts(id: bigint, change: (facts: Facts) => Partial<Facts>): void {
    const pod = this.#pods.get(id);
    if (pod !== undefined) this.#pods.set(id, { ...pod, ...change(pod) });
    else {
      const early = this.#early.get(id) ?? noFacts;
      this.#early.set(id, { ...early, ...change(early) });
    }
  }

  #setLocal(id: bigint, change: (entries: Map<string, LocalAddress>) => unknown): void {
    this.#setFacts(id, (facts) => {
      const entries = localEntries(facts);
      change(entries);
      return fromLocalEntries(entries.values());
    });
  }

  #addPolicy(policy: Policy): void {
    const { maps, contract } = this.#options;
    const keys = policyKeys(contract, policy);
    try {
      writePolicyRules(maps, contract, policy, keys);
      maps.policies.update(u64.encode(policy.id), encodePolicy(contract, policy));
      this.#policies.set(policy.id, keys);
    } catch (error) {
      removePolicyRules(maps, keys);
      throw error;
    }
  }

  /** A policy that is wanted no more is still a pod's if the pod's flip failed: it stays, and the next diff asks again. */
  #removePolicy(id: bigint): void {
    const { maps } = this.#options;
    for (const pod of this.#pods.values()) if (pod.policy === id) return;
    const keys = this.#policies.get(id);
    maps.policies.delete(u64.encode(id));
    if (keys !== undefined) removePolicyRules(maps, keys);
    this.#policies.delete(id);
  }

  /**
   * Fails closed: the record names its policy also where that could not be written, and the programs then
   * refuse the pod's connections. Without a record they would take it for a pod outside the mesh.
   */
  #addPod(pod: PodState): void {
    const { maps } = this.#options;
    const slot = this.#free.at(-1);
    if (slot === undefined) throw new Error(`pod_records is full: ${maps.pod_records.info.maxEntries} pods`);
    maps.pod_records.update(u32.encode(slot), this.#encodeRecord(pod, pod.policy));
    maps.pods.update(u64.encode(pod.cgroupId), u32.encode(slot));
    this.#outside.delete(pod.cgroupId);
    this.#free.pop();
    this.#pods.set(pod.cgroupId, { ...pod, slot, ...(this.#early.get(pod.cgroupId) ?? noFacts) });
  }

  /** The policy is written as it is: whoever reads meanwhile sees the same eight bytes. */
  #setRecord(pod: PodState, slot: number, policy: bigint): void {
    this.#options.maps.pod_records.update(u32.encode(slot), this.#encodeRecord(pod, policy));
    this.#pods.set(pod.cgroupId, { ...pod, policy, slot, ...factsOf(this.#pods.get(pod.cgroupId) ?? noFacts) });
  }

  #flip(id: bigint, slot: number, policy: bigint): void {
    if (!this.#policies.has(policy)) throw new Error(`policy ${policy.toString(16)} is not in the kernel`);
    const { maps, contract } = this.#options;
    maps.pod_records.store(slot, contract.podRecord.offset("policy"), policy);
    const pod = this.#pods.get(id);
    if (pod !== undefined) this.#pods.set(id, { ...pod, policy });
  }

  #removePod(id: bigint, slot: number): void {
    const { maps, contract } = this.#options;
    maps.pod_records.update(u32.encode(slot), new Uint8Array(contract.podRecord.size));
    this.#pods.delete(id);
    this.#unlisted.delete(id);
    this.#free.push(slot);
  }

  #forgetCounts(pods: ReadonlySet<bigint>): void {
    if (pods.size === 0) return;
    const { maps, contract, onCountsGone } = this.#options;
    const { keySize, valueStride } = maps.verdicts.info;
    const { count, keys, values } = maps.verdicts.entries();
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * keySize, (i + 1) * keySize);
      if (!pods.has(contract.verdictKey.decode(key).pod)) continue;
      maps.verdicts.delete(key);
      onCountsGone?.(key, values.subarray(i * valueStride, (i + 1) * valueStride));
    }
  }

  #encodeRecord(pod: PodState, policy: bigint): Uint8Array {
    return encodePodRecord(this.#options.contract, pod, policy);
  }
}

function localKey(op: { pod: bigint; address: Address }) {
  return { pod: op.pod, address: encodeAddress(op.address) };
}
