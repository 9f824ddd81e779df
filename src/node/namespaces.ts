/**
 * Keeps the network namespaces of pods known. A pod's first process shows it; the kernel tells when a cgroup
 * becomes populated or empty, and when a namespace's network changes, so nothing is polled but the moment in
 * which a first process moves over.
 */
import { join } from "node:path";
import type { Native, NativeInotify } from "../kernel/native.js";
import { formatAddress, formatPrefix } from "../model/address.js";
import type { PodCgroup } from "./cgroups.js";
import { type ContainerCgroups, containersIn } from "./containers.js";
import { inspectPodNamespace, isPopulated, type NamespaceReader, type PodNamespace } from "./namespace.js";
import { openNetworkWatch, type PodNetwork } from "./networkWatch.js";

/** Bits of <sys/inotify.h>. */
const IN_MODIFY = 0x2;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;

/** ms between looks at a populated pod whose processes are all in the host's namespace. */
const firstRetry = 2;
const lastRetry = 1000;

export interface NamespaceTracker {
  /** Follows these pods and forgets others. */
  follow(pods: readonly PodCgroup[]): void;
  /** By cgroup id; null of a pod that shows none, no entry for one that has not been looked at yet. */
  readonly known: ReadonlyMap<bigint, PodNamespace | null>;
  /** By cgroup id: the cgroups of the containers of each pod that is followed. */
  readonly containers: ReadonlyMap<bigint, ContainerCgroups>;
  /** By cgroup id: namespaces that cannot be entered. Asked again a few times, then at the pod's next event. */
  readonly errors: ReadonlyMap<bigint, Error>;
  /** An inotify event. @returns false if the watch is not one of ours. */
  handle(watch: number): boolean;
  /** Looks at every pod again: after an overflow of the event queue. */
  rescan(): void;
  close(): void;
}

export interface NamespaceTrackerOptions {
  readonly native: NamespaceReader & Pick<Native, "openNetnsWatch">;
  readonly inotify: NativeInotify;
  /** What is known, or what cannot be, has changed. */
  onChange(): void;
}

interface Followed {
  readonly pod: PodCgroup;
  readonly watches: number[];
  readonly network: PodNetwork;
  retry: number;
  timer: NodeJS.Timeout | undefined;
  busy: boolean;
  again: boolean;
}

function sameContainers(a: ContainerCgroups, b: ContainerCgroups): boolean {
  return a.size === b.size && [...a].every(([name, id]) => b.get(name) === id);
}

function sameNamespace(a: PodNamespace | null, b: PodNamespace | null): boolean {
  const text = ({ addresses, routes, interfaces, dnsServers, ...rest }: PodNamespace): string =>
    [
      ...[rest.link, rest.uidBase, rest.gidBase],
      ...addresses.map(formatAddress),
      ...[...interfaces].flat(),
      ...routes.map((route) => `${formatPrefix(route.prefix)} ${route.interface}`),
      ...dnsServers.map(formatAddress),
    ].join(" ");
  return a === null || b === null ? a === b : text(a) === text(b);
}

export function openNamespaceTracker(options: NamespaceTrackerOptions): NamespaceTracker {
  const { inotify } = options;
  const networks = openNetworkWatch(options.native);
  const followed = new Map<bigint, Followed>();
  const byWatch = new Map<number, bigint>();
  const known = new Map<bigint, PodNamespace | null>();
  const errors = new Map<bigint, Error>();
  const containers = new Map<bigint, ContainerCgroups>();

  const learn = (id: bigint, found: PodNamespace | null): void => {
    const mended = errors.delete(id);
    const before = known.get(id);
    known.set(id, found);
    if (mended || before === undefined || !sameNamespace(before, found)) options.onChange();
  };
  /**
   * A sandbox that ends while its successor begins leaves the pod populated, and the pod's own file tells nothing:
   * without this a dead namespace's cookie would stay, and the new one's sockets would be taken for foreign.
   */
  const watchContainers = (entry: Followed): void => {
    const { path, id } = entry.pod;
    const found = containersIn(path);
    for (const name of found.keys()) {
      try {
        watch(entry, join(path, name, "cgroup.events"), IN_MODIFY);
      } catch {
        // The container went meanwhile: the pod's directory tells.
      }
    }
    const before = containers.get(id);
    containers.set(id, found);
    if (before !== undefined && !sameContainers(before, found)) options.onChange();
  };
  const retry = (entry: Followed): void => {
    entry.timer = setTimeout(() => void look(entry), entry.retry);
    entry.retry = Math.min(entry.retry * 2, lastRetry);
  };
  const look = async (entry: Followed): Promise<void> => {
    if (entry.busy) {
      entry.again = true;
      return;
    }
    entry.busy = true;
    clearTimeout(entry.timer);
    const { pod } = entry;
    watchContainers(entry);
    try {
      const found = await inspectPodNamespace(options.native, pod.path, entry.network.follow);
      if (followed.get(pod.id) !== entry) return;
      if (found === undefined) entry.network.forget();
      learn(pod.id, found ?? null);
      if (found === undefined && isPopulated(pod.path)) {
        retry(entry);
      } else {
        entry.retry = firstRetry;
      }
    } catch (error) {
      if (followed.get(pod.id) !== entry) return;
      const before = errors.get(pod.id)?.message;
      errors.set(pod.id, error as Error);
      if (before !== (error as Error).message) options.onChange();
      // No thread to be had may pass, no right to enter will not: tried for about a second.
      if (entry.retry < lastRetry) retry(entry);
    } finally {
      entry.busy = false;
      if (followed.get(pod.id) !== entry) entry.network.forget();
      if (entry.again) {
        entry.again = false;
        void look(entry);
      }
    }
  };
  const drop = (entry: Followed): void => {
    clearTimeout(entry.timer);
    entry.again = false;
    entry.network.forget();
    followed.delete(entry.pod.id);
    known.delete(entry.pod.id);
    errors.delete(entry.pod.id);
    containers.delete(entry.pod.id);
    for (const watch of entry.watches) {
      byWatch.delete(watch);
      inotify.remove(watch);
    }
  };
  const watch = (entry: Followed, path: string, mask: number): void => {
    const id = inotify.add(path, mask);
    if (!entry.watches.includes(id)) entry.watches.push(id);
    byWatch.set(id, entry.pod.id);
  };
  const add = (pod: PodCgroup): void => {
    const network = networks.pod(() => void look(entry));
    const idle = { retry: firstRetry, timer: undefined, busy: false, again: false };
    const entry: Followed = { pod, watches: [], network, ...idle };
    followed.set(pod.id, entry);
    try {
      watch(entry, join(pod.path, "cgroup.events"), IN_MODIFY);
      watch(entry, pod.path, IN_CREATE | IN_DELETE);
    } catch {
      // The pod went; the tree says so too.
      drop(entry);
      return;
    }
    void look(entry);
  };

  return {
    known,
    containers,
    errors,
    follow(pods) {
      const wanted = new Set(pods.map((pod) => pod.id));
      for (const entry of [...followed.values()]) if (!wanted.has(entry.pod.id)) drop(entry);
      for (const pod of pods) if (!followed.has(pod.id)) add(pod);
    },
    handle(watch) {
      const entry = followed.get(byWatch.get(watch) ?? -1n);
      if (entry === undefined) return false;
      entry.retry = firstRetry;
      void look(entry);
      return true;
    },
    rescan() {
      for (const entry of followed.values()) void look(entry);
    },
    close() {
      for (const entry of [...followed.values()]) drop(entry);
      networks.close();
    },
  };
}
