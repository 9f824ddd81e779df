/** Where the kernel's file systems are. Reads /proc/self/mountinfo; mounts what is missing. */
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import type { Native } from "./native.js";

export interface Mount {
  readonly source: string;
  /** Which directory of the file system is mounted. */
  readonly root: string;
  readonly target: string;
  readonly type: string;
}

/** What we call ourselves as a mount's source: `unload` unmounts what carries it and nothing else. */
export const mountSource = "shunt";

/** Octal escapes of proc(5): space, tab, line feed and backslash. */
function plain(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** mountinfo of proc(5). Lines that do not have the documented form are passed over. */
export function parseMounts(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [root, target] = [fields[3], fields[4]];
    // Optional fields stand before the separator.
    const [type, source] = fields.slice(fields.indexOf("-", 6) + 1);
    if (root === undefined || target === undefined || type === undefined || source === undefined) return [];
    return [{ source: plain(source), root: plain(root), target: plain(target), type }];
  });
}

/** Our mount namespace's, in the order that they were made. */
export function readMounts(): Mount[] {
  return parseMounts(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** The cgroup2 mount: the whole hierarchy where there is one, not a part of it that is bound elsewhere. */
export function findCgroup2(mounts: readonly Mount[]): Mount | undefined {
  const found = mounts.filter((mount) => mount.type === "cgroup2");
  return found.find((mount) => mount.root === "/") ?? found[0];
}

/** The topmost mount on a path itself, not on a parent. */
function mountAt(path: string): Mount | undefined {
  let real = path;
  try {
    real = realpathSync(path);
  } catch {
    return undefined;
  }
  return readMounts().findLast((mount) => mount.target === real);
}

/**
 * Makes sure that a bpffs is mounted at `path`. It stays after this process, because the pins are to;
 * `unload` takes it away.
 * @throws KernelError (subject: the path) if it cannot be mounted.
 */
export function ensureBpffs(native: Native, path: string): void {
  if (mountAt(path)?.type === "bpf") return;
  // Not recursive: Node 20 never returns from that where nothing can be made, as under /proc.
  if (!existsSync(path)) mkdirSync(path);
  native.mount("bpf", mountSource, path);
}

/** Unmounts a bpffs that {@link ensureBpffs} mounted. @returns whether it did. */
export function releaseBpffs(native: Native, path: string): boolean {
  const mount = mountAt(path);
  if (mount?.type !== "bpf" || mount.source !== mountSource) return false;
  native.unmount(path);
  return true;
}

/**
 * @returns the cgroup2 mount, and what ends it if it was mounted here.
 * @throws KernelError if there is none and none can be mounted.
 */
export function ensureCgroup2(native: Native, fallback = "/run/shunt/cgroup2"): { path: string; release(): void } {
  const found = findCgroup2(readMounts());
  if (found !== undefined) return { path: found.target, release: () => {} };
  mkdirSync(fallback, { recursive: true });
  native.mount("cgroup2", mountSource, fallback);
  return {
    path: fallback,
    release: () => {
      native.unmount(fallback);
      rmdirSync(fallback);
    },
  };
}
