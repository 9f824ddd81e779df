/** What the collectors see of the agent: as little as they need, so that tests give plain data. */
import type { NativeMap } from "../kernel/native.js";
import type { Contract } from "../maps/contract.js";
import { readCounters, readVerdicts, type VerdictCount } from "../maps/counts.js";
import type { Status } from "../model/status.js";

export interface AgentView {
  status(): Status;
  /** As the kernel has them now. */
  verdicts(): readonly VerdictCount[];
  /** The programs' other counters, by name. */
  counters(): ReadonlyMap<string, bigint>;
}

interface Agent {
  readonly datapath: { readonly maps: Readonly<Record<"verdicts" | "counters", NativeMap>> };
  readonly contract: Contract;
  status(): Status;
}

/** Reads the kernel's maps whenever it is asked. */
export function agentView(agent: Agent): AgentView {
  const { maps } = agent.datapath;
  return {
    status: () => agent.status(),
    verdicts: () => readVerdicts(maps.verdicts, agent.contract),
    counters: () => readCounters(maps.counters, agent.contract),
  };
}

/** Of one scrape: what several collectors ask for is read once. A call that throws is made again by the next one. */
export function readOnce(view: AgentView): AgentView {
  const once = <T>(read: () => T): (() => T) => {
    let result: { readonly value: T } | undefined;
    return () => {
      result ??= { value: read() };
      return result.value;
    };
  };
  return {
    status: once(() => view.status()),
    verdicts: once(() => view.verdicts()),
    counters: once(() => view.counters()),
  };
}
