/** Connections that `--reset-leaked` has ended. Counted as it happens. */
import { Counter, Registry } from "prom-client";
import type { ProcessCollector } from "./collector.js";

export function resetsCollector(): ProcessCollector & { reset(count: number): void } {
  const registry = new Registry();
  const resets = new Counter({
    name: "shunt_reset_connections_total",
    help: "Connections around the proxy that were ended when their pod's first policy came (--reset-leaked).",
    registers: [registry],
  });
  return {
    name: "resets",
    registry,
    reset: (count) => resets.inc(count),
    collect() {},
  };
}
