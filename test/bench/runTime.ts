/**
 * What each program takes, by the kernel's own measure (bpf(2), BPF_ENABLE_STATS, which adds some tens of ns to each run),
 * under one load after the other. A run that the scheduler or an interrupt breaks up counts in full, so this says the
 * median of several rounds' means.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import type { Place } from "../../src/demo/process.js";
import { inboundDirectory } from "../../src/kernel/inbound.js";
import { native } from "../../src/kernel/native.js";
import { type Bed, openBed } from "../kernel/bed.js";
import { policy, prefix } from "../samples.js";
import { inboundPorts, steer } from "./inbound.js";
import { compileSockets, core, measure, serve } from "./sides.js";
import { median } from "./statistics.js";

const rounds = 15;
const samples = 4000;
/** What a program may take on average, in ns. */
const limit = 1000;

interface Load {
  readonly name: string;
  readonly place: Place;
  /** What sockets.c is to do, and with whom. */
  readonly argv: readonly [string, string, string];
}

/** What a program has done since it was loaded, or in one load. */
interface Runs {
  readonly count: number;
  readonly time: number;
}

/** Names in full (the kernel keeps 15 characters), by id; those of one pod's instance of the inbound program too. */
function attached(bed: Bed): ReadonlyMap<number, string> {
  const pins = inboundDirectory(bed.bpffs);
  const inbound = readdirSync(pins).map((name): [number, string] => {
    const link = native().openPinnedLink(join(pins, name));
    const { programId } = link.info();
    link.close();
    return [programId, "shunt_sk_lookup"];
  });
  const loaded = bed.datapath.programs().filter(({ id, section }) => id > 0 && !section.startsWith("iter/"));
  return new Map([...loaded.map(({ id, name }): [number, string] => [id, name]), ...inbound]);
}

function read(ids: Iterable<number>): Runs[] {
  return [...ids].map((id) => {
    const { runCount, runTimeNs } = native().programById(id);
    return { count: Number(runCount), time: Number(runTimeNs) };
  });
}

function line(name: string, runs: readonly Runs[]): string {
  const means = runs.map(({ time, count }) => time / count);
  const mean = median(means);
  const often = median(runs.map(({ count }) => count)) / samples;
  const spread = `(${Math.min(...means).toFixed(0)}–${Math.max(...means).toFixed(0)})`;
  const verdict = mean > limit ? `, more than ${limit}` : "";
  return `    ${name.padEnd(19)} ${mean.toFixed(0).padStart(5)} ns ${spread.padEnd(12)} × ${often.toFixed(1)}${verdict}`;
}

async function run(print: (text: string) => void, program: string, bed: Bed, loads: readonly Load[]): Promise<void> {
  const names = attached(bed);
  const taken = loads.map((): Runs[][] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { place, argv }] of loads.entries()) {
      const before = read(names.keys());
      await measure(program, place, ...argv, String(samples));
      const after = read(names.keys());
      const since = (runs: Runs, j: number): Runs => {
        return { count: runs.count - (before[j]?.count ?? 0), time: runs.time - (before[j]?.time ?? 0) };
      };
      taken[i]?.push(after.map(since));
    }
  }
  print(`run time, ns a run × runs a call: median of ${rounds} rounds of ${samples} calls, all on core ${core}`);
  for (const [i, { name }] of loads.entries()) {
    print(`  ${name}`);
    for (const [j, program] of [...names.values()].entries()) {
      const runs = (taken[i] ?? []).map((each) => each[j] as Runs);
      // What a client or server does once, when it starts, is no load.
      if (runs.every(({ count }) => count > samples / 10)) print(line(program, runs));
    }
  }
}

async function prepare(bed: Bed, program: string): Promise<Load[]> {
  const make = (name: string, i: number): Promise<LabPod> =>
    bed.lab.pod({ namespace: "bench", name, uid: `d0-${i}`, address: `10.88.5.${i}` });
  const [pod, other] = await Promise.all([make("pod", 1), make("other", 2)]);
  const ranges = [{ prefix: prefix("10.0.0.0/8"), action: "bypass", reason: "excluded-range" }] as const;
  const excluded = { direction: "outbound", port: 15020, action: "bypass", reason: "excluded-port" } as const;
  await bed.enrol([[pod, policy(1n, { ranges, ports: [excluded, ...inboundPorts] })]]);
  await steer(bed, pod);

  const app: Place = { cgroup: pod.container("app").cgroup, netns: pod.netns };
  const proxy: Place = { cgroup: pod.container("istio-proxy").cgroup, netns: pod.netns, uid: 1337, gid: 1337 };
  const bystander: Place = { cgroup: other.container("app").cgroup, netns: other.netns };
  const outside: Place = { cgroup: dirname(bed.lab.cgroupRoot), netns: other.netns };
  await serve(program, proxy, "serve", "127.0.0.1", "15001", "ask");
  await serve(program, proxy, "serve", pod.address, "15006", "ask");
  await serve(program, bystander, "serve", "0.0.0.0", "8080");
  await serve(program, outside, "statistics");
  return [
    { name: "out, redirected", place: app, argv: ["asks", "203.0.113.9", "80"] },
    { name: "out, bypassed", place: app, argv: ["asks", other.address, "8080"] },
    { name: "in, redirected", place: outside, argv: ["connect", pod.address, "8080"] },
    { name: "bind() of the application", place: app, argv: ["binds", "127.0.0.1", "8080"] },
    { name: "bind() of the proxy's listener", place: proxy, argv: ["binds", "127.0.0.1", "15006"] },
    { name: "connect() of a process in no pod, both ends", place: bystander, argv: ["connect", "127.0.0.1", "8080"] },
  ];
}

export async function benchRunTime(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchruntime");
  try {
    const program = await compileSockets(bed.lab.directory);
    await run(print, program, bed, await prepare(bed, program));
  } finally {
    await bed.close();
  }
}
