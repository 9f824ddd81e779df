/** Who holds a socket: proc(5), /proc/PID/fd. */
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { type ProxyIds, realIds } from "./containers.js";
import { processesIn } from "./namespace.js";

export interface Holder extends ProxyIds {
  readonly pid: number;
}

/** Inodes of the sockets that a process holds. One that is gone holds none. */
export function* socketsOf(pid: number): Generator<number> {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return;
  }
  for (const name of names) {
    let link: string;
    try {
      link = readlinkSync(join(`/proc/${pid}/fd`, name));
    } catch {
      continue; // closed meanwhile
    }
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined) yield Number(inode);
  }
}

/** @param cgroup of the pod. @returns inode → the processes that hold it. */
export function socketHolders(cgroup: string): Map<number, Holder[]> {
  const holders = new Map<number, Holder[]>();
  for (const pid of processesIn(cgroup)) {
    const ids = realIds(pid);
    if (ids === undefined) continue;
    for (const inode of socketsOf(pid)) holders.set(inode, [...(holders.get(inode) ?? []), { pid, ...ids }]);
  }
  return holders;
}
