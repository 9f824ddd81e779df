/**
 * Whose connections are whose. The kernel counts by cgroup and forgets a pod's counts when it goes; the ledger takes
 * over what has come since it last looked, and adds it twice: to the node's series, which never go down, and to those
 * of the pod's owner, if the source names the pod. An owner's series
 *
 * - never go down while they are there, not even a workload's whose pods come and go;
 * - go with its last pod: what they had stays in the node's only;
 * - begin at zero if the owner comes back later, which Prometheus takes for a restarted counter.
 *
 * All of it is of this process: an agent that starts begins with what the kernel has of the pods that are there.
 */
import type { VerdictCount } from "../maps/counts.js";
import type { PodStatus } from "../model/status.js";
import { directions, reasons, verdicts } from "../model/verdict.js";
import { type Detail, nobody, type Owner, ownerOf } from "./detail.js";

type Decision = Pick<VerdictCount, "direction" | "verdict" | "reason">;
type Labels = Owner & Decision;

export interface Total {
  readonly labels: Labels;
  readonly count: bigint;
}

export interface Ledger {
  /** @param pods all that the source names. */
  update(counts: readonly VerdictCount[], pods: readonly PodStatus[]): void;
  /** The last count of a pod that goes. */
  gone(count: VerdictCount): void;
  /** Of the pods that are there, by owner. At detail `node` the only owner is the node, for good. */
  ofOwners(): Total[];
  /** Of all that was ever counted, whoever had it. */
  ofNode(): Total[];
}

/** All series of one owner, by decision. */
interface Series {
  readonly owner: Owner;
  readonly totals: Map<number, { readonly labels: Labels; count: bigint }>;
}

/** A number, since thousands are looked up at every scrape. */
const numberOf = ({ direction, verdict, reason }: Decision): number =>
  (reasons.indexOf(reason) * verdicts.length + verdicts.indexOf(verdict)) * directions.length +
  directions.indexOf(direction);

function add({ owner, totals }: Series, decision: number, { direction, verdict, reason }: Decision, count: bigint) {
  const total = totals.get(decision);
  if (total === undefined) totals.set(decision, { labels: { ...owner, direction, verdict, reason }, count });
  else total.count += count;
}

const keyOf = ({ namespace, pod }: Owner): string => `${namespace}/${pod}`;

export function openLedger(detail: Detail): Ledger {
  const node: Series = { owner: nobody, totals: new Map() };
  const owners = new Map<string, Series>(detail === "node" ? [[keyOf(nobody), node]] : []);
  /** By cgroup id: whose it is, and what was taken over so far. */
  const cgroups = new Map<bigint, { series: Series; readonly seen: Map<number, bigint> }>();

  const seriesOf = (owner: Owner): Series => {
    const found = owners.get(keyOf(owner)) ?? { owner, totals: new Map() };
    owners.set(keyOf(owner), found);
    return found;
  };

  const take = (count: VerdictCount, named: Series | undefined): void => {
    const cgroup = cgroups.get(count.pod) ?? { series: node, seen: new Map<number, bigint>() };
    cgroups.set(count.pod, cgroup);
    // The source drops a pod before its counts go: until then they are still its workload's.
    cgroup.series = named ?? cgroup.series;
    const decision = numberOf(count);
    const seen = cgroup.seen.get(decision) ?? 0n;
    if (count.count === seen) return;
    cgroup.seen.set(decision, count.count);
    // Fewer than before: somebody has emptied the map.
    const more = count.count < seen ? count.count : count.count - seen;
    add(node, decision, count, more);
    if (cgroup.series !== node) add(cgroup.series, decision, count, more);
  };

  return {
    update(counts, pods) {
      const named = new Map<bigint, Series>();
      const alive = new Set([node]);
      for (const pod of pods) {
        const its = seriesOf(ownerOf(pod, detail));
        alive.add(its);
        if (pod.cgroupId !== "") named.set(BigInt(pod.cgroupId), its);
      }
      for (const count of counts) take(count, named.get(count.pod));
      for (const [key, each] of owners) if (!alive.has(each)) owners.delete(key);
    },
    gone(count) {
      take(count, undefined);
      const seen = cgroups.get(count.pod)?.seen;
      seen?.delete(numberOf(count));
      if (seen?.size === 0) cgroups.delete(count.pod);
    },
    ofOwners: () => [...owners.values()].flatMap(({ totals }) => [...totals.values()]),
    ofNode: () => [...node.totals.values()],
  };
}
