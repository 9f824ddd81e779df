/** What is wrong now, as `shunt status` lists it. */
import { Registry } from "prom-client";
import type { Problem } from "../model/problem.js";
import { type Collector, gauge } from "./collector.js";

type Kind = Problem["kind"];
const every = {
  document: 0,
  pod: 0,
  annotation: 0,
  sidecar: 0,
  mesh: 0,
  cgroup: 0,
  namespace: 0,
  listener: 0,
  kernel: 0,
  source: 0,
} satisfies Record<Kind, 0>;
/** Every one of them, or it does not compile. */
const kinds = Object.keys(every) as Kind[];

export function problemsCollector(): Collector {
  const registry = new Registry();
  const problems = gauge(registry, {
    name: "shunt_problems",
    help: 'Problems that stand now, by kind. "shunt status" names them.',
    labelNames: ["kind"],
  });
  return {
    name: "problems",
    registry,
    collect(view) {
      const found = view.status().problems;
      problems.set(kinds.map((kind) => [{ kind }, found.filter((problem) => problem.kind === kind).length]));
    },
  };
}
