/**
 * What each program takes, by the kernel's own measure (bpf(2), BPF_ENABLE_STATS, which adds some 20 ns to each run).
 * The load is connections out of a pod, each of which the proxy asks for its original destination, connections
 * into it, and the proxy's bind(). A run that the scheduler or an interrupt breaks up counts in full, so this says
 * the median of several loads' means.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { inboundDirectory } from "../../src/kernel/inbound.js";
import { native } from "../../src/kernel/native.js";
import { type Bed, openBed } from "../kernel/bed.js";
import { policy, prefix } from "../samples.js";
import { inboundPorts, steer } from "./inbound.js";
import { compileSockets, core, measure, serve } from "./sides.js";
import { median } from "./statistics.js";

const turns = { rounds: 15, samples: 4000 };
/** What a program may take on average, in ns. */
const limit = 1000;

interface Runs {
  readonly name: string;
  readonly count: number;
  readonly time: number;
}

function programIds(bed: Bed): number[] {
  const pins = inboundDirectory(bed.bpffs);
  const inbound = readdirSync(pins).map((name) => {
    const link = native().openPinnedLink(join(pins, name));
    const { programId } = link.info();
    link.close();
    return programId;
  });
  const loaded = bed.datapath.programs().filter(({ section }) => !section.startsWith("iter/"));
  return [...loaded.map(({ id }) => id).filter((id) => id > 0), ...inbound];
}

function read(ids: readonly number[]): Runs[] {
  return ids.map((id) => {
    const { name, runCount, runTimeNs } = native().programById(id);
    return { name, count: Number(runCount), time: Number(runTimeNs) };
  });
}

function report(print: (text: string) => void, loads: readonly (readonly Runs[])[]): void {
  for (const [i, { name }] of (loads[0] ?? []).entries()) {
    const runs = loads.map((load) => load[i] as Runs).filter(({ count }) => count > 0);
    if (runs.length === 0) {
      print(`  ${name.padEnd(16)}  did not run`);
      continue;
    }
    const means = runs.map(({ time, count }) => time / count);
    const mean = median(means);
    const often = median(runs.map(({ count }) => count)) / turns.samples;
    const spread = `${Math.min(...means).toFixed(0)}–${Math.max(...means).toFixed(0)}`;
    const verdict = mean > limit ? `   MORE than ${limit} ns` : "";
    print(
      `  ${name.padEnd(16)} ${mean.toFixed(0).padStart(5)} ns a run (${spread}), ${often.toFixed(1)} runs to a call${verdict}`,
    );
  }
}

export async function benchRunTime(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchruntime");
  try {
    const program = await compileSockets(bed.lab.directory);
    const make = (name: string, i: number) =>
      bed.lab.pod({ namespace: "bench", name, uid: `d0-${i}`, address: `10.88.5.${i}` });
    const [pod, caller] = await Promise.all([make("pod", 1), make("caller", 2)]);
    const ranges = [{ prefix: prefix("10.0.0.0/8"), action: "bypass", reason: "excluded-range" }] as const;
    const excluded = { direction: "outbound", port: 15020, action: "bypass", reason: "excluded-port" } as const;
    await bed.enrol([[pod, policy(1n, { ranges, ports: [excluded, ...inboundPorts] })]]);
    await steer(bed, pod);

    const app = { cgroup: pod.container("app").cgroup, netns: pod.netns };
    const proxy = { cgroup: pod.container("istio-proxy").cgroup, netns: pod.netns, uid: 1337, gid: 1337 };
    const outside = { cgroup: dirname(bed.lab.cgroupRoot), netns: caller.netns };
    await serve(program, proxy, "serve", "127.0.0.1", "15001", "ask");
    await serve(program, proxy, "serve", pod.address, "15006", "ask");
    await serve(program, outside, "statistics");

    const ids = programIds(bed);
    const loads: Runs[][] = [];
    for (let round = 0; round < turns.rounds; round++) {
      const before = read(ids);
      await measure(program, app, "asks", "203.0.113.9", "80", String(turns.samples));
      await measure(program, outside, "connect", pod.address, "8080", String(turns.samples));
      await measure(program, proxy, "binds", "127.0.0.1", "15006", String(turns.samples));
      const after = read(ids);
      loads.push(
        after.map(({ name, count, time }, i) => {
          return { name, count: count - (before[i]?.count ?? 0), time: time - (before[i]?.time ?? 0) };
        }),
      );
    }
    print(`programs, ${turns.rounds} loads of ${turns.samples} calls out, in, and of bind(), all on core ${core}`);
    report(print, loads);
  } finally {
    await bed.close();
  }
}
