/** The real agent as a process of its own in a lab, and the kernel's maps read without it. */
import { spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type AgentEvent, type AgentProcess, startAgentProcess } from "../../src/demo/agentProcess.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest, writeManifest } from "../../src/demo/manifests.js";
import { firstLine, type Outcome, outcomeOf } from "../../src/demo/process.js";
import { shuntArgv } from "../../src/demo/shunt.js";
import { artifact } from "../../src/kernel/artifact.js";
import { pinDirectory, pinnedMaps, programs } from "../../src/kernel/datapath.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { type NativeMap, native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { bindContract, type PodRecord } from "../../src/maps/contract.js";
import { u32, u64 } from "../../src/maps/layout.js";
import { decodeAddress } from "../../src/maps/records.js";
import { formatAddress } from "../../src/model/address.js";
import type { Policy } from "../../src/model/policy.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { podPolicy } from "../../src/policy/podPolicy.js";
import { readDocuments } from "../../src/source/documents.js";
import { script } from "./bed.js";

/** What lines of the agent's log hold beside {@link AgentEvent}. */
export interface Said extends AgentEvent {
  readonly adopted?: boolean;
  readonly pods?: number;
  readonly where?: string;
  readonly key?: string;
  readonly value?: string;
}

export const traffic = (name: string): string => `traffic.sidecar.istio.io/${name}`;

/** As the agent compiles it. */
export function compiled(manifest: string): Policy {
  const [pod] = readDocuments(manifest, "").pods;
  const policy = pod && podPolicy(pod, { excludeNamespaces: defaultExcludedNamespaces });
  if (!policy?.enrolled) throw new Error("not enrolled");
  return policy.policy;
}

export const policyOf = (manifest: string): bigint => compiled(manifest).id;

/** What is pinned under a bpffs, whoever runs. */
export interface Pins {
  /** @returns undefined if the cgroup has no entry. */
  record(cgroupId: bigint): PodRecord | undefined;
  /** Of the pod, sorted, as text. */
  localAddresses(cgroupId: bigint): string[];
  policies(): bigint[];
  /** Number of elements. */
  count(map: string): number;
  /** Kernel ids by name. */
  ids(): { maps: Record<string, number>; links: Record<string, number>; programs: Record<string, number> };
}

export function readPins(bpffs: string): Pins {
  const addon = native();
  const path = artifact("shunt.bpf.o");
  const contract = bindContract(addon.readBtf(readFileSync(path), path));
  const use = <T>(name: string, read: (map: NativeMap) => T): T => {
    const map = addon.openPinnedMap(join(pinDirectory(bpffs), `maps-${contract.hash}`, name));
    try {
      return read(map);
    } finally {
      map.close();
    }
  };
  const keys = (name: string): Uint8Array[] =>
    use(name, (map) => {
      const { count, keys: all } = map.entries();
      const { keySize } = map.info;
      return Array.from({ length: count }, (_, i) => all.subarray(i * keySize, (i + 1) * keySize));
    });
  const link = (name: string) => {
    const handle = addon.openPinnedLink(join(pinDirectory(bpffs), "links", name));
    const info = handle.info();
    handle.close();
    return info;
  };
  return {
    record(cgroupId) {
      const slot = use("pods", (map) => map.lookup(u64.encode(cgroupId)));
      if (slot === undefined) return undefined;
      const bytes = use("pod_records", (map) => map.lookup(u32.encode(u32.decode(slot))));
      const record = bytes && contract.podRecord.decode(bytes);
      return record?.cgroup_id === cgroupId ? record : undefined;
    },
    localAddresses: (cgroupId) =>
      keys("local_addrs")
        .map((key) => contract.localKey.decode(key))
        .filter(({ pod }) => pod === cgroupId)
        .flatMap(({ address }) => decodeAddress(address) ?? [])
        .map(formatAddress)
        .sort(),
    policies: () => keys("policies").map((key) => u64.decode(key)),
    count: (name) => keys(name).length,
    ids: () => ({
      maps: Object.fromEntries(pinnedMaps.map((name) => [name, use(name, (map) => map.info.id)])),
      links: Object.fromEntries(programs.map((name) => [name, link(name).id])),
      programs: Object.fromEntries(programs.map((name) => [name, link(name).programId])),
    }),
  };
}

/** One bpffs and one directory of manifests in a lab that several beds share, one after the other. */
export interface AgentBed {
  readonly lab: Lab;
  readonly bpffs: string;
  readonly manifests: string;
  readonly pins: Pins;
  /** Replaces the pod's manifest. @returns its text. */
  edit(pod: LabPod, annotations?: Readonly<Record<string, string>>): Promise<string>;
  /** Starts an agent; it is killed with the bed. */
  start(...args: readonly string[]): AgentProcess;
  /** {@link start}, and waits until it is ready. */
  ready(): Promise<{ agent: AgentProcess; said: Said }>;
}

/** The manifest that {@link AgentBed.edit} writes. */
export function manifestOf(pod: LabPod, annotations: Readonly<Record<string, string>> = {}): string {
  const { namespace, name, uid, address, address6 } = pod;
  const containers = pod.containers.map((container) => ({ name: container.name, id: container.id }));
  return podManifest({ namespace, name, uid, address, address6, annotations, containers });
}

let beds = 0;

/** Also after a failure nothing is left but the lab. @throws Error if something is still in the kernel. */
export async function withBed(lab: Lab, use: (bed: AgentBed) => Promise<void>): Promise<void> {
  const directory = join(lab.directory, `bed-${++beds}`);
  const manifests = join(directory, "manifests");
  const bpffs = join(directory, "bpf");
  mkdirSync(manifests, { recursive: true });
  const agents: AgentProcess[] = [];
  const start = (...args: readonly string[]): AgentProcess => {
    const agent = startAgentProcess({ shunt: shuntArgv(), manifests, cgroupRoot: lab.cgroupRoot, bpffs, args });
    agents.push(agent);
    return agent;
  };
  let held: readonly string[] = [];
  try {
    await use({
      lab,
      bpffs,
      manifests,
      pins: readPins(bpffs),
      start,
      async edit(pod, annotations) {
        const text = manifestOf(pod, annotations);
        await writeManifest(manifests, `${pod.name}.yaml`, text);
        return text;
      },
      async ready() {
        const agent = start();
        return { agent, said: await agent.waitFor((event) => event.event === "ready", 0, 60_000) };
      },
    });
  } finally {
    await Promise.all(agents.map((agent) => agent.stop("SIGKILL")));
    ({ held } = await unload(native(), bpffs, 60_000));
    releaseBpffs(native(), bpffs);
  }
  if (held.length > 0) throw new Error(`still in the kernel: ${held.join(", ")}`);
}

/** A command of shunt as a process of its own. */
export function shunt(...args: readonly string[]): Promise<Outcome> {
  const [program, ...first] = shuntArgv();
  return outcomeOf(spawn(program, [...first, ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}

/**
 * Bundles what is in src/ now, as it is shipped: it starts in a fraction of the time that tsx takes, and runs as
 * any user.
 * @param directory where everything goes that it needs. @returns its path.
 */
export async function bundle(directory: string): Promise<string> {
  const outfile = join(directory, "shunt.js");
  const require = 'import { createRequire as r } from "node:module"; const require = r(import.meta.url);';
  await build({
    entryPoints: [fileURLToPath(new URL("../../src/main.ts", import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "linked",
    banner: { js: require },
    loader: { ".html": "text", ".css": "text" },
  });
  writeFileSync(join(directory, "package.json"), '{"type":"module"}');
  for (const name of ["shunt.node", "shunt.bpf.o"]) copyFileSync(artifact(name), join(directory, name));
  chmodSync(directory, 0o755);
  return outfile;
}

/** Beside the mesh pods: whoever gets here directly is told so. */
const outside = { address: "10.88.0.9", ports: [5000, 5001] } as const;
/** As `reach` takes them. */
export const [toFirst, toSecond] = outside.ports.map((port) => `${outside.address}:${port}`) as [string, string];

/** A lab with mesh pods of these names, a stand-in for the proxy in each, and a server outside the mesh. */
export async function openMesh(kind: string, ...names: readonly string[]): Promise<{ lab: Lab; pods: LabPod[] }> {
  const lab = await openLab({ kind });
  try {
    const server = lab.pod({ namespace: "test", name: "outside", uid: "bb-0", address: outside.address });
    const pods = names.map((name, i) =>
      lab.pod({ namespace: "test", name, uid: `aa-${name}`, address: `10.88.0.${i + 2}` }),
    );
    const listen = async (pod: LabPod, label: string, ...places: readonly string[]): Promise<void> => {
      const ids = { uid: 1337, gid: 1337 };
      await firstLine(pod.spawn(script("originServer.ts", label, ...places), { container: "istio-proxy", ...ids }));
    };
    await Promise.all([
      ...pods.map(async (pod) => await listen(await pod, "proxy", "127.0.0.1:15001")),
      listen(await server, "direct", ...outside.ports.map((port) => `0.0.0.0:${port}`)),
    ]);
    return { lab, pods: await Promise.all(pods) };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/**
 * A new connection of the pod's application.
 * @returns `proxy` with the original destination that the proxy was told, `direct`, or why there was none.
 */
export async function reach(pod: LabPod, to: string): Promise<string> {
  const [host, port] = to.split(":");
  const open = ["bash", "-c", `exec 3<>/dev/tcp/${host}/${port} && exec cat <&3`] as const;
  const { stdout, stderr } = await pod.exec([...open], { container: "app", uid: 1000, gid: 1000, timeout: 60_000 });
  const [label = "", origin = ""] = stdout.split(" ");
  return label === "proxy" ? `proxy ${origin}` : label || stderr.trim();
}
