/**
 * The agent as users run it, with a cluster as its source: the double, and where KUBEBUILDER_ASSETS names one a real
 * API server too. 250 pods of 20 rules each on this node: cold start, edits, an idle minute, and what other nodes run.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentProcess } from "../../src/demo/agentProcess.js";
import { podSlice } from "../../src/demo/cgroup.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { type ClusterLab, openClusterLab } from "../kernel/clusterLab.js";
import { type ClusterBed, openDoubleBed } from "../source/kubernetes/clusterBed.js";
import { makePod } from "../source/kubernetes/kit.js";
import { assets, openRealBed } from "../source/kubernetes/realBed.js";
import { shunt, twentyRules } from "./agent.js";
import { median } from "./statistics.js";
import { cpu, memory } from "./usage.js";

const pods = 250;
const others = 2000;
/** ms: as a real server sends them. */
const bookmarks = 60_000;
/** Requests at a time, to make objects. */
const together = 25;

async function each(count: number, make: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i += together) {
    await Promise.all(Array.from({ length: Math.min(together, count - i) }, (_, j) => make(i + j)));
  }
}

async function coldStarts(lab: ClusterLab, print: (text: string) => void): Promise<AgentProcess> {
  const starts: number[] = [];
  const cpus: number[] = [];
  const memories: number[] = [];
  for (let round = 0; ; round++) {
    await unload(native(), lab.bpffs);
    const start = process.hrtime.bigint();
    const { agent, said } = await lab.ready();
    starts.push(Number(BigInt(said.at ?? "0") - start) / 1e6);
    cpus.push(1000 * cpu(agent.pid));
    await sleep(1000);
    memories.push(memory(agent.pid));
    if (round < 4) {
      await lab.stopAgents();
      continue;
    }
    print(
      `  process's start to ready, ${pods} pods × 20 rules: median ${median(starts).toFixed(0)} ms, ` +
        `shortest ${Math.min(...starts).toFixed(0)} ms; CPU ${median(cpus).toFixed(0)} ms; ` +
        `RSS ${Math.min(...memories).toFixed(0)}–${Math.max(...memories).toFixed(0)} MiB`,
    );
    return agent;
  }
}

/** ms to the policy in the kernel, from the patch's start and from the server's answer to it. */
async function edits(lab: ClusterLab, agent: AgentProcess, print: (text: string) => void): Promise<void> {
  const [sent, acknowledged]: [number[], number[]] = [[], []];
  for (let i = 0; i < 51; i++) {
    const name = `pod-${(i * 5) % pods}`;
    const from = agent.events.length;
    const begin = process.hrtime.bigint();
    await lab.annotate(name, twentyRules(1000 + i));
    const answered = process.hrtime.bigint();
    const said = await agent.waitFor(({ event, pod }) => event === "policy" && pod === `mesh/${name}`, from, 60_000);
    const at = BigInt(said.at ?? "0");
    sent.push(Number(at - begin) / 1e6);
    acknowledged.push(Number(at - answered) / 1e6);
    // The next edit shall not wait for the last one's grace period.
    await sleep(50);
  }
  const [answer, all] = [acknowledged, sent].map((times) => `${median(times).toFixed(1)} ms`);
  const worst = Math.max(...acknowledged).toFixed(1);
  print(
    `  annotate to kernel: from the server's answer median ${answer}, worst of 51 ${worst} ms; from the patch ${all}`,
  );
}

async function idle({ bed }: ClusterLab, { pid }: AgentProcess, print: (text: string) => void): Promise<void> {
  // V8 tidies up behind the edits.
  await sleep(15_000);
  const seconds = 60;
  const [before, connections] = [cpu(pid), bed.wire.connections];
  await sleep(seconds * 1000);
  const part = ((100 * (cpu(pid) - before)) / seconds).toFixed(2);
  const requests = bed.wire.connections - connections;
  print(`  an idle minute: ${part} % of a core, ${requests} requests (watches that begin again included)`);
}

async function measure(bed: ClusterBed, print: (text: string) => void): Promise<void> {
  const lab = await openClusterLab(bed, shunt);
  try {
    print(`cluster, ${bed.kind}:`);
    await bed.serveSidecars("v1");
    await bed.admin("/api/v1/nodes", { method: "POST", body: { metadata: { name: lab.node } } });
    await each(pods, async (i) => {
      const uid = await lab.makeObject(`pod-${i}`, `10.200.0.${i}`, twentyRules(i));
      mkdirSync(join(lab.lab.cgroupRoot, podSlice(uid, "burstable")), { recursive: true });
    });
    const agent = await coldStarts(lab, print);
    await edits(lab, agent, print);
    await idle(lab, agent, print);
    const before = memory(agent.pid);
    await each(others, (i) => makePod(bed, { name: `other-${i}`, node: `${lab.node}-${i % 100}` }));
    const after = memory(agent.pid);
    print(
      `  RSS before and after ${others} pods came on other nodes: ${before.toFixed(1)} and ${after.toFixed(1)} MiB`,
    );
  } finally {
    await lab.close();
  }
}

export async function benchCluster(print: (text: string) => void): Promise<void> {
  for (const open of assets === "" ? [openDoubleBed] : [openDoubleBed, openRealBed]) {
    const bed = await open(bookmarks);
    try {
      await measure(bed, print);
    } finally {
      await bed.close();
    }
  }
  if (assets === "") print("cluster: KUBEBUILDER_ASSETS is not set, so there is no real API server");
}
