import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findCgroup2, readMounts } from "../kernel/mounts.js";

/** The quality-of-service class decides where kubelet puts a pod. */
export type Qos = "guaranteed" | "burstable" | "besteffort";

/**
 * Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside the old hierarchies.
 * @throws Error if it is nowhere.
 */
export function cgroup2Mount(): string {
  const mount = findCgroup2(readMounts());
  if (mount === undefined) throw new Error("cgroup2 is not mounted: mount -t cgroup2 none DIR");
  return mount.target;
}

/** The pod's cgroup below `kubepods.slice`, named as kubelet's systemd driver does (pkg/kubelet/cm, ToSystemd). */
export function podSlice(uid: string, qos: Qos): string {
  const name = uid.replaceAll("-", "_");
  return qos === "guaranteed"
    ? `kubepods-pod${name}.slice`
    : join(`kubepods-${qos}.slice`, `kubepods-${qos}-pod${name}.slice`);
}

/** The container's cgroup below its pod's, as containerd's CRI plug-in names it. */
export function containerScope(id: string): string {
  return `cri-containerd-${id}.scope`;
}

/** Pids in the cgroup itself and below it. A cgroup that is gone has none. */
export async function pidsBelow(path: string): Promise<number[]> {
  const lists = (await tree(path)).map((each) => readFile(join(each, "cgroup.procs"), "utf8").catch(missing("")));
  return (await Promise.all(lists)).flatMap((list) => list.split("\n").filter(Boolean).map(Number));
}

/**
 * Kills what runs in a cgroup and below it, and removes it. Nothing to do if it is not there.
 * It kills again while something moves in meanwhile (a program that is just being launched).
 * @param within milliseconds.
 * @throws Error that names the cgroup, the reason and the pids that are left.
 */
export async function removeCgroup(path: string, within = 15_000): Promise<void> {
  const deadline = performance.now() + within;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const error = await removeOnce(path);
    if (error === undefined) return;
    if (performance.now() > deadline) {
      const pids = await pidsBelow(path);
      const who = pids.length === 0 ? "" : `; processes ${pids.join(", ")}`;
      throw new Error(`cannot remove cgroup ${path} in ${within} ms: ${error.message}${who}`, { cause: error });
    }
    await sleep(pause);
  }
}

/** @returns why it is still there, if that may pass. */
async function removeOnce(path: string): Promise<Error | undefined> {
  // cgroup.kill (Linux 5.14) reaches everything below at once, and forks that race with it.
  const events = join(path, "cgroup.events");
  if (/^populated 1$/m.test(await readFile(events, "utf8").catch(missing("")))) {
    await writeFile(join(path, "cgroup.kill"), "1").catch(missing(undefined));
  }
  for (const each of (await tree(path)).reverse()) {
    try {
      await rmdir(each);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EBUSY" || code === "ENOTEMPTY") return error as Error;
      if (code !== "ENOENT") throw error;
    }
  }
  return undefined;
}

/** The cgroup and all below it, parents first. */
async function tree(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(missing(undefined));
  if (entries === undefined) return [];
  const below = entries.filter((entry) => entry.isDirectory()).map((entry) => tree(join(path, entry.name)));
  return [path, ...(await Promise.all(below)).flat()];
}

/** For `catch`: a cgroup may go at any time; ENODEV is what its open files answer then. */
function missing<T>(instead: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT" || error.code === "ENODEV") return instead;
    throw error;
  };
}
