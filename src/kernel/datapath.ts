/**
 * The programs and maps in the kernel, and their pins. They outlive the agent: it may die, be restarted or
 * be upgraded, and traffic goes on as it was.
 *
 *   <bpffs>/shunt/maps-<layout>/<map>   <bpffs>/shunt/links/<program>   <bpffs>/shunt/inbound/… (inbound.ts)
 *
 * A build with another layout makes maps of its own, fills them, and only then swaps the programs behind the
 * links; the old maps go after that.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { KernelError, Native, NativeLink, NativeMap, NativeObject, ProgramInfo } from "./native.js";

/**
 * In the order of attachment: nothing is steered before what tells the proxy where it was going is there.
 * Detached the other way round.
 */
export const programs = [
  "shunt_getsockopt",
  "shunt_sockops",
  "shunt_post_bind4",
  "shunt_post_bind6",
  "shunt_getpeername4",
  "shunt_getpeername6",
  "shunt_recvmsg4",
  "shunt_recvmsg6",
  "shunt_sendmsg4",
  "shunt_sendmsg6",
  "shunt_connect4",
  "shunt_connect6",
] as const;

/** Steers what arrives in one pod's network namespace. */
export const inboundProgram = "shunt_sk_lookup";

/** Maps that are shared by an agent and its successor. */
export const pinnedMaps = [
  "pods",
  "pod_records",
  "policies",
  "port_rules",
  "range_rules",
  "local_addrs",
  "owner_groups",
  "excluded_interfaces",
  "listeners",
  "origins",
  "proxy_sockets",
  "dns_sockets",
  "handoff",
  "handoff_ports",
  "verdicts",
  "counters",
  "controls",
  "flows",
] as const;
export type MapName = (typeof pinnedMaps)[number];

export interface DatapathOptions {
  readonly native: Native;
  /** The object file and what to call it in errors. */
  readonly object: Uint8Array;
  readonly objectName: string;
  /** Changes with the maps' layout. */
  readonly layout: string;
  /** Mount point of a bpffs. */
  readonly bpffs: string;
  /** The pods' root cgroup. */
  readonly cgroupRoot: string;
  readonly hostNetnsCookie: Uint8Array;
}

export interface Datapath {
  readonly maps: Readonly<Record<MapName, NativeMap>>;
  /** Maps of another layout were pinned: ours are empty, and yet a predecessor has steered by those. */
  readonly hasOtherMaps: boolean;
  /** Bytes that the iterator writes about a cgroup: a struct cgroup_place. */
  cgroupPlace(path: string): Uint8Array;
  /**
   * Walks the files of a process for listeners that no program has seen.
   * @param search a struct listener_search. @returns as many structs found_listener as there are.
   */
  scanListeners(search: Uint8Array, pid: number): Uint8Array;
  /** Attaches the programs, or puts them in the place of a predecessor's. Call it when the maps are filled. */
  attach(): { readonly adopted: boolean };
  programs(): readonly ProgramInfo[];
  /** Closes the handles. What is pinned stays. */
  close(): void;
}

export function pinDirectory(bpffs: string): string {
  return join(bpffs, "shunt");
}

const isMissing = (error: unknown): boolean => (error as Partial<KernelError>).code === "ENOENT";

function openPinned(native: Native, path: string): NativeMap | undefined {
  try {
    return native.openPinnedMap(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** One level, not all: where the bpffs was taken away nothing is to be made in its place. */
function makeDirectory(path: string): void {
  if (!existsSync(path)) mkdirSync(path);
}

/** Takes pinned maps over and pins those that are new. A killed predecessor may have left some of them. */
function loadObject(options: DatapathOptions, mapsDirectory: string): NativeObject {
  const object = options.native.openObject(options.object, options.objectName);
  try {
    object.setVariable("host_netns_cookie", options.hostNetnsCookie);
    // One a pod, each with its pod's key: inbound.ts.
    object.setAutoload(inboundProgram, false);
    const fresh: MapName[] = [];
    for (const name of pinnedMaps) {
      const pinned = openPinned(options.native, join(mapsDirectory, name));
      if (pinned === undefined) {
        fresh.push(name);
        continue;
      }
      object.reuseMap(name, pinned);
      pinned.close();
    }
    object.load();
    // Only now: of an object that was refused nothing is left.
    makeDirectory(dirname(mapsDirectory));
    makeDirectory(mapsDirectory);
    for (const name of fresh) {
      const map = object.map(name);
      map.pin(join(mapsDirectory, name));
      map.close();
    }
    return object;
  } catch (error) {
    object.close();
    throw error;
  }
}

/** @throws KernelError; nothing is attached then, and what was pinned stays as it was. */
export function openDatapath(options: DatapathOptions): Datapath {
  const { native } = options;
  const directory = pinDirectory(options.bpffs);
  const mapsDirectory = join(directory, `maps-${options.layout}`);
  const linksDirectory = join(directory, "links");
  const hasOtherMaps = otherMaps(directory, mapsDirectory).length > 0;
  const object = loadObject(options, mapsDirectory);
  const maps = Object.fromEntries(pinnedMaps.map((name) => [name, object.map(name)])) as Record<MapName, NativeMap>;
  const searchMap = object.map("listener_search");
  const cgroupId = statSync(options.cgroupRoot, { bigint: true }).ino;

  return {
    maps,
    hasOtherMaps,
    cgroupPlace: (path) => object.iterateCgroup("shunt_cgroup_place", path),
    scanListeners(search, pid) {
      searchMap.update(new Uint8Array(4), search);
      return object.iterateTask("shunt_listener_scan", pid);
    },
    attach() {
      let adopted = false;
      makeDirectory(linksDirectory);
      for (const program of programs) {
        const path = join(linksDirectory, program);
        adopted = replaceLink(native, object, program, path, cgroupId, options.cgroupRoot) || adopted;
      }
      removeOtherLinks(native, linksDirectory);
      removeOtherMaps(directory, mapsDirectory);
      return { adopted };
    },
    programs: () => object.programs(),
    close() {
      for (const map of [...Object.values(maps), searchMap]) map.close();
      object.close();
    },
  };
}

/** @returns whether a predecessor's link was taken over. A link to another cgroup (or a dead one) is replaced. */
function replaceLink(
  native: Native,
  object: NativeObject,
  program: string,
  path: string,
  cgroupId: bigint,
  cgroupRoot: string,
): boolean {
  let old: NativeLink | undefined;
  try {
    old = native.openPinnedLink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  try {
    if (old?.info().cgroupId === cgroupId) {
      old.update(object, program);
      return true;
    }
    const link = object.attachCgroup(program, cgroupRoot);
    if (old !== undefined) {
      old.detach();
      unlinkSync(path);
    }
    link.pin(path);
    link.close();
    return false;
  } finally {
    old?.close();
  }
}

/** Programs of a build that had more of them. Left alone, they would go on by policies that nobody keeps up. */
function removeOtherLinks(native: Native, directory: string): void {
  for (const name of readdirSync(directory)) {
    if ((programs as readonly string[]).includes(name)) continue;
    const link = native.openPinnedLink(join(directory, name));
    link.detach();
    link.close();
    unlinkSync(join(directory, name));
  }
}

/** Directories of the maps of builds with another layout. */
function otherMaps(directory: string, mine: string): string[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names
    .filter((name) => name.startsWith("maps-"))
    .flatMap((name) => {
      const path = join(directory, name);
      return path === mine ? [] : [path];
    });
}

/** No program uses them now. */
function removeOtherMaps(directory: string, mine: string): void {
  for (const path of otherMaps(directory, mine)) {
    for (const map of readdirSync(path)) unlinkSync(join(path, map));
    rmdirSync(path);
  }
}
