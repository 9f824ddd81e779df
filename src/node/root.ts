/** The pods' root cgroup, by kubelet's names: `kubepods.slice`, `kubepods`, kind's `kubelet-kubepods.slice`. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";

const rootName = /^(?:.+-)?kubepods(?:\.slice)?$/;
/** Whether a directory is, by its name, one that kubelet made for pods and nothing else. */
export function isPodRoot(path: string): boolean {
  return rootName.test(basename(path));
}

/** Directories below the mount: kubelet.slice/kubelet-kubepods.slice is 2. */
const deepest = 3;

/** @returns all of them, the nearest to the mount first. More than one means nested nodes: the caller must choose. */
export function findPodRoots(cgroup2: string): string[] {
  const found: string[] = [];
  let level = [cgroup2];
  for (let depth = 0; depth < deepest; depth++) {
    const children = level.flatMap(directories);
    found.push(...children.filter(isPodRoot));
    level = children.filter((path) => !found.includes(path));
  }
  return found;
}

function directories(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return entries.map((entry) => join(path, entry.name)).sort();
  } catch {
    return []; // it went meanwhile
  }
}
