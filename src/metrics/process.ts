/**
 * What the agent itself uses. Not prom-client's defaults: those name gauges `_total`, which promtool refuses, and
 * wake the process a hundred times a second to measure the event loop; its utilization costs nothing.
 */

import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { Registry } from "prom-client";
import { counter, gauge, only, type ProcessCollector } from "./collector.js";

export function processCollector(): ProcessCollector {
  const registry = new Registry();
  const cpu = counter(registry, {
    name: "process_cpu_seconds_total",
    help: "CPU time of the agent, user and system.",
  });
  const resident = gauge(registry, {
    name: "process_resident_memory_bytes",
    help: "Resident memory of the agent.",
  });
  const started = gauge(registry, {
    name: "process_start_time_seconds",
    help: "When the agent started, in seconds since the epoch.",
  });
  const descriptors = gauge(registry, {
    name: "process_open_fds",
    help: "Open file descriptors of the agent.",
  });
  const heap = gauge(registry, {
    name: "nodejs_heap_size_used_bytes",
    help: "Used part of the heap of the agent's JavaScript.",
  });
  const active = counter(registry, {
    name: "nodejs_eventloop_active_seconds_total",
    help: "Time that the agent's event loop did not wait. A rate of 1 is a loop that has no time left.",
  });
  return {
    name: "process",
    registry,
    collect() {
      const { user, system } = process.cpuUsage();
      const { rss, heapUsed } = process.memoryUsage();
      cpu.set(only((user + system) / 1e6));
      resident.set(only(rss));
      started.set(only(performance.timeOrigin / 1e3));
      // Less the one that reads the directory.
      descriptors.set(only(readdirSync("/proc/self/fd").length - 1));
      heap.set(only(heapUsed));
      active.set(only(performance.eventLoopUtilization().active / 1e3));
    },
  };
}
