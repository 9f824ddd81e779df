/** `/metrics`: every collector's part of a scrape. One that fails is left out, counted and logged; the others stand. */
import { Registry } from "prom-client";
import type { VerdictCount } from "../maps/counts.js";
import { type Collector, counter, type ProcessCollector } from "./collector.js";
import { connectionsCollector } from "./connections.js";
import type { Detail } from "./detail.js";
import { durationsCollector, type Observer } from "./durations.js";
import { faultsCollector } from "./faults.js";
import { mapsCollector } from "./maps.js";
import { podsCollector } from "./pods.js";
import { problemsCollector } from "./problems.js";
import { processCollector } from "./process.js";
import { programsCollector } from "./programs.js";
import { resetsCollector } from "./resets.js";
import { sourceCollector } from "./source.js";
import { type AgentView, readOnce } from "./view.js";

export interface MetricsOptions {
  /** Undefined while the agent starts: there are only the metrics then that do not need it. */
  view(): AgentView | undefined;
  readonly detail: Detail;
  /** Called when a collector fails, again only if it fails in another way. */
  onError(collector: string, error: Error): void;
}

export interface Metrics {
  /** The text of `/metrics`. Never rejects. */
  scrape(): Promise<string>;
  /** Of the text. */
  readonly contentType: string;
  readonly observe: Observer & { reset(count: number): void };
  /** The last count of a pod that goes. */
  onCountsGone(count: VerdictCount): void;
}

export function openMetrics(options: MetricsOptions): Metrics {
  const connections = connectionsCollector(options.detail);
  const durations = durationsCollector();
  const resets = resetsCollector();
  const ofAgent: readonly Collector[] = [
    connections,
    podsCollector(),
    mapsCollector(),
    problemsCollector(),
    sourceCollector(),
    programsCollector(),
    faultsCollector(),
  ];
  const ofProcess: readonly ProcessCollector[] = [durations, resets, processCollector()];

  const own = new Registry();
  const errors = counter(own, {
    name: "shunt_collector_errors_total",
    help: "Scrapes that a collector failed in. Its metrics are not in those.",
    labelNames: ["collector"],
  });
  const failures = new Map([...ofAgent, ...ofProcess].map(({ name }) => [name, 0]));
  const lastError = new Map<string, string>();

  const fail = (name: string, error: Error): void => {
    failures.set(name, (failures.get(name) ?? 0) + 1);
    if (lastError.get(name) !== error.message) options.onError(name, error);
    lastError.set(name, error.message);
  };

  /** Nothing is awaited between setting the samples and writing them out, so scrapes at the same time do not mix. */
  const part = async (name: string, registry: Registry, collect: () => void): Promise<string> => {
    try {
      collect();
      const text = await registry.metrics();
      lastError.delete(name);
      return text;
    } catch (error) {
      fail(name, error as Error);
      return "";
    }
  };

  return {
    contentType: own.contentType,
    observe: { ...durations.observe, reset: resets.reset },
    onCountsGone: (count) => connections.gone(count),
    async scrape() {
      const agent = options.view();
      const view = agent && readOnce(agent);
      const parts = await Promise.all([
        ...(view === undefined ? [] : ofAgent.map((each) => part(each.name, each.registry, () => each.collect(view)))),
        ...ofProcess.map((each) => part(each.name, each.registry, () => each.collect())),
      ]);
      errors.set([...failures].map(([collector, count]) => [{ collector }, count]));
      parts.push(await own.metrics());
      return parts.filter((text) => text !== "").join("\n");
    },
  };
}
