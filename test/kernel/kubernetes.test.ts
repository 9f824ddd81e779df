/**
 * The real agent with a cluster as its source, on the real kernel: pods that are objects in an API server and
 * cgroups on this machine. clusterSuite.ts says against which.
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as assert from "uvu/assert";
import { podSlice } from "../../src/demo/cgroup.js";
import { assets } from "../source/kubernetes/realBed.js";
import { reach } from "./agentBed.js";
import { until } from "./bed.js";
import type { ClusterLab } from "./clusterLab.js";
import { type ClusterCase, captured, excluded, isPolicy, onClusters, there } from "./clusterSuite.js";

/** As a person does it, where there is a kubectl that knows the server. */
async function edit({ bed, annotate }: ClusterLab, name: string, annotations: typeof excluded | typeof captured) {
  if (bed.kind === "the double") return await annotate(name, annotations);
  const words = Object.entries(annotations).map(([key, value]) => (value === null ? `${key}-` : `${key}=${value}`));
  const flags = ["--kubeconfig", bed.adminKubeconfig, "--token", "admin", "-n", "mesh", "annotate", "--overwrite"];
  await promisify(execFile)(join(assets, "kubectl"), [...flags, "pod", name, ...words]);
}

const cases: Readonly<Record<string, ClusterCase>> = {
  async "an edit reaches the kernel, and what is decided there"(lab, pod) {
    const { agent } = await lab.ready();
    assert.is(await reach(pod, there), `proxy ${there}`);
    for (const [annotations, way] of [
      [excluded, "direct"],
      [captured, `proxy ${there}`],
    ] as const) {
      const from = agent.events.length;
      await edit(lab, pod.name, annotations);
      await agent.waitFor(isPolicy(pod.name), from);
      assert.is(await reach(pod, there), way);
    }
  },

  async "from the edit to the kernel"(lab, pod) {
    const { agent } = await lab.ready();
    const times: number[] = [];
    for (let round = 0; round < 20; round++) {
      const from = agent.events.length;
      const begin = process.hrtime.bigint();
      await lab.annotate(pod.name, round % 2 === 0 ? excluded : captured);
      const said = await agent.waitFor(isPolicy(pod.name), from);
      times.push(Number(BigInt(said.at ?? 0) - begin) / 1e6);
    }
    const sorted = times.sort((a, b) => a - b);
    console.log(`edit to kernel: median ${sorted[10]?.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms`);
  },

  async "a pod that goes and comes again under its name is another one"(lab) {
    const first = await lab.makePod("again", "10.88.0.5");
    const { agent } = await lab.ready();
    assert.is(await reach(first, there), `proxy ${there}`);
    await lab.removePod(first);
    await until("its record went", () => lab.pins.record(first.cgroupId) === undefined);
    const from = agent.events.length;
    const second = await lab.makePod("again", "10.88.0.5");
    assert.is.not(second.uid, first.uid);
    await agent.waitFor(isPolicy("again"), from);
    assert.is(await reach(second, there), `proxy ${there}`);
    await lab.removePod(second);
  },

  async "an API server that dies takes nothing away, and what comes after it is seen"(lab, pod) {
    const { agent } = await lab.ready();
    const policy = lab.pins.record(pod.cgroupId)?.policy;
    lab.bed.wire.mode = "refuse";
    await lab.bed.restart();
    lab.bed.wire.cut();
    await agent.waitFor(({ event, msg }) => event === "problem" && msg.includes("stays as it is"));
    assert.is(await reach(pod, there), `proxy ${there}`);
    assert.is(lab.pins.record(pod.cgroupId)?.policy, policy);
    const from = agent.events.length;
    await lab.annotate(pod.name, excluded);
    lab.bed.wire.mode = "pass";
    await agent.waitFor(isPolicy(pod.name), from, 60_000);
    assert.is(await reach(pod, there), "direct");
    await lab.annotate(pod.name, captured);
  },

  async "an agent that starts without its API server changes nothing until it has read everything"(lab, pod) {
    const before = await lab.ready();
    assert.is(await reach(pod, there), `proxy ${there}`);
    await before.agent.stop();
    const policy = lab.pins.record(pod.cgroupId)?.policy;
    lab.bed.wire.mode = "refuse";
    const agent = lab.start();
    await agent.waitFor(
      ({ event, msg }) => event === "problem" && msg.includes("until they have been read"),
      0,
      60_000,
    );
    assert.is(lab.pins.record(pod.cgroupId)?.policy, policy);
    assert.is(await reach(pod, there), `proxy ${there}`);
    lab.bed.wire.mode = "pass";
    await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
    assert.is(lab.pins.record(pod.cgroupId)?.policy, policy);
    assert.not.ok(agent.events.some(isPolicy(pod.name)), "its policy was never another");
  },

  async "250 pods"(lab) {
    const names = Array.from({ length: 250 }, (_, i) => `many-${i}`);
    const make = async (name: string, i: number): Promise<void> => {
      const uid = await lab.makeObject(name, `10.200.0.${i}`);
      mkdirSync(join(lab.lab.cgroupRoot, podSlice(uid, "burstable")));
    };
    for (let i = 0; i < names.length; i += 25) {
      await Promise.all(names.slice(i, i + 25).map((name, j) => make(name, i + j)));
    }
    const begin = performance.now();
    const { said } = await lab.ready();
    console.log(
      `250 pods: ready after ${((performance.now() - begin) / 1000).toFixed(1)} s, the process's start included`,
    );
    assert.is(said.pods, 251);
    await until("all have a record", () => lab.pins.count("pods") === 251);
  },
};

onClusters("agent", cases);
