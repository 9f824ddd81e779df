/**
 * The pods' cgroups, found by the names that kubelet gives them, as they come and go.
 *
 * A pod's directory is not searched further: an application that may make cgroups below its own could
 * otherwise pass one off as another pod's.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { NativeInotify } from "../kernel/native.js";

export interface PodCgroup {
  /** As in the directory's name: `metadata.uid`, or a static pod's config hash. */
  readonly uid: string;
  readonly path: string;
  /** The inode number: what the programs know the pod by. */
  readonly id: bigint;
  /** Directories below the root: 1 for a child of it. */
  readonly depth: number;
}

/** `kubepods-burstable-pod<uid>.slice`, `kubelet-kubepods-pod<uid>.slice` (systemd), with _ for - in the uid. */
const systemdName = /^(?:.+-)?kubepods(?:-[a-z]+)?-pod([0-9a-zA-Z_]+)\.slice$/;
/** `pod<uid>` (cgroupfs). */
const cgroupfsName = /^pod([0-9a-fA-F][0-9a-zA-Z-]*)$/;

/** @returns the pod's uid, or undefined if the directory is not a pod's. */
export function podUidOf(directory: string): string | undefined {
  const systemd = systemdName.exec(directory)?.[1];
  return systemd === undefined ? cgroupfsName.exec(directory)?.[1] : systemd.replaceAll("_", "-");
}

/** Bits of <sys/inotify.h>. */
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_ONLYDIR = 0x01000000;

/** Directories below the root: the programs look no deeper (MAX_LEVELS of bpf/pod.h). Kubelet needs 2, kind 3. */
const deepest = 16;

export interface CgroupTree {
  /** By uid. The same uid twice: the one that is nearest to the root, then the first by path. */
  readonly pods: ReadonlyMap<string, PodCgroup>;
  /** A directory of that name came or went (an inotify event of this tree's watch). @returns false if the watch is not ours. */
  handle(watch: number, name: string): boolean;
  /** Reads everything again: after an overflow of the event queue. */
  rescan(): void;
}

/**
 * @param root the pods' root cgroup. @param inotify where the watches are added; the caller hands its events on.
 * @throws ENOENT if the root is not there.
 */
export function openCgroupTree(root: string, inotify: NativeInotify): CgroupTree {
  const watched = new Map<number, { path: string; depth: number }>();
  /** Directory → the pods right below it. */
  const found = new Map<string, readonly PodCgroup[]>();
  let pods = new Map<string, PodCgroup>();
  statSync(root);

  /** @param changed name of an entry that may be another directory by now; what else is known already stays as it is. */
  const scan = (path: string, depth: number, changed?: string): void => {
    // The watch first: what comes while we read is then either read or told.
    let names: string[];
    try {
      watched.set(inotify.add(path, IN_CREATE | IN_DELETE | IN_ONLYDIR), { path, depth });
      names = readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
    } catch {
      // It went meanwhile; its parent's event says so too.
      forget(path);
      return;
    }
    const before = new Map((found.get(path) ?? []).map((pod) => [pod.path, pod]));
    const mine: PodCgroup[] = [];
    for (const name of names.sort()) {
      const child = join(path, name);
      const uid = podUidOf(name);
      if (uid === undefined) {
        if (!found.has(child) && depth + 1 < deepest) scan(child, depth + 1);
        continue;
      }
      const known = name === changed ? undefined : before.get(child);
      if (known !== undefined) {
        mine.push(known);
        continue;
      }
      const id = statSync(child, { bigint: true, throwIfNoEntry: false })?.ino;
      if (id !== undefined) mine.push({ uid, path: child, id, depth: depth + 1 });
    }
    found.set(path, mine);
    for (const known of found.keys()) {
      if (
        known !== path &&
        known.startsWith(`${path}/`) &&
        !names.includes(known.slice(path.length + 1).split("/")[0] ?? "")
      ) {
        forget(known);
      }
    }
  };
  const forget = (path: string): void => {
    found.delete(path);
    for (const [watch, place] of watched) if (place.path === path) watched.delete(watch);
  };
  const collect = (): void => {
    const all = [...found.values()].flat().sort((a, b) => a.depth - b.depth || (a.path < b.path ? -1 : 1));
    pods = new Map(all.toReversed().map((pod) => [pod.uid, pod]));
  };
  const rescan = (): void => {
    found.clear();
    scan(root, 0);
    collect();
  };
  rescan();

  return {
    get pods() {
      return pods;
    },
    handle(watch, name) {
      const place = watched.get(watch);
      if (place === undefined) return false;
      scan(place.path, place.depth, name);
      collect();
      return true;
    },
    rescan,
  };
}
