/**
 * From the moment in which both a pod's cgroup and its object are there to its policy in the kernel, over 1,000 pods that
 * come and go, in either order: real cgroups, the agent as users run it, and the double of an API server in this process.
 */
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import { startAgentProcess } from "../../src/demo/agentProcess.js";
import { podSlice, type Qos } from "../../src/demo/cgroup.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import { podManifest } from "../../src/demo/manifests.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { openApiDouble } from "../source/kubernetes/apiDouble.js";
import { makeCertificate } from "../source/kubernetes/certificate.js";
import { type Admin, adminOf, kubeconfigText, scratch } from "../source/kubernetes/clusterBed.js";
import { twentyRules } from "./agent.js";
import { percentile } from "./statistics.js";
import { cpu } from "./usage.js";

const rounds = 1000;
/** There at a time: as many as a node has in Kubernetes' own recommendation. */
const alive = 110;
/** ms between one pod's second half and the next pod, and between the halves of one. */
const pause = 10;
const shunt = [process.execPath, fileURLToPath(new URL("../../dist/shunt.js", import.meta.url))] as const;
const classes: readonly Qos[] = ["guaranteed", "burstable", "besteffort"];
const path = "/api/v1/namespaces/bench/pods";

interface Half {
  /** ns, CLOCK_MONOTONIC. */
  at: bigint;
}

async function measure(
  print: (text: string) => void,
  lab: Lab,
  bpffs: string,
  admin: Admin["ask"],
  kubeconfig: string,
  told: Map<string, bigint>,
): Promise<void> {
  const args = ["--kubeconfig", kubeconfig, "--node-name", lab.name];
  for (const qos of ["burstable", "besteffort"]) mkdirSync(join(lab.cgroupRoot, `kubepods-${qos}.slice`));
  const agent = startAgentProcess({ shunt, cgroupRoot: lab.cgroupRoot, bpffs, args });
  await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
  const ready = new Map<string, bigint>();
  const waiting = new Map<string, () => void>();
  /** ms from the agent's seeing the second half: without the way to it, which on a busy machine is most of it. */
  const own: number[] = [];
  let read = 0;
  const look = setInterval(() => {
    for (; read < agent.events.length; read++) {
      const { event, pod = "", at = "0", latency = 0 } = agent.events[read] ?? { event: "" };
      if (event !== "policy" || ready.has(pod)) continue;
      own.push(latency);
      ready.set(pod, BigInt(at));
      waiting.get(pod)?.();
    }
  }, 5);

  const object = async (name: string, uid: string, i: number): Promise<Half> => {
    const text = podManifest({
      ...{ namespace: "bench", name, uid, address: `10.200.${i >> 8}.${i & 255}`, containers: [] },
      annotations: twentyRules(i % 50),
    });
    const { metadata, spec, status } = load(text) as { metadata: object; spec: object; status: object };
    const body = { apiVersion: "v1", kind: "Pod", metadata, spec: { ...spec, nodeName: lab.name }, status };
    await admin(path, { method: "POST", body });
    return { at: told.get(name) ?? 0n };
  };
  const cgroup = (directory: string): Half => {
    // Before the call: the agent may have seen the directory by the time that it returns here.
    const at = process.hrtime.bigint();
    mkdirSync(directory);
    return { at };
  };
  const remove = async (name: string, directory: string): Promise<void> => {
    await admin(`${path}/${name}`, { delete: true });
    rmdirSync(directory);
  };

  const times = { "cgroup last": [] as number[], "object last": [] as number[] };
  const there: { name: string; directory: string }[] = [];
  const used = cpu(agent.pid);
  const begin = performance.now();
  for (let i = 0; i < rounds; i++) {
    const name = `pod-${i}`;
    const uid = `5d0a7c1e-0000-4000-8000-${String(i).padStart(12, "0")}`;
    const directory = join(lab.cgroupRoot, podSlice(uid, classes[i % classes.length] ?? "burstable"));
    const seen = new Promise<void>((resolve) => waiting.set(`bench/${name}`, resolve));
    const last = i % 2 === 0 ? "cgroup last" : "object last";
    let complete: Half;
    if (last === "cgroup last") {
      await object(name, uid, i);
      await sleep(pause);
      complete = cgroup(directory);
    } else {
      cgroup(directory);
      await sleep(pause);
      complete = await object(name, uid, i);
    }
    there.push({ name, directory });
    // One goes while one comes: its removal must not hold that up.
    const gone = there.length > alive ? there.shift() : undefined;
    if (gone !== undefined) await remove(gone.name, gone.directory);
    await seen;
    waiting.delete(`bench/${name}`);
    times[last].push(Number((ready.get(`bench/${name}`) ?? 0n) - complete.at) / 1e6);
    await sleep(pause * Math.random());
  }
  clearInterval(look);
  const seconds = (performance.now() - begin) / 1000;
  const share = ((100 * (cpu(agent.pid) - used)) / seconds).toFixed(0);
  for (const [last, values] of Object.entries(times)) {
    const [p50, p99, worst] = [0.5, 0.99, 1].map((part) => percentile(values, part).toFixed(1));
    print(
      `${last}: policy in the kernel after ${p50} ms (p50), ${p99} ms (p99), ${worst} ms at worst, of ${values.length}`,
    );
  }
  const all = Object.values(times).flat();
  print(`all: ${percentile(all, 0.5).toFixed(1)} ms (p50), ${percentile(all, 0.99).toFixed(1)} ms (p99)`);
  const [p50, p99] = [0.5, 0.99].map((part) => percentile(own, part).toFixed(1));
  print(`of it from the agent's seeing it: ${p50} ms (p50), ${p99} ms (p99)`);
  print(`${rounds} pods in ${seconds.toFixed(0)} s, ${alive} at a time: the agent used ${share} % of a core`);
  await agent.stop();
}

export async function benchPods(print: (text: string) => void): Promise<void> {
  const lab = await openLab({ kind: "benchpods" });
  const bpffs = join(lab.directory, "bpf");
  mkdirSync(bpffs);
  const files = scratch();
  const told = new Map<string, bigint>();
  const certificate = makeCertificate();
  const double = await openApiDouble({
    bookmarks: 60_000,
    certificate,
    keepUids: true,
    onChange: (_, { metadata }) => told.set(metadata.name ?? "", process.hrtime.bigint()),
  });
  try {
    double.tokens.add("token");
    const config = (token: string): string =>
      kubeconfigText({
        ...{ server: `https://127.0.0.1:${double.port}`, tokenFile: files.write(token, token) },
        cluster: { "certificate-authority": files.write("ca", certificate.cert) },
      });
    const { ask } = adminOf(files.write("admin.yaml", config("admin")));
    await measure(print, lab, bpffs, ask, files.write("agent.yaml", config("token")), told);
  } finally {
    await unload(native(), bpffs);
    releaseBpffs(native(), bpffs);
    await double.close();
    files.remove();
    await lab.close();
  }
}
