/** What the programs count beside their verdicts: things that should not happen, and do. */
import { Registry } from "prom-client";
import { type Collector, counter, only } from "./collector.js";

export function faultsCollector(): Collector {
  const registry = new Registry();
  const flows = counter(registry, {
    name: "shunt_flows_lost_total",
    help: "Decisions that were not shown to whoever follows the flows, because the ring was full.",
  });
  const handoffs = counter(registry, {
    name: "shunt_handoff_lost_total",
    help: "Connections that the proxy accepted and of which the original destination is not known: it refuses them.",
  });
  const narrow = counter(registry, {
    name: "shunt_narrow_redirects_total",
    help: "Connections to a proxy that does not listen on every address: about 28,000 of a pod can be open at once.",
  });
  const faults = counter(registry, {
    name: "shunt_faults_total",
    help: "Other faults that the programs met, by the names of enum counter in bpf/contract.h.",
    labelNames: ["fault"],
  });
  return {
    name: "faults",
    registry,
    collect(view) {
      const counters = new Map(view.counters());
      const take = (name: string): number => {
        const count = counters.get(name);
        if (count === undefined) throw new Error(`the programs have no counter ${name}`);
        counters.delete(name);
        return Number(count);
      };
      flows.set(only(take("flow-lost")));
      handoffs.set(only(take("handoff-lost")));
      narrow.set(only(take("proxy-narrow")));
      faults.set([...counters].map(([fault, count]) => [{ fault }, Number(count)]));
    },
  };
}
