/** What the programs have counted. Reading and decoding are apart, so that tests pass bytes. */
import type { NativeMap } from "../kernel/native.js";
import { type Direction, directions, type Reason, reasons, type Verdict, verdicts } from "../model/verdict.js";
import type { Contract } from "./contract.js";
import { u32, u64 } from "./layout.js";

export interface VerdictCount {
  /** Cgroup id. */
  readonly pod: bigint;
  readonly direction: Direction;
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** Since the pod was enrolled, over all CPUs. */
  readonly count: bigint;
}

/** @throws RangeError for a number that the lists do not have: `bindContract` makes that impossible. */
function nameOf<T extends string>(list: readonly T[], index: number): T {
  const name = list[index];
  if (name === undefined) throw new RangeError(`no ${index} in ${list.join(", ")}`);
  return name;
}

/** One element of the `verdicts` map. */
export function decodeCount(contract: Contract, key: Uint8Array, value: Uint8Array): VerdictCount {
  const { pod, direction, verdict, reason } = contract.verdictKey.decode(key);
  return {
    pod,
    direction: nameOf(directions, direction),
    verdict: nameOf(verdicts, verdict),
    reason: nameOf(reasons, reason),
    count: u64.sum(value),
  };
}

/** The `verdicts` map. */
export function readVerdicts(map: NativeMap, contract: Contract): VerdictCount[] {
  const { keySize, valueStride } = map.info;
  const { count, keys, values } = map.entries();
  return Array.from({ length: count }, (_, i) =>
    decodeCount(
      contract,
      keys.subarray(i * keySize, (i + 1) * keySize),
      values.subarray(i * valueStride, (i + 1) * valueStride),
    ),
  );
}

/** The `counters` map: name → count over all CPUs. */
export function readCounters(map: NativeMap, contract: Contract): ReadonlyMap<string, bigint> {
  return new Map(contract.counters.map((name, i) => [name, u64.sum(map.lookup(u32.encode(i)) ?? new Uint8Array())]));
}

/** What has gone wrong, as counters say: what only tells of a limit is not in it, nor what never happened. */
export function faultsIn(counters: ReadonlyMap<string, bigint>): (readonly [name: string, count: bigint])[] {
  return [...counters].filter(([name, count]) => count > 0n && name !== "proxy-narrow");
}

/** Deletes the elements of `verdicts` that are of these pods. @returns what they were. */
export function* takeCounts(
  map: NativeMap,
  contract: Contract,
  pods: ReadonlySet<bigint>,
): Generator<{ readonly key: Uint8Array; readonly value: Uint8Array }> {
  if (pods.size === 0) return;
  const { keySize, valueStride } = map.info;
  const { count, keys, values } = map.entries();
  for (let i = 0; i < count; i++) {
    const key = keys.subarray(i * keySize, (i + 1) * keySize);
    if (!pods.has(contract.verdictKey.decode(key).pod)) continue;
    map.delete(key);
    yield { key, value: values.subarray(i * valueStride, (i + 1) * valueStride) };
  }
}
