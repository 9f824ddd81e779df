import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cgroup2Mount, podSlice, type Qos, removeCgroup } from "./cgroup.js";
import { newLabName } from "./labName.js";
import { LabPod } from "./labPod.js";
import { makeNode, makePodNetns, removePodNetns } from "./netns.js";
import { removeLab, type Swept, scratchRoot, sweepLabs } from "./sweep.js";

export interface LabOptions {
  /** Lower-case letters and digits; part of every name. Dead labs of the same kind are swept first. */
  readonly kind: string;
  /** Path of the cgroup2 mount; found in /proc by default. */
  readonly cgroup2?: string;
}

export interface PodOptions {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Any IPv4 address that no other pod of the lab has. */
  readonly address: string;
  readonly address6?: string;
  /** `burstable` by default. */
  readonly qos?: Qos;
}

/**
 * Pods without Kubernetes, on one Linux machine: cgroups as kubelet names them, network namespaces that reach
 * each other, programs that run in both. The machine's own network is not touched. Needs root, cgroup2 with
 * cgroup.kill (Linux 5.14), iproute2 and util-linux.
 *
 * @throws Error when something cannot be made; then nothing is left.
 */
export async function openLab(options: LabOptions): Promise<Lab> {
  const cgroup2 = options.cgroup2 ?? cgroup2Mount();
  const name = newLabName(options.kind);
  const swept = await sweepLabs(options.kind, cgroup2);
  const lab = new Lab(name, join(cgroup2, name), swept);
  try {
    // Not with `recursive`: where a directory cannot be made, in /proc for instance, Node 20 tries for ever.
    for (const directory of [join(cgroup2, name), lab.cgroupRoot, lab.directory, join(lab.directory, "netns")]) {
      await mkdir(directory);
    }
    await makeNode(lab.node);
  } catch (error) {
    throw await closedAfter(lab, error);
  }
  return lab;
}

/** A handle; {@link openLab} makes it. */
export class Lab {
  readonly name: string;
  /** What dead predecessors left, and whether it could be removed. */
  readonly swept: readonly Swept[];
  /** `<cgroup2>/<name>/kubepods.slice`: what the agent's `--cgroup-root` wants. */
  readonly cgroupRoot: string;
  /** Scratch directory, removed with the lab together with all that is mounted in it. */
  readonly directory: string;
  /** Path of the network namespace that routes between the pods. */
  readonly node: string;
  /** In the order that they were made, without the removed ones. */
  readonly pods: readonly LabPod[] = [];

  readonly #cgroup: string;
  readonly #making = new Set<Promise<unknown>>();
  #ports = 0;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(name: string, cgroup: string, swept: readonly Swept[]) {
    this.name = name;
    this.swept = swept;
    this.#cgroup = cgroup;
    this.cgroupRoot = join(cgroup, "kubepods.slice");
    this.directory = join(scratchRoot, name);
    this.node = join(this.directory, "netns", "node");
  }

  /**
   * Makes a pod: its cgroup first, as kubelet does, then its network. Several may be made at once.
   * @throws Error if it cannot be made (then nothing of it is left) or the lab is closed.
   */
  async pod(options: PodOptions): Promise<LabPod> {
    if (this.#closed) throw new Error(`lab ${this.name} is closed`);
    const making = this.#makePod(options);
    const settled = making.catch(() => {}).finally(() => this.#making.delete(settled));
    this.#making.add(settled);
    return making;
  }

  async #makePod(options: PodOptions): Promise<LabPod> {
    const { namespace, name, uid, address, address6 } = options;
    if (!/^[a-z0-9-]+$/.test(uid) || uid === "node") throw new RangeError(`not the uid of a pod: ${uid}`);
    const cgroup = join(this.cgroupRoot, podSlice(uid, options.qos ?? "burstable"));
    const netns = join(this.directory, "netns", uid);
    const network = { path: netns, node: this.node, port: `pod${++this.#ports}` };
    const parent = dirname(cgroup); // of the class; pods share it
    await mkdir(parent).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    await mkdir(cgroup); // EEXIST: this uid has a pod
    const { ino: cgroupId } = await stat(cgroup, { bigint: true });
    const pods = this.pods as LabPod[];
    const pod = new LabPod({ namespace, name, uid, address, address6, cgroup, cgroupId, netns }, async () => {
      pods.splice(pods.indexOf(pod), 1);
      await removeCgroup(cgroup);
      await removePodNetns(network);
    });
    try {
      await makePodNetns({ ...network, address, ...(address6 === undefined ? {} : { address6 }) });
    } catch (error) {
      await removeCgroup(cgroup);
      throw error;
    }
    pods.push(pod);
    return pod;
  }

  /**
   * Ends what runs in the lab and removes all of it. Safe to call twice; after a failure the next call tries again.
   * @throws AggregateError whose message says what is left and why.
   */
  close(): Promise<void> {
    this.#closed = true;
    this.#closing ??= this.#close().catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all(this.#making);
    const pods = [...this.pods];
    for (const pod of pods) pod.kill();
    await removeLab({ cgroup: this.#cgroup, directory: this.directory });
    await Promise.all(pods.map((pod) => pod.ended()));
    (this.pods as LabPod[]).length = 0;
  }
}

/** The error, with what closing added to it. */
async function closedAfter(lab: Lab, error: unknown): Promise<unknown> {
  try {
    await lab.close();
    return error;
  } catch (left) {
    return new AggregateError([error, left], `${(error as Error).message}; ${(left as Error).message}`);
  }
}
