/** The policies in the maps, each with the keys of its rules: written whole or not at all. */
import type { Policy } from "../model/policy.js";
import type { Contract } from "./contract.js";
import { u64 } from "./layout.js";
import { encodePolicy } from "./records.js";
import { type PolicyKeys, policyKeys, removePolicyRules, writePolicyRules } from "./rules.js";
import type { Maps, StateMap } from "./store.js";

export class PolicyStore {
  readonly #maps: Maps;
  readonly #contract: Contract;
  readonly #keys: Map<bigint, PolicyKeys>;

  /** @param found what the maps hold. */
  constructor(maps: Maps, contract: Contract, found: ReadonlyMap<bigint, PolicyKeys>) {
    this.#maps = maps;
    this.#contract = contract;
    this.#keys = new Map(found);
  }

  get size(): number {
    return this.#keys.size;
  }

  has(id: bigint): boolean {
    return this.#keys.has(id);
  }

  /** Ids. */
  keys(): Iterable<bigint> {
    return this.#keys.keys();
  }

  /** Rules first: a policy is found by its record. @throws KernelError if a map is full; nothing of it is there then. */
  add(policy: Policy): void {
    const keys = policyKeys(this.#contract, policy);
    try {
      writePolicyRules(this.#maps, this.#contract, policy, keys);
      this.#maps.policies.update(u64.encode(policy.id), encodePolicy(this.#contract, policy));
      this.#keys.set(policy.id, keys);
    } catch (error) {
      removePolicyRules(this.#maps, keys);
      throw error;
    }
  }

  /** The record first. */
  remove(id: bigint): void {
    const keys = this.#keys.get(id);
    this.#maps.policies.delete(u64.encode(id));
    if (keys !== undefined) removePolicyRules(this.#maps, keys);
    this.#keys.delete(id);
  }

  /** Entries of the maps that policies are in, from memory. */
  entries(): Pick<Record<StateMap, number>, "policies" | "port_rules" | "range_rules" | "owner_groups"> {
    const rules = [...this.#keys.values()];
    const count = (which: keyof PolicyKeys, { size }: { readonly size: number }): number =>
      rules.reduce((sum, keys) => sum + keys[which].length / size, 0);
    return {
      policies: this.size,
      port_rules: count("ports", this.#contract.portKey),
      range_rules: count("ranges", this.#contract.rangeKey),
      owner_groups: count("groups", this.#contract.groupKey),
    };
  }
}
