/** How long the agent's own work takes. Observed as it happens, so there is nothing to read at a scrape. */
import { Histogram, Registry } from "prom-client";
import type { ProcessCollector } from "./collector.js";

/** What the agent tells, in seconds. */
export interface Observer {
  /** A pass of the loop. */
  reconciled(seconds: number): void;
  /** From a change that was seen to its policy in the kernel, once a pod. */
  visible(seconds: number): void;
}

/** From a pass that finds nothing to do (about 1 ms) to one that nobody should wait for. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export function durationsCollector(): ProcessCollector & { readonly observe: Observer } {
  const registry = new Registry();
  const registers = [registry];
  const reconcile = new Histogram({
    name: "shunt_reconcile_duration_seconds",
    help: "Time that a pass of the loop takes, from reading what is wanted to the last write.",
    buckets,
    registers,
  });
  const latency = new Histogram({
    name: "shunt_policy_latency_seconds",
    help: "Time from a change that was seen to its policy in the kernel, once a pod.",
    buckets,
    registers,
  });
  return {
    name: "durations",
    registry,
    observe: {
      reconciled: (seconds) => reconcile.observe(seconds),
      visible: (seconds) => latency.observe(seconds),
    },
    collect() {},
  };
}
