/**
 * The agent as users run it (the bundle), with 250 pods of 20 rules each: start, edits, memory, idle CPU, and
 * one pod with 10,000 ranges.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentProcess, startAgentProcess } from "../../src/demo/agentProcess.js";
import { podSlice } from "../../src/demo/cgroup.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import { podManifest } from "../../src/demo/manifests.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { median } from "./statistics.js";

const pods = 250;
const shunt = [process.execPath, fileURLToPath(new URL("../../dist/shunt.js", import.meta.url))] as const;
const key = (name: string): string => `traffic.sidecar.istio.io/${name}`;

const uidOf = (i: number): string => `5d0a7c1e-0000-4000-8000-${String(i).padStart(12, "0")}`;

/** Ten ports and ten ranges; `seed` makes another policy of them. */
export function twentyRules(seed: number): Record<string, string> {
  const ten = Array.from({ length: 10 }, (_, i) => i);
  return {
    [key("excludeOutboundPorts")]: ten.map((i) => 1000 + ((seed * 10 + i) % 60000)).join(","),
    [key("excludeOutboundIPRanges")]: ten.map((i) => `10.${seed % 250}.${(i * 7) % 256}.0/24`).join(","),
  };
}

function write(manifests: string, i: number, annotations: Record<string, string>): bigint {
  const address = `10.200.${i >> 8}.${i & 255}`;
  writeFileSync(
    join(manifests, `pod-${i}.yaml`),
    podManifest({ namespace: "bench", name: `pod-${i}`, uid: uidOf(i), address, annotations }),
  );
  return process.hrtime.bigint();
}

/** ms from the file's close to the policy in the kernel. */
async function edit(
  agent: AgentProcess,
  manifests: string,
  i: number,
  annotations: Record<string, string>,
): Promise<number> {
  const from = agent.events.length;
  const closed = write(manifests, i, annotations);
  const said = await agent.waitFor((event) => event.event === "policy" && event.pod === `bench/pod-${i}`, from);
  return Number(BigInt(said.at ?? "0") - closed) / 1e6;
}

function memory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Seconds of CPU, user and system (proc(5), stat: fields 14 and 15, in hundredths). */
export function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function measure(print: (text: string) => void, lab: Lab, bpffs: string): Promise<void> {
  const manifests = join(lab.directory, "manifests");
  mkdirSync(manifests);
  for (let i = 0; i < pods; i++) {
    mkdirSync(join(lab.cgroupRoot, podSlice(uidOf(i), "burstable")), { recursive: true });
    write(manifests, i, twentyRules(i));
  }
  const options = { shunt, manifests, cgroupRoot: lab.cgroupRoot, bpffs };
  const starts: number[] = [];
  const cpus: number[] = [];
  let agent: AgentProcess | undefined;
  for (let round = 0; round < 5; round++) {
    await agent?.stop();
    if (round < 3) await unload(native(), bpffs);
    const start = process.hrtime.bigint();
    agent = startAgentProcess(options);
    const ready = await agent.waitFor((event) => event.event === "ready");
    starts.push(Number(BigInt(ready.at ?? "0") - start) / 1e6);
    cpus.push(cpu(agent.pid));
  }
  if (agent === undefined) return;
  print(
    `start to ready, ${pods} pods × 20 rules: first ${starts.slice(0, 3).map(Math.round).join(", ")} ms; taking over ${starts.slice(3).map(Math.round).join(", ")} ms`,
  );
  print(`CPU of all its threads until then: median ${(1000 * median(cpus)).toFixed(0)} ms`);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  print(`RSS after the start: ${memory(agent.pid).toFixed(0)} MiB`);

  const edits: number[] = [];
  for (let i = 0; i < 50; i++) {
    edits.push(await edit(agent, manifests, (i * 5) % pods, twentyRules(1000 + i)));
    // The next edit shall not wait for the last one's grace period.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  print(
    `edit, from the file's close to the kernel: median ${median(edits).toFixed(1)} ms, worst of ${edits.length} ${Math.max(...edits).toFixed(1)} ms`,
  );

  // In the first of them V8 tidies up behind the edits.
  const seconds = 10;
  for (const when of ["after the edits", "after that"]) {
    const before = cpu(agent.pid);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const part = ((100 * (cpu(agent.pid) - before)) / seconds).toFixed(2);
    print(`idle, ${seconds} s ${when}: ${part} % of a core, RSS ${memory(agent.pid).toFixed(0)} MiB`);
  }

  const many = (first: number): Record<string, string> => ({
    [key("excludeOutboundIPRanges")]: Array.from(
      { length: 10_000 },
      (_, i) => `${first}.${i >> 8}.${i & 255}.0/24`,
    ).join(","),
  });
  const large: number[] = [];
  for (const first of [20, 21, 22, 23, 24]) {
    large.push(await edit(agent, manifests, 7, many(first)));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  print(
    `edit of one pod with 10,000 ranges: median ${median(large).toFixed(0)} ms, worst ${Math.max(...large).toFixed(0)} ms`,
  );
  await agent.stop();
}

export async function benchAgent(print: (text: string) => void): Promise<void> {
  const lab = await openLab({ kind: "benchagent" });
  const bpffs = join(lab.directory, "bpf");
  try {
    await measure(print, lab, bpffs);
  } finally {
    await unload(native(), bpffs);
    releaseBpffs(native(), bpffs);
    await lab.close();
  }
}
