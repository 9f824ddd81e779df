/**
 * What was decided about connections, read from the kernel at the scrape: by pod while the pod is there, and of the
 * node for good. The first have no place for what a pod that went had counted: given to a series of the others, it
 * would look like a burst of new connections.
 *
 * Cardinality: a decision is one of 2 directions, 3 verdicts and 23 reasons, so a pod has 138 series at most, and 3
 * to 8 in practice; the kernel's map holds 65,536 for the node. Only pods that are on the node have any, and the node
 * has one set. `--metrics-detail=workload` makes it one set a workload, `node` leaves the pods' labels empty: then
 * both metrics say the same.
 */
import { Registry } from "prom-client";
import type { VerdictCount } from "../maps/counts.js";
import { type Collector, counter } from "./collector.js";
import type { Detail } from "./detail.js";
import { openLedger } from "./ledger.js";

export interface ConnectionsCollector extends Collector {
  /** The last count of a pod that goes. */
  gone(count: VerdictCount): void;
}

export function connectionsCollector(detail: Detail): ConnectionsCollector {
  const registry = new Registry();
  const ledger = openLedger(detail);
  const ofPods = counter(registry, {
    name: "shunt_connections_total",
    help: "Decisions about connections of the pods that are there. For totals of the node use shunt_node_connections_total.",
    labelNames: ["namespace", "pod", "direction", "verdict", "reason"],
  });
  const ofNode = counter(registry, {
    name: "shunt_node_connections_total",
    help: "Decisions about connections of all pods, also of those that are gone. By pod: shunt_connections_total.",
    labelNames: ["direction", "verdict", "reason"],
  });
  return {
    name: "connections",
    registry,
    gone: (count) => ledger.gone(count),
    collect(view) {
      const { ready, pods } = view.status();
      const counts = view.verdicts();
      // Before the first pass nobody has a name, and what a predecessor's pods have counted would be the node's only.
      if (ready) ledger.update(counts, pods);
      ofPods.set(ledger.ofOwners().map(({ labels, count }) => [labels, Number(count)]));
      ofNode.set(
        ledger
          .ofNode()
          .map(({ labels: { direction, verdict, reason }, count }) => [{ direction, verdict, reason }, Number(count)]),
      );
    },
  };
}
