/** How full the kernel's maps are. */
import { Registry } from "prom-client";
import { type Collector, gauge } from "./collector.js";

export function mapsCollector(): Collector {
  const registry = new Registry();
  const entries = gauge(registry, {
    name: "shunt_map_entries",
    help: "Elements of a BPF map that are in use.",
    labelNames: ["map"],
  });
  const capacity = gauge(registry, {
    name: "shunt_map_capacity",
    help: "Elements that a BPF map can hold. A write to a full one is a problem of kind kernel.",
    labelNames: ["map"],
  });
  return {
    name: "maps",
    registry,
    collect(view) {
      const { maps } = view.status();
      entries.set(maps.map((map) => [{ map: map.name }, map.entries]));
      capacity.set(maps.map((map) => [{ map: map.name }, map.capacity]));
    },
  };
}
