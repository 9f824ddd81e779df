/** Pods of the source by what became of them, and the policies that they share. */
import { Registry } from "prom-client";
import type { PodState } from "../model/status.js";
import { type Collector, gauge, only } from "./collector.js";

/** Every one of them, or it does not compile. */
const states = Object.keys({ enrolled: 0, waiting: 0, "not-enrolled": 0 } satisfies Record<PodState, 0>) as PodState[];

export function podsCollector(): Collector {
  const registry = new Registry();
  const pods = gauge(registry, {
    name: "shunt_pods",
    help: "Pods that the source names, by state. Those that wait are to be captured and have no cgroup yet.",
    labelNames: ["state"],
  });
  const policies = gauge(registry, {
    name: "shunt_policies",
    help: "Different policies in the kernel. Pods with the same one share it.",
  });
  return {
    name: "pods",
    registry,
    collect(view) {
      const status = view.status();
      // States of which there is none as well: a series that comes and goes cannot be alerted on.
      pods.set(states.map((state) => [{ state }, status.pods.filter((pod) => pod.state === state).length]));
      policies.set(only(status.policies));
    },
  };
}
