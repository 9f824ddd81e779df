/** The `controls` map: what the agent tells the programs beside policies, each with one store. */
import type { NativeMap } from "../kernel/native.js";
import { type UnknownPods, unknownPods } from "../model/status.js";
import type { Contract } from "./contract.js";

export interface Controls {
  /**
   * Where the programs look for pods. Only ever more: a level without pods costs a lookup, a missing one would
   * cost a pod its policy.
   * @param depths of pods' cgroups below the root, 1 for a child of it. @throws RangeError past 16.
   */
  coverDepths(depths: Iterable<number>): void;
  /** @param interval 0: no flows, 1: all, n: one of n. */
  sampleFlows(interval: number): void;
  /** What holds now. */
  readonly unknownPods: UnknownPods;
  /** Stays when the agent ends. To be called when all pods that are known have entries: those without one are refused. */
  setUnknownPods(what: UnknownPods): void;
}

/** Levels below the root at which a pod may be: MAX_LEVELS of bpf/pod.h. */
const deepest = 16;

/** @param map `controls`, as it is pinned. */
export function readUnknownPods(map: NativeMap, contract: Contract): UnknownPods {
  const value = read(map, contract).unknown_pods;
  // As the programs take it: what is not `deny` allows.
  return unknownPods.find((name) => BigInt(contract.unknownPods[name]) === value) ?? "allow";
}

function read(map: NativeMap, contract: Contract) {
  return contract.control.decode(map.lookup(new Uint8Array(4)) ?? new Uint8Array(contract.control.size));
}

/** @param rootLevel of the pods' root cgroup, from the true root of the hierarchy. */
export function openControls(map: NativeMap, contract: Contract, rootLevel: number): Controls {
  const put = (member: "first_level" | "pod_levels" | "flow_interval" | "unknown_pods", value: bigint): void =>
    map.store(0, contract.control.offset(member), value);
  const first = BigInt(rootLevel + 1);
  const found = read(map, contract);
  let unknown = readUnknownPods(map, contract);
  let levels = found.pod_levels;
  if (found.first_level !== first) {
    // Another root than the predecessor's: its levels mean nothing here.
    levels = 0n;
    put("pod_levels", levels);
    put("first_level", first);
  }
  return {
    coverDepths(depths) {
      let wanted = levels;
      for (const depth of depths) {
        if (depth > deepest)
          throw new RangeError(`a pod ${depth} levels below the root; the programs look ${deepest} deep`);
        wanted |= 1n << BigInt(depth - 1);
      }
      if (wanted === levels) return;
      levels = wanted;
      put("pod_levels", levels);
    },
    sampleFlows: (interval) => put("flow_interval", BigInt(interval)),
    get unknownPods() {
      return unknown;
    },
    setUnknownPods(what) {
      put("unknown_pods", BigInt(contract.unknownPods[what]));
      unknown = what;
    },
  };
}
