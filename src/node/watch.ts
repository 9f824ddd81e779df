/** What this node shows of pods, followed through one inotify: their cgroups, and the namespaces of those in them. */
import type { InotifyEvent, Native } from "../kernel/native.js";
import { openCgroupTree, type PodCgroup } from "./cgroups.js";
import { type NamespaceTracker, openNamespaceTracker } from "./namespaces.js";

/** Bit of <sys/inotify.h>. */
const IN_Q_OVERFLOW = 0x4000;

export interface NodeWatch {
  /** By pod uid. */
  readonly cgroups: ReadonlyMap<string, PodCgroup>;
  /** As {@link NamespaceTracker.known}. */
  readonly namespaces: NamespaceTracker["known"];
  readonly containers: NamespaceTracker["containers"];
  readonly errors: NamespaceTracker["errors"];
  /** Looks into these pods, by cgroup id, and forgets others. */
  follow(pods: { has(id: bigint): boolean }): void;
  /** Path of a pod's cgroup; undefined once it is gone. */
  pathOf(id: bigint): string | undefined;
  close(): void;
}

export interface NodeWatchOptions {
  readonly native: Pick<Native, "openInotify" | "openNetnsWatch" | "inspectNetns">;
  /** The pods' root cgroup. */
  readonly root: string;
  onChange(): void;
}

/** @throws ENOENT if the root is not there. */
export function openNodeWatch({ native, root, onChange }: NodeWatchOptions): NodeWatch {
  const inotify = native.openInotify((events: InotifyEvent[]) => {
    let treeChanged = false;
    for (const { mask, watch, name } of events) {
      if (mask & IN_Q_OVERFLOW) {
        tree.rescan();
        tracker.rescan();
        treeChanged = true;
      } else if (tree.handle(watch, name)) treeChanged = true;
      else tracker.handle(watch);
    }
    if (treeChanged) onChange();
  });
  const openTree = () => {
    try {
      return openCgroupTree(root, inotify);
    } catch (error) {
      inotify.close();
      throw error;
    }
  };
  const tree = openTree();
  const tracker = openNamespaceTracker({ native, inotify, onChange });
  return {
    get cgroups() {
      return tree.pods;
    },
    namespaces: tracker.known,
    containers: tracker.containers,
    errors: tracker.errors,
    follow: (pods) => tracker.follow([...tree.pods.values()].filter(({ id }) => pods.has(id))),
    pathOf: (id) => [...tree.pods.values()].find((pod) => pod.id === id)?.path,
    close() {
      tracker.close();
      inotify.close();
    },
  };
}
