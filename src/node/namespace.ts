/** A pod's network namespace, through the first process in its cgroup. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Native, NetnsFacts } from "../kernel/native.js";
import { type Address, addressFromBytes } from "../model/address.js";
import { readResolvConf } from "./resolvConf.js";
import { parseRoutes4, parseRoutes6, type Route } from "./routes.js";

export type NamespaceReader = Pick<Native, "inspectNetns">;

export interface PodNamespace {
  readonly cookie: bigint;
  /** Without 127.0.0.0/8, ::1, and IPv6 link-local ones' scopes; each once. */
  readonly addresses: readonly Address[];
  /** `net:[4026531840]`: changes when the sandbox is made anew. */
  readonly link: string;
  /** Interfaces that have an address, by name. */
  readonly interfaces: ReadonlyMap<string, number>;
  readonly routes: readonly Route[];
  /** Of its resolv.conf. */
  readonly dnsServers: readonly Address[];
  /** Ids of our own user namespace that the pod's 0 stands for: 0 unless the pod has a user namespace. */
  readonly uidBase: number;
  readonly gidBase: number;
}

/** Ids that a container's user namespace has at least; one that an application makes for itself has fewer. */
const podIds = 65536;

/**
 * The first line of /proc/PID/uid_map or gid_map (user_namespaces(7)), if it is that of a whole pod.
 * @returns what 0 inside stands for outside; 0 for any other map.
 */
export function idBase(map: string): number {
  const [inside, outside, length] = (map.split("\n")[0] ?? "").trim().split(/\s+/).map(Number);
  return inside === 0 && outside !== undefined && (length ?? 0) >= podIds ? outside : 0;
}

/** A file of the namespace that the process is in. Without IPv6 there is no ipv6_route. */
function readNet(pid: number, name: "route" | "ipv6_route"): string {
  try {
    return readFileSync(`/proc/${pid}/net/${name}`, "utf8");
  } catch {
    return "";
  }
}

function readBase(pid: number, kind: "uid" | "gid"): number {
  try {
    return idBase(readFileSync(`/proc/${pid}/${kind}_map`, "utf8"));
  } catch {
    return 0; // the process ended: its successor is looked at next
  }
}

/** Processes in a cgroup and below. A cgroup that goes meanwhile has none. @param most of each cgroup. */
export function* processesIn(cgroup: string, most = Number.POSITIVE_INFINITY): Generator<number> {
  let children: string[];
  let mine: number[];
  try {
    mine = readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    children = readdirSync(cgroup, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return;
  }
  yield* mine.slice(0, most);
  for (const child of children) yield* processesIn(join(cgroup, child), most);
}

/** Whether any process is in the cgroup or below. A cgroup that is gone has none. */
export function isPopulated(cgroup: string): boolean {
  try {
    return /^populated 1$/m.test(readFileSync(join(cgroup, "cgroup.events"), "utf8"));
  } catch {
    return false;
  }
}

function netnsLink(pid: number | "self"): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** @returns a process of the cgroup that is in this namespace now. @param link as in {@link PodNamespace}. */
export function processInNamespace(cgroup: string, link: string): number | undefined {
  for (const pid of processesIn(cgroup)) if (netnsLink(pid) === link) return pid;
  return undefined;
}

/**
 * What 0 of the pod's user namespace stands for. One process does not say it: that of an application with a user
 * namespace of its own, or one that was moved in from outside, has another map. Each container's first one is asked.
 */
function podBases(cgroup: string, pid: number, link: string): Pick<PodNamespace, "uidBase" | "gidBase"> {
  for (const each of [pid, ...processesIn(cgroup, 1)]) {
    const bases = { uidBase: readBase(each, "uid"), gidBase: readBase(each, "gid") };
    if ((bases.uidBase !== 0 || bases.gidBase !== 0) && netnsLink(each) === link) return bases;
  }
  return { uidBase: 0, gidBase: 0 };
}

const loopback6 = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1";

/** ::6 is one of them: the kernel has it on lo, and only who looks knows that it is the pod's. */
function podAddresses(facts: NetnsFacts): Address[] {
  const addresses = facts.addresses.map((entry) => addressFromBytes(entry.address));
  const own = addresses.filter((address) =>
    // ::6, where a proxy binds it, is the pod's own; 127.0.0.0/8 and ::1 are local in any case.
    address.family === 4 ? address.bytes[0] !== 127 : address.bytes.join(".") !== loopback6,
  );
  return [...new Map(own.map((address) => [address.bytes.join("."), address])).values()];
}

/**
 * @param follow is told of a namespace before it is looked at, so that no change can fall between.
 * @returns undefined while no process of the cgroup is in a namespace of its own: a container's first
 *   process is in the host's for a moment.
 */
export async function inspectPodNamespace(
  native: NamespaceReader,
  cgroup: string,
  follow: (path: string, link: string) => Promise<void>,
): Promise<PodNamespace | undefined> {
  const host = netnsLink("self"); // the agent runs in the host's
  for (const pid of processesIn(cgroup)) {
    const link = netnsLink(pid);
    if (link === undefined || link === host) continue;
    const path = `/proc/${pid}/ns/net`;
    try {
      await follow(path, link);
      const facts = await native.inspectNetns(path);
      const interfaces = new Map(facts.addresses.map((entry) => [entry.interface, entry.index]));
      const routes = [...parseRoutes4(readNet(pid, "route")), ...parseRoutes6(readNet(pid, "ipv6_route"))];
      const dnsServers = readResolvConf(`/proc/${pid}/root/etc/resolv.conf`);
      const bases = podBases(cgroup, pid, link);
      if (netnsLink(pid) !== link) continue;
      const addresses = podAddresses(facts);
      return { cookie: facts.cookie, addresses, link, interfaces, routes, dnsServers, ...bases };
    } catch (error) {
      // The process ended meanwhile: ask the next one. Anything else (no right to enter) is for the caller.
      if (netnsLink(pid) !== undefined) throw error;
    }
  }
  return undefined;
}
