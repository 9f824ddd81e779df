/** The real agent in the test's own process, in a lab, with its control socket. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { type Agent, type AgentOptions, startAgent } from "../../src/agent.js";
import { findOrigin } from "../../src/cli/explainAsked.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest, writeManifest } from "../../src/demo/manifests.js";
import { artifact } from "../../src/kernel/artifact.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { readCounters } from "../../src/maps/counts.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { openPodCompiler } from "../../src/policy/podCompiler.js";
import { openManifests } from "../../src/source/manifests.js";
import { type Control, openControl } from "../../src/web/control.js";
import { until } from "../kernel/bed.js";

export interface AgentHere {
  readonly lab: Lab;
  readonly manifests: string;
  readonly bpffs: string;
  /** `--control P --bpffs P`. */
  readonly flags: readonly string[];
  readonly control: string;
  readonly agent: Agent | undefined;
  start(options?: Partial<Pick<AgentOptions, "proxyIdentity" | "unknownPods">>): Promise<void>;
  /** Ends the agent; what is pinned stays. */
  stop(): Promise<void>;
  /** Writes the pod's manifest, and waits until the agent that runs has seen it. */
  edit(pod: LabPod, annotations?: Readonly<Record<string, string | undefined>>): Promise<void>;
  /** Takes everything out of the kernel but the lab. */
  unload(): Promise<void>;
  close(): Promise<void>;
}

export const traffic = (name: string): string => `traffic.sidecar.istio.io/${name}`;

const policy = { excludeNamespaces: defaultExcludedNamespaces };

export async function openAgentHere(kind: string): Promise<AgentHere> {
  const lab = await openLab({ kind });
  const manifests = join(lab.directory, "manifests");
  const bpffs = join(lab.directory, "bpf");
  const control = join(lab.directory, "agent.sock");
  mkdirSync(manifests);
  let running: { agent: Agent; socket: Control } | undefined;

  const stop = async (): Promise<void> => {
    const was = running;
    running = undefined;
    await was?.socket.close();
    await was?.agent.stop();
  };
  const takeOut = async (): Promise<void> => {
    await stop();
    const { held } = await unload(native(), bpffs, 60_000);
    releaseBpffs(native(), bpffs);
    if (held.length > 0) throw new Error(`still in the kernel: ${held.join(", ")}`);
  };
  return {
    lab,
    manifests,
    bpffs,
    control,
    flags: ["--control", control, "--bpffs", bpffs],
    get agent() {
      return running?.agent;
    },
    async start({ proxyIdentity = "uid", unknownPods = "allow" } = {}) {
      const socket = await openControl(control, native().lock);
      const agent = await startAgent({
        native: native(),
        log: pino({ level: "silent" }),
        openSource: (onChange) =>
          openManifests({ directory: manifests, openInotify: (onEvents) => native().openInotify(onEvents), onChange }),
        cgroupRoot: lab.cgroupRoot,
        bpffs,
        object: artifact("shunt.bpf.o"),
        compile: openPodCompiler(policy),
        proxyIdentity,
        unknownPods,
        clock: process.hrtime.bigint,
      });
      running = { agent, socket };
      await agent.ready;
      const { maps } = agent.datapath;
      const flowsLost = () => readCounters(maps.counters, agent.contract).get("flow-lost") ?? 0n;
      const origin = (query: URLSearchParams) => findOrigin(agent.snapshot(), policy, query);
      socket.serve({ status: () => agent.status(), flows: agent.flows, flowsLost, origin });
    },
    stop,
    async edit(pod, annotations = {}) {
      const { namespace, name, uid, address, address6, containers } = pod;
      const before = running?.agent.status().source.lastEvent ?? 0;
      // Events are told apart by the millisecond.
      await until("the last event's millisecond is over", () => Date.now() / 1e3 > before);
      await writeManifest(
        manifests,
        `${name}.yaml`,
        podManifest({ namespace, name, uid, address, address6, containers, annotations }),
      );
      if (running === undefined) return;
      const { agent } = running;
      await until("the edit was seen", () => agent.status().source.lastEvent !== before);
    },
    unload: takeOut,
    async close() {
      await takeOut();
      await lab.close();
    },
  };
}
