/** What the tests of the demo share. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cgroup2Mount } from "../../src/demo/cgroup.js";
import { type Lab, openLab } from "../../src/demo/lab.js";

const open = new Set<Lab>();

/** A lab of a kind that only this process uses, closed by {@link closeLabs} also when a test fails. */
export async function testLab(kind = `test${process.pid}`): Promise<Lab> {
  const lab = await openLab({ kind });
  open.add(lab);
  return lab;
}

/** For `test.after.each`. */
export async function closeLabs(): Promise<void> {
  const labs = [...open];
  open.clear();
  await Promise.all(labs.map((lab) => lab.close()));
}

/** <linux/sched.h>: it is ending. It has left its cgroup by then, perhaps, and is not a zombie yet. */
const PF_EXITING = 4;

/** Whether there is such a process, and more of it than what ends or is a zombie. */
export function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc(5): state, ppid, pgrp, session, tty_nr, tpgid, flags. The name before them may hold anything.
    const [state = "", , , , , , flags] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return !"ZX".includes(state) && (Number(flags) & PF_EXITING) === 0;
  } catch {
    return false;
  }
}

/** Polls until it is so. @param within milliseconds. */
export async function until(what: string, condition: () => boolean, within = 60_000): Promise<void> {
  for (const deadline = performance.now() + within; !condition(); await sleep(10)) {
    if (performance.now() > deadline) throw new Error(`not in ${within} ms: ${what}`);
  }
}

/** What there is of labs whose name begins so: cgroups, scratch directories, mounts, processes in its cgroups. */
export async function traces(prefix: string): Promise<string[]> {
  const cgroup2 = cgroup2Mount();
  const names = (directory: string): string[] =>
    readdirSync(directory)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(directory, name));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(`/${prefix}`));
  const processes = readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || !existsSync(`/proc/${pid}/cgroup`)) return false;
    try {
      return alive(Number(pid)) && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${prefix}`);
    } catch {
      return false; // ended meanwhile
    }
  });
  return [...names(cgroup2), ...names("/run"), ...mounts, ...processes.map((pid) => `process ${pid}`)];
}

/** What a lab could have changed in the network namespace that it is made from; other tests may change the rest. */
export function hostNetwork(): string {
  const devices = readdirSync("/sys/class/net").filter((name) => name.startsWith("pod"));
  return [...devices, readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")].join(" ");
}
