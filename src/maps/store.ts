/**
 * The maps as one store: reads what they hold, carries out operations, and remembers what it has written,
 * so that a reconcile costs no system call when nothing has changed.
 */
import type { NativeMap } from "../kernel/native.js";
import type { Contract } from "./contract.js";
import { takeCounts } from "./counts.js";
import type { Op } from "./diff.js";
import { PodStore } from "./podStore.js";
import { PolicyStore } from "./policyStore.js";
import { readMaps } from "./read.js";
import type { Have } from "./state.js";

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

export class Store {
  readonly #options: StoreOptions;
  readonly #pods: PodStore;
  readonly #policies: PolicyStore;

  /** Reads the maps, and deletes what a predecessor that was killed left half done. */
  constructor(options: StoreOptions) {
    this.#options = options;
    const found = readMaps(options.maps, options.contract);
    this.#pods = new PodStore(options.maps, options.contract, found);
    this.#policies = new PolicyStore(options.maps, options.contract, found.policies);
    this.have = { ...this.#pods.have, policies: this.#policies };
  }

  /** Live: it follows every operation. */
  readonly have: Have;

  /** How full the maps of pods and policies are, from memory: no system call. */
  fill(): { name: string; entries: number; capacity: number }[] {
    const entries: Partial<Record<StateMap, number>> = { ...this.#pods.entries(), ...this.#policies.entries() };
    const { maps } = this.#options;
    return stateMaps.flatMap((name) => {
      const count = entries[name];
      return count === undefined ? [] : [{ name, entries: count, capacity: maps[name].info.maxEntries }];
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
    this.#pods.dropEarly();
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
    const gone = new Set(ops.flatMap((op) => (op.kind === "remove-pod" ? [op.pod] : [])));
    const { maps, contract, onCountsGone } = this.#options;
    for (const { key, value } of takeCounts(maps.verdicts, contract, gone)) onCountsGone?.(key, value);
    return failures;
  }

  #carryOut(op: Op): void {
    switch (op.kind) {
      case "add-policy":
        this.#policies.add(op.policy);
        break;
      case "add-local":
        this.#pods.addLocal(op.pod, op);
        break;
      case "add-interface":
        this.#pods.addInterface(op.pod, op.index);
        break;
      case "add-pod":
        this.#pods.add(op.pod);
        break;
      case "set-pod":
        this.#pods.set(op.pod, op.slot, op.policy);
        break;
      case "flip":
        this.#flip(op.pod, op.slot, op.policy);
        break;
      case "add-outside":
        this.#pods.addOutside(op.pod);
        break;
      case "unlist-pod":
        this.#pods.unlist(op.pod);
        break;
      case "list-pod":
        this.#pods.list(op.pod, op.slot);
        break;
      case "remove-local":
        this.#pods.removeLocal(op.pod, op.address);
        break;
      case "remove-interface":
        this.#pods.removeInterface(op.pod, op.index);
        break;
      case "remove-pod":
        this.#pods.remove(op.pod, op.slot);
        break;
      case "remove-policy":
        this.#removePolicy(op.policy);
        break;
      case "fence":
        break;
    }
  }

  #flip(pod: bigint, slot: number, policy: bigint): void {
    if (!this.#policies.has(policy)) throw new Error(`policy ${policy.toString(16)} is not in the kernel`);
    this.#pods.flip(pod, slot, policy);
  }

  /** A policy that is wanted no more is still a pod's if the pod's flip failed: it stays, and the next diff asks again. */
  #removePolicy(id: bigint): void {
    for (const pod of this.have.pods.values()) if (pod.policy === id) return;
    this.#policies.remove(id);
  }
}
