/** Who holds a socket: proc(5), /proc/PID/fd. */
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type ProxyIds, realIds } from "./containers.js";
import { processesIn } from "./namespace.js";

export interface Holder extends ProxyIds {
  readonly pid: number;
}

/**
 * What is gone cannot be looked at. A process that is there and may not be looked at is another matter: taken for one that
 * holds nothing, its sockets would seem to be somebody else's.
 */
function throwIfThere(pid: number, error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  // readlink() says EACCES also of a process that has just been reaped (fs/proc/base.c, proc_pid_readlink()).
  if ((code === "EACCES" || code === "EPERM") && existsSync(`/proc/${pid}`)) throw error;
}

/** Inodes of the sockets that a process holds. One that is gone holds none. @throws EACCES without the right to look. */
export function* socketsOf(pid: number): Generator<number> {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    throwIfThere(pid, error);
    return;
  }
  for (const name of names) {
    let link: string;
    try {
      link = readlinkSync(join(`/proc/${pid}/fd`, name));
    } catch (error) {
      throwIfThere(pid, error);
      continue; // closed meanwhile
    }
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined) yield Number(inode);
  }
}

/** @param cgroup of the pod. @returns inode → the processes that hold it. @throws as {@link socketsOf}. */
export function socketHolders(cgroup: string): Map<number, Holder[]> {
  const holders = new Map<number, Holder[]>();
  for (const pid of processesIn(cgroup)) {
    const ids = realIds(pid);
    if (ids === undefined) continue;
    for (const inode of socketsOf(pid)) holders.set(inode, [...(holders.get(inode) ?? []), { pid, ...ids }]);
  }
  return holders;
}
