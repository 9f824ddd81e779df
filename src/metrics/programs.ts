/** Which programs are in the kernel, and which agent put them there. */
import { Registry } from "prom-client";
import { type Collector, gauge } from "./collector.js";

export function programsCollector(): Collector {
  const registry = new Registry();
  const programs = gauge(registry, {
    name: "shunt_program_info",
    help: "Programs in the kernel, by name, id and tag (a hash of the instructions). Always 1.",
    labelNames: ["program", "id", "tag"],
  });
  const build = gauge(registry, {
    name: "shunt_build_info",
    help: "Version of the agent. Always 1.",
    labelNames: ["version"],
  });
  return {
    name: "programs",
    registry,
    collect(view) {
      const { version, programs: found } = view.status();
      programs.set(found.map(({ name, id, tag }) => [{ program: name, id: `${id}`, tag }, 1]));
      build.set([[{ version }, 1]]);
    },
  };
}
