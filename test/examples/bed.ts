/**
 * A lab with the real agent in it, in which one folder after the other lives: its pods with a stand-in for the
 * proxy and for the application in each, and a server for whatever is outside.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { type Agent, startAgent } from "../../src/agent.js";
import { openSettings } from "../../src/cli/config.js";
import { untilCaptured } from "../../src/demo/captured.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { writeManifest } from "../../src/demo/manifests.js";
import { command } from "../../src/demo/process.js";
import { artifact } from "../../src/kernel/artifact.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { readVerdicts, type VerdictCount } from "../../src/maps/counts.js";
import { readPods } from "../../src/maps/readPolicy.js";
import { type Pod, podName } from "../../src/model/pod.js";
import { describeProblem } from "../../src/model/problem.js";
import { noConfig } from "../../src/policy/config.js";
import { openPodCompiler } from "../../src/policy/podCompiler.js";
import { podPolicy } from "../../src/policy/podPolicy.js";
import { openManifests } from "../../src/source/manifests.js";
import { until } from "../kernel/bed.js";
import { type Endpoints, makeEndpoints, type Place } from "../kernel/endpoint.js";
import type { Expectation, Folder } from "./folder.js";

const outsideAddress = "198.18.0.1";

export interface Answer {
  /** `outbound`, `inbound` (the proxy's listeners), `pod` (any other socket in it), `outside`; or an errno's name. */
  readonly who: string;
  /** `address:port` at the end that answers. */
  readonly local: string;
  /** Address that it was called from. */
  readonly peer: string;
  /** What SO_ORIGINAL_DST says there. */
  readonly original: string;
}

export interface ExampleBed {
  /** Puts the folder in the place of the one before, and waits until all of it is in the kernel. */
  enter(folder: Folder): Promise<void>;
  /** Opens a real connection of a pod of the folder, or one to it from outside. */
  call(expectation: Expectation): Promise<Answer>;
  /** What the programs have counted for a pod, so far. */
  counted(pod: string): readonly VerdictCount[];
  close(): Promise<void>;
}

export async function openExampleBed(kind: string): Promise<ExampleBed> {
  const lab = await openLab({ kind });
  try {
    return await withAgent(lab);
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function withAgent(lab: Lab): Promise<ExampleBed> {
  const [manifests, bpffs, config] = ["manifests", "bpf", "config.yaml"].map((name) => join(lab.directory, name));
  if (manifests === undefined || bpffs === undefined || config === undefined) throw new Error("no paths");
  mkdirSync(manifests);
  await writeManifest(lab.directory, "config.yaml", "{}");
  const ends = await makeEndpoints(lab.directory);
  const outside = await lab.pod({ namespace: "outside", name: "outside", uid: "outside", address: outsideAddress });
  // Whatever is no pod is there. It was the first pod, so the first port of the node is its own.
  await command(["nsenter", `--net=${lab.node}`, "ip", "route", "add", "default", "dev", "pod1"]);

  const addon = native();
  const openInotify = addon.openInotify;
  const settings = openSettings("run", { file: config, flags: noConfig, dns: "all", openInotify });
  const agent = await startAgent({
    native: addon,
    log: pino({ level: "silent" }),
    openSource: settings.beside((onChange) => openManifests({ directory: manifests, openInotify, onChange })),
    cgroupRoot: lab.cgroupRoot,
    bpffs,
    object: artifact("shunt.bpf.o"),
    compile: openPodCompiler(settings.options),
    proxyIdentity: "uid",
    clock: process.hrtime.bigint,
  });
  const close = async (): Promise<void> => {
    await agent.stop();
    const { held } = await unload(addon, bpffs);
    releaseBpffs(addon, bpffs);
    await lab.close();
    if (held.length > 0) throw new Error(`still in the kernel: ${held.join(", ")}`);
  };
  try {
    await agent.ready;
  } catch (error) {
    await close();
    throw error;
  }
  const pods = new Map<string, LabPod>();
  /** Ports at which the server outside listens, of all folders so far. */
  const opened = new Set<number>();
  const podOf = (name: string): LabPod => {
    const pod = pods.get(name);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  };

  return {
    async enter(folder) {
      for (const name of readdirSync(manifests)) rmSync(join(manifests, name));
      await Promise.all([...pods.values()].map((pod) => pod.remove()));
      pods.clear();
      await populate(lab, outside, ends, folder, pods, opened);
      const settingsText = folder.config === undefined ? "{}" : readFileSync(folder.config, "utf8");
      await writeManifest(lab.directory, "config.yaml", settingsText);
      for (const name of folder.manifests)
        await writeManifest(manifests, name, readFileSync(join(folder.path, name), "utf8"));
      await settled(agent, bpffs, folder, podOf);
    },
    async call({ pod: name, as, from, to, inbound }) {
      const pod = podOf(name);
      const [address = "", port] = to === "" ? [pod.address, inbound] : to.split(":");
      const place = to === "" ? { pod: outside, container: "client" } : as === "proxy" ? proxyOf(pod) : appOf(pod);
      const flags = from === "" ? [] : [`from=${from}`];
      const [who = "", local = "", peer = "", original = ""] = (
        await ends.call(place, address, Number(port), ...flags)
      ).split(" ");
      return { who, local, peer: peer.replace(/:\d+$/, ""), original };
    },
    counted(name) {
      const { cgroupId } = podOf(name);
      return readVerdicts(agent.datapath.maps.verdicts, agent.contract).filter(({ pod }) => pod === cgroupId);
    },
    close,
  };
}

const proxyOf = (pod: LabPod): Place => ({ pod, container: "istio-proxy", uid: 1337, gid: 1337 });
const appOf = (pod: LabPod): Place => ({ pod, container: "app", uid: 1000, gid: 1000 });

/** Whether an expectation is about the pod itself, at this address. */
function isOwn(pod: LabPod, address: string): boolean {
  return address === pod.address || address.startsWith("127.");
}

/** The folder's pods, and everything that listens in them and outside. */
async function populate(
  lab: Lab,
  outside: LabPod,
  ends: Endpoints,
  { snapshot, expectations }: Folder,
  pods: Map<string, LabPod>,
  opened: Set<number>,
): Promise<void> {
  await Promise.all(
    snapshot.pods.map(async (document) => {
      const { namespace, name, uid, addresses } = document;
      pods.set(podName(document), await lab.pod({ namespace, name, uid, address: addresses[0] ?? "" }));
    }),
  );
  const addresses = new Set<string>();
  const outsidePorts = new Set<number>();
  const inPods = [...pods].map(([name, pod]) => {
    const ports = new Set<number>();
    for (const { pod: asked, to, inbound, listener } of expectations) {
      const [address = "", port = inbound] = to === "" ? [] : to.split(":");
      if (asked !== name || listener === "none") continue;
      if (to !== "" && !isOwn(pod, address)) {
        addresses.add(address);
        outsidePorts.add(Number(port));
      } else ports.add(Number(port));
    }
    return { pod, ports };
  });
  const batch = [...addresses].map((address) => `addr replace ${address}/32 dev lo`).join("\n");
  await command(["nsenter", `--net=${outside.netns}`, "ip", "-batch", "-"], batch);
  const missing = [...outsidePorts].filter((port) => !opened.has(port));
  for (const port of missing) opened.add(port);
  const server = { pod: outside, container: "server" };
  await Promise.all([
    ...missing.map((port) => ends.listen(server, "outside", "0.0.0.0", port)),
    ...inPods.flatMap(({ pod, ports }) => [
      ends.listen(proxyOf(pod), "outbound", "0.0.0.0", 15001),
      ends.listen(proxyOf(pod), "inbound", "0.0.0.0", 15006),
      // As root: some ports are below 1024.
      ...[...ports].map((port) => ends.listen({ pod, container: "app" }, "pod", "0.0.0.0", port)),
    ]),
  ]);
}

/** Waits until the kernel has what the model says of every pod, inbound too, and the problems are as expected. */
async function settled(agent: Agent, bpffs: string, folder: Folder, podOf: (name: string) => LabPod): Promise<void> {
  const { snapshot, options } = folder;
  const policyOf = (pod: Pod): bigint | undefined => {
    const compiled = podPolicy(pod, { ...options, sidecars: snapshot.sidecars, mesh: snapshot.mesh });
    return compiled.enrolled ? compiled.policy.id : undefined;
  };
  const wanted = snapshot.pods.map((pod) => ({ pod: podOf(podName(pod)), policy: policyOf(pod) }));
  await until(
    `the policies of ${folder.name}`,
    () => {
      const have = readPods(agent.datapath.maps, agent.contract);
      return wanted.every(({ pod, policy }) => {
        const state = have.get(pod.cgroupId);
        return state?.policy === policy && (policy === undefined || state?.netnsCookie !== 0n);
      });
    },
    30_000,
  );
  const enrolled = wanted.filter(({ policy }) => policy !== undefined).map(({ pod }) => pod);
  await untilCaptured(bpffs, enrolled, enrolled.length, { within: 30_000 });
  const found = (): string[] => agent.status().problems.map(describeProblem);
  const asExpected = (): boolean => {
    const problems = found();
    return (
      problems.length === folder.problems.length &&
      folder.problems.every((part) => problems.some((problem) => problem.includes(part)))
    );
  };
  await until(`the problems of ${folder.name}`, asExpected, 30_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(found())}`);
  });
}
