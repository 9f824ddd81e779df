/** Where the pods come from, and whether it can be read. */
import { Registry } from "prom-client";
import { type Collector, gauge, only } from "./collector.js";

export function sourceCollector(): Collector {
  const registry = new Registry();
  const synced = gauge(registry, {
    name: "shunt_source_synced",
    help: "1 if everything in the source of pods could be read. If not, pods keep what they have.",
  });
  const lastEvent = gauge(registry, {
    name: "shunt_source_last_event_timestamp_seconds",
    help: "When the source of pods last changed, in seconds since the epoch. 0 if it has not since the start.",
  });
  return {
    name: "source",
    registry,
    collect(view) {
      const { source } = view.status();
      synced.set(only(source.synced ? 1 : 0));
      lastEvent.set(only(source.lastEvent));
    },
  };
}
