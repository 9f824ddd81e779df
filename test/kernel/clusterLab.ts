/** Pods that are in a cluster and on this machine: objects in an API server, cgroups and namespaces beside them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import { type AgentProcess, startAgentProcess } from "../../src/demo/agentProcess.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest } from "../../src/demo/manifests.js";
import { firstLine } from "../../src/demo/process.js";
import { shuntArgv } from "../../src/demo/shunt.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import type { ClusterBed } from "../source/kubernetes/clusterBed.js";
import { type Pins, readPins, type Said } from "./agentBed.js";
import { script } from "./bed.js";

export interface ClusterLab {
  readonly bed: ClusterBed;
  readonly lab: Lab;
  readonly node: string;
  readonly bpffs: string;
  readonly pins: Pins;
  /** The object alone, as a mesh pod of this node. @returns its uid. */
  makeObject(name: string, address: string, annotations?: Readonly<Record<string, string>>): Promise<string>;
  /** The object, then cgroup and network, then a stand-in for the proxy. */
  makePod(name: string, address: string): Promise<LabPod>;
  /** Object and all. */
  removePod(pod: LabPod): Promise<void>;
  annotate(name: string, annotations: Readonly<Record<string, string | null>>): Promise<void>;
  label(name: string, labels: Readonly<Record<string, string | null>>): Promise<void>;
  /** Starts an agent; it is killed with the lab. */
  start(): AgentProcess;
  /** {@link start}, and waits until it is ready. */
  ready(): Promise<{ agent: AgentProcess; said: Said }>;
  /** Kills those that {@link start} started. */
  stopAgents(): Promise<void>;
  close(): Promise<void>;
}

const pods = "/api/v1/namespaces/mesh/pods";
const merge = "application/merge-patch+json";

interface PodDocument {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: { readonly containers: readonly object[]; readonly initContainers: readonly object[] };
  readonly status: object;
}

/**
 * @param argv how `shunt` is started.
 * @throws Error if it cannot be made; then nothing is left but the bed.
 */
export async function openClusterLab(bed: ClusterBed, argv: readonly string[] = shuntArgv()): Promise<ClusterLab> {
  const lab = await openLab({ kind: "cluster" });
  const node = lab.name;
  const bpffs = join(lab.directory, "bpf");
  mkdirSync(bpffs);
  const agents: AgentProcess[] = [];
  const start = (): AgentProcess => {
    const args = ["--kubeconfig", bed.kubeconfig, "--node-name", node];
    const agent = startAgentProcess({ shunt: argv, cgroupRoot: lab.cgroupRoot, bpffs, args });
    agents.push(agent);
    return agent;
  };
  const stopAgents = async (): Promise<void> => {
    await Promise.all(agents.splice(0).map((agent) => agent.stop("SIGKILL")));
  };
  const makeObject: ClusterLab["makeObject"] = async (name, address, annotations = {}) => {
    const text = podManifest({ namespace: "mesh", name, uid: "", address, annotations, containers: [] });
    const { metadata, spec, status } = load(text) as PodDocument;
    // Server 1.20 knows no native sidecars: its injector makes the proxy a container like others.
    const [validation, proxy] = spec.initContainers;
    const { restartPolicy: _, ...container } = proxy as { restartPolicy?: string };
    const body = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...metadata, uid: undefined },
      spec: { nodeName: node, initContainers: [validation], containers: [...spec.containers, container] },
    };
    const made = (await bed.admin(pods, { method: "POST", body })) as { metadata: { uid: string } };
    await bed.admin(`${pods}/${name}/status`, { method: "PATCH", body: { status }, contentType: merge });
    return made.metadata.uid;
  };
  await bed.admin("/api/v1/namespaces", { method: "POST", body: { metadata: { name: "mesh" } } });
  return {
    bed,
    lab,
    node,
    bpffs,
    pins: readPins(bpffs),
    makeObject,
    async makePod(name, address) {
      const uid = await makeObject(name, address);
      const pod = await lab.pod({ namespace: "mesh", name, uid, address });
      const ids = { container: "istio-proxy", uid: 1337, gid: 1337 };
      await firstLine(pod.spawn(script("originServer.ts", "proxy", "127.0.0.1:15001"), ids));
      return pod;
    },
    async removePod(pod) {
      await bed.admin(`${pods}/${pod.name}`, { delete: true, body: { gracePeriodSeconds: 0 } });
      await pod.remove();
    },
    async annotate(name, annotations) {
      await bed.admin(`${pods}/${name}`, { method: "PATCH", body: { metadata: { annotations } }, contentType: merge });
    },
    async label(name, labels) {
      await bed.admin(`${pods}/${name}`, { method: "PATCH", body: { metadata: { labels } }, contentType: merge });
    },
    start,
    async ready() {
      const agent = start();
      return { agent, said: await agent.waitFor(({ event }) => event === "ready", 0, 60_000) };
    },
    stopAgents,
    async close() {
      await stopAgents();
      const { held } = await unload(native(), bpffs, 60_000);
      releaseBpffs(native(), bpffs);
      await lab.close();
      if (held.length > 0) throw new Error(`still in the kernel: ${held.join(", ")}`);
    },
  };
}
