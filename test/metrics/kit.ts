/** A view of an agent, made of plain data. */

import type { VerdictCount } from "../../src/maps/counts.js";
import { openMetrics } from "../../src/metrics/registry.js";
import type { AgentView } from "../../src/metrics/view.js";
import type { PodStatus, Status } from "../../src/model/status.js";

export function pod(name: string, cgroupId: bigint | undefined, changes: Partial<PodStatus> = {}): PodStatus {
  return {
    namespace: "shop",
    name,
    uid: `uid-${name}`,
    state: cgroupId === undefined ? "waiting" : "enrolled",
    why: "",
    policy: "",
    cgroupId: cgroupId === undefined ? "" : `${cgroupId}`,
    netnsCookie: "",
    addresses: [],
    cause: "",
    keepsPolicy: false,
    ...changes,
  };
}

export function status(changes: Partial<Status> = {}): Status {
  return {
    version: "1.2.3",
    ready: true,
    source: { name: "manifests /pods", synced: true, lastEvent: 1700000000.25 },
    cgroupRoot: "/sys/fs/cgroup/kubepods.slice",
    bpffs: "/sys/fs/bpf",
    pods: [],
    policies: 0,
    unknownPods: "allow",
    problems: [],
    maps: [],
    programs: [],
    ...changes,
  };
}

export function count(cgroup: bigint, value: bigint, changes: Partial<VerdictCount> = {}): VerdictCount {
  return { pod: cgroup, direction: "outbound", verdict: "redirect", reason: "included-all", count: value, ...changes };
}

export function view(changes: Partial<AgentView> = {}): AgentView {
  const counters = new Map([
    ["flow-lost", 0n],
    ["handoff-lost", 0n],
    ["proxy-narrow", 0n],
  ]);
  return { status: () => status(), verdicts: () => [], counters: () => counters, ...changes };
}

/** Metrics of a view that fails the test if a collector fails. */
export function metricsOf(options: Partial<Parameters<typeof openMetrics>[0]>) {
  return openMetrics({
    view: () => view(),
    detail: "pod",
    onError: (collector, error) => {
      throw new Error(`collector ${collector}: ${error.message}`);
    },
    ...options,
  });
}

/** The samples of a family: `labels value`, as they stand in the text. */
export function samples(text: string, name: string): string[] {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.map((line) => line.slice(name.length).trim());
}
