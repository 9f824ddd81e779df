/**
 * Containers' cgroups, right below their pod's. The names are the container runtime's: `<id>` (cgroupfs),
 * `cri-containerd-<id>.scope`, `crio-<id>.scope`, `docker-<id>.scope` (systemd).
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { processesIn } from "./namespace.js";

/** Directory below the pod's cgroup → its inode number, which the programs know it by. */
export type ContainerCgroups = ReadonlyMap<string, bigint>;

/** @param pod path of the pod's cgroup. One that goes meanwhile has none. */
export function containersIn(pod: string): ContainerCgroups {
  const found = new Map<string, bigint>();
  let names: string[];
  try {
    names = readdirSync(pod, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return found;
  }
  for (const name of names.sort()) {
    const id = statSync(join(pod, name), { bigint: true, throwIfNoEntry: false })?.ino;
    if (id !== undefined) found.set(name, id);
  }
  return found;
}

/** Inode numbers of a cgroup and of all below it. One that goes meanwhile is none of them. */
export function cgroupIds(cgroup: string): Set<bigint> {
  const own = statSync(cgroup, { bigint: true, throwIfNoEntry: false })?.ino;
  const below = [...containersIn(cgroup).keys()].flatMap((name) => [...cgroupIds(join(cgroup, name))]);
  return new Set(own === undefined ? below : [own, ...below]);
}

/** CRI-O's monitor of a container has a cgroup beside it, with the same id in the name. */
const monitor = /^crio-conmon-/;

/** @param id as the pod's status has it, without the runtime. @returns the name of the container's cgroup. */
export function containerNamed(containers: ContainerCgroups, id: string): string | undefined {
  for (const name of containers.keys()) {
    const bare = name.replace(/\.scope$/, "");
    if (!monitor.test(name) && (bare === id || bare.endsWith(`-${id}`))) return name;
  }
  return undefined;
}

export interface ProxyIds {
  /** As the initial user namespace numbers them. */
  readonly uid: number;
  readonly gid: number;
}

/** The real ids of proc(5), /proc/PID/status. A process that is gone has none. */
export function realIds(pid: number): ProxyIds | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const id = (kind: string): number => Number(new RegExp(`^${kind}:\\s+(\\d+)`, "m").exec(status)?.[1]);
    return { uid: id("Uid"), gid: id("Gid") };
  } catch {
    return undefined;
  }
}

/**
 * The proxy's processes, as the programs recognise them: those in its container's cgroup, else those with its ids.
 * @param pod path of the pod's cgroup. @param container name of the proxy's cgroup below it, if it is known.
 * @param ids undefined where the ids alone do not make a proxy.
 */
export function proxyProcesses(pod: string, container: string | undefined, ids: ProxyIds | undefined): number[] {
  const own = container === undefined ? [] : [...processesIn(join(pod, container))];
  if (ids === undefined) return own;
  const others = [...processesIn(pod)].filter((pid) => {
    const real = own.includes(pid) ? undefined : realIds(pid);
    return real !== undefined && (real.uid === ids.uid || real.gid === ids.gid);
  });
  return [...own, ...others];
}
