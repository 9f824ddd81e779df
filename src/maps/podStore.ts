/** The pods in the maps: each its entry, its record, and what of it stands in maps of its own. One method an operation. */
import type { Address } from "../model/address.js";
import type { Contract } from "./contract.js";
import { u32, u64 } from "./layout.js";
import type { Found } from "./read.js";
import { encodeAddress, encodePodRecord } from "./records.js";
import { addressKey, fromLocalEntries, type Have, type LocalAddress, localEntries, type PodState } from "./state.js";
import type { Maps, StateMap } from "./store.js";

/** What of a pod stands in maps of its own. */
type Facts = Pick<PodState, "localAddresses" | "dnsServers" | "excludedInterfaces">;
const noFacts: Facts = { localAddresses: [], dnsServers: [], excludedInterfaces: [] };
const factsOf = ({ localAddresses, dnsServers, excludedInterfaces }: Facts): Facts => {
  return { localAddresses, dnsServers, excludedInterfaces };
};

export class PodStore {
  readonly #maps: Maps;
  readonly #contract: Contract;
  readonly #pods: Map<bigint, PodState & { slot: number }>;
  readonly #outside: Set<bigint>;
  readonly #unlisted = new Set<bigint>();
  /** Of pods whose record is not written yet. */
  readonly #early = new Map<bigint, Facts>();
  /** Slots of `pod_records`. */
  readonly #free: number[] = [];

  /** @param found what the maps hold; it is followed from here on. */
  constructor(maps: Maps, contract: Contract, found: Pick<Found, "pods" | "outside">) {
    this.#maps = maps;
    this.#contract = contract;
    this.#pods = found.pods;
    this.#outside = found.outside;
    this.have = { pods: this.#pods, outside: this.#outside, unlisted: this.#unlisted };
    const taken = new Set([...found.pods.values()].map((pod) => pod.slot));
    for (let slot = maps.pod_records.info.maxEntries - 1; slot >= 0; slot--) {
      if (!taken.has(slot)) this.#free.push(slot);
    }
  }

  /** Live: it follows every operation. */
  readonly have: Omit<Have, "policies">;

  addLocal(pod: bigint, { address, flags }: LocalAddress): void {
    this.#maps.local_addrs.update(this.#localKey(pod, address), Uint8Array.of(flags));
    this.#setLocal(pod, (entries) => entries.set(addressKey(address), { address, flags }));
  }

  removeLocal(pod: bigint, address: Address): void {
    this.#maps.local_addrs.delete(this.#localKey(pod, address));
    this.#setLocal(pod, (entries) => entries.delete(addressKey(address)));
  }

  addInterface(pod: bigint, index: number): void {
    this.#maps.excluded_interfaces.update(this.#contract.interfaceKey.encode({ pod, index }), Uint8Array.of(1));
    this.#setFacts(pod, ({ excludedInterfaces: list }) => ({ excludedInterfaces: [...list, index] }));
  }

  removeInterface(pod: bigint, index: number): void {
    this.#maps.excluded_interfaces.delete(this.#contract.interfaceKey.encode({ pod, index }));
    this.#setFacts(pod, ({ excludedInterfaces: list }) => {
      return { excludedInterfaces: list.filter((each) => each !== index) };
    });
  }

  /**
   * Fails closed: the record names its policy also where that could not be written, and the programs then
   * refuse the pod's connections. Without a record they would take it for a pod outside the mesh.
   */
  add(pod: PodState): void {
    const slot = this.#free.at(-1);
    if (slot === undefined) throw new Error(`pod_records is full: ${this.#maps.pod_records.info.maxEntries} pods`);
    this.#maps.pod_records.update(u32.encode(slot), encodePodRecord(this.#contract, pod, pod.policy));
    this.#maps.pods.update(u64.encode(pod.cgroupId), u32.encode(slot));
    this.#outside.delete(pod.cgroupId);
    this.#free.pop();
    this.#pods.set(pod.cgroupId, { ...pod, slot, ...(this.#early.get(pod.cgroupId) ?? noFacts) });
    this.#early.delete(pod.cgroupId);
  }

  /** The policy is written as it is: whoever reads meanwhile sees the same eight bytes. */
  set(pod: PodState, slot: number, policy: bigint): void {
    this.#maps.pod_records.update(u32.encode(slot), encodePodRecord(this.#contract, pod, policy));
    this.#pods.set(pod.cgroupId, { ...pod, policy, slot, ...factsOf(this.#pods.get(pod.cgroupId) ?? noFacts) });
  }

  /** @param policy one that is in the kernel. */
  flip(id: bigint, slot: number, policy: bigint): void {
    this.#maps.pod_records.store(slot, this.#contract.podRecord.offset("policy"), policy);
    const pod = this.#pods.get(id);
    if (pod !== undefined) this.#pods.set(id, { ...pod, policy });
  }

  addOutside(id: bigint): void {
    this.#maps.pods.update(u64.encode(id), u32.encode(this.#contract.outsideSlot));
    this.#outside.add(id);
    if (this.#pods.has(id)) this.#unlisted.add(id);
  }

  unlist(id: bigint): void {
    this.#maps.pods.delete(u64.encode(id));
    this.#outside.delete(id);
    if (this.#pods.has(id)) this.#unlisted.add(id);
  }

  list(id: bigint, slot: number): void {
    this.#maps.pods.update(u64.encode(id), u32.encode(slot));
    this.#outside.delete(id);
    this.#unlisted.delete(id);
  }

  /** Its slot is free then. */
  remove(id: bigint, slot: number): void {
    this.#maps.pod_records.update(u32.encode(slot), new Uint8Array(this.#contract.podRecord.size));
    this.#pods.delete(id);
    this.#unlisted.delete(id);
    this.#free.push(slot);
  }

  /** What was written of pods that have no record after all, because a map is full: nobody would take it away later. */
  dropEarly(): void {
    for (const [id, facts] of this.#early) {
      for (const { address } of localEntries(facts).values()) this.removeLocal(id, address);
      for (const index of facts.excludedInterfaces) this.removeInterface(id, index);
    }
    this.#early.clear();
  }

  /** Entries of the maps that pods are in, from memory. */
  entries(): Pick<Record<StateMap, number>, "pods" | "pod_records" | "local_addrs" | "excluded_interfaces"> {
    const pods = [...this.#pods.values()];
    return {
      pods: this.#pods.size - this.#unlisted.size + this.#outside.size,
      pod_records: this.#pods.size,
      local_addrs: pods.reduce((sum, pod) => sum + localEntries(pod).size, 0),
      excluded_interfaces: pods.reduce((sum, pod) => sum + pod.excludedInterfaces.length, 0),
    };
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

  #localKey(pod: bigint, address: Address): Uint8Array {
    return this.#contract.localKey.encode({ pod, address: encodeAddress(address) });
  }
}
