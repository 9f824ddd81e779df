import type { ChildProcess, StdioOptions } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { containerScope } from "./cgroup.js";
import { launch, type Outcome, outcomeOf } from "./process.js";

export interface LabContainer {
  readonly name: string;
  /** 64 hexadecimal digits, as in `containerStatuses` after `containerd://`. */
  readonly id: string;
  /** Path of its cgroup. */
  readonly cgroup: string;
  /** What the kernel calls the cgroup: the directory's inode number. */
  readonly cgroupId: bigint;
}

export interface LaunchOptions {
  /** Name of a container; it is made if the pod has none of that name. */
  readonly container: string;
  /** Real, effective and saved ids; root when absent. */
  readonly uid?: number;
  readonly gid?: number;
  /** Pipes for stdout and stderr by default: read them, or the program blocks when they are full. */
  readonly stdio?: StdioOptions;
  /** Added to our own environment. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface ExecOptions extends Omit<LaunchOptions, "stdio"> {
  /** Milliseconds until SIGKILL; none by default. */
  readonly timeout?: number;
}

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  readonly address6: string | undefined;
  /** Path of the pod's cgroup. */
  readonly cgroup: string;
  readonly cgroupId: bigint;
  /** Path of the network namespace. */
  readonly netns: string;
}

/** A handle; {@link Lab.pod} makes it. */
export class LabPod implements PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  readonly address6: string | undefined;
  readonly cgroup: string;
  readonly cgroupId: bigint;
  readonly netns: string;

  readonly #containers = new Map<string, LabContainer>();
  readonly #children = new Set<ChildProcess>();
  readonly #removeAll: () => Promise<void>;
  #removed: Promise<void> | undefined;

  constructor(facts: PodFacts, removeAll: () => Promise<void>) {
    this.namespace = facts.namespace;
    this.name = facts.name;
    this.uid = facts.uid;
    this.address = facts.address;
    this.address6 = facts.address6;
    this.cgroup = facts.cgroup;
    this.cgroupId = facts.cgroupId;
    this.netns = facts.netns;
    this.#removeAll = removeAll;
  }

  /** The latest container of each name, in the order of the names' first use. */
  get containers(): readonly LabContainer[] {
    return [...this.#containers.values()];
  }

  /** The container of that name; made, as the runtime does before it starts the program, if there is none. */
  container(name: string): LabContainer {
    return this.#containers.get(name) ?? this.newContainer(name);
  }

  /** A container with a new id in the place of the last one of that name, as after a restart. What runs stays where it is. */
  newContainer(name: string): LabContainer {
    const id = randomBytes(32).toString("hex");
    const cgroup = join(this.cgroup, containerScope(id));
    mkdirSync(cgroup);
    const container = { name, id, cgroup, cgroupId: statSync(cgroup, { bigint: true }).ino };
    this.#containers.set(name, container);
    return container;
  }

  /** Starts a program in a container of the pod. Its pid is the program's own. It dies with us. */
  spawn(argv: readonly [string, ...string[]], options: LaunchOptions): ChildProcess {
    const { container, stdio, env, ...ids } = options;
    const place = { cgroup: this.container(container).cgroup, netns: this.netns, ...ids };
    const child = launch(place, argv, { ...(stdio && { stdio }), ...(env && { env }) });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.once("error", () => this.#children.delete(child)); // not started
    return child;
  }

  /** Runs a program to its end. Any status is an outcome; rejects only if it cannot be started. */
  async exec(argv: readonly [string, ...string[]], options: ExecOptions): Promise<Outcome> {
    const { timeout, ...rest } = options;
    const child = this.spawn(argv, rest);
    const timer = timeout === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), timeout);
    try {
      return await outcomeOf(child);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Kills what {@link spawn} started and still runs; their descendants go with the cgroup. */
  kill(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }

  /** Resolves when all that {@link spawn} started has ended. */
  async ended(): Promise<void> {
    await Promise.all([...this.#children].map((child) => new Promise((resolve) => child.once("exit", resolve))));
  }

  /** Ends what runs in the pod and removes its cgroup, network and containers. Safe to call twice. */
  remove(): Promise<void> {
    this.#removed ??= (async () => {
      this.kill();
      await this.#removeAll();
      await this.ended();
    })();
    return this.#removed;
  }
}
