/**
 * The addon's surface: mechanism only, bytes in and bytes out.
 *
 * This is the one file that loads `shunt.node`. Everything above it works on these interfaces, so the
 * rest of the agent can be tested with a kernel made of plain objects.
 *
 * Every call that fails throws a {@link KernelError}. Every handle may be closed twice; a call on a closed
 * handle throws with code `ERR_CLOSED`. No call blocks for longer than a system call does, except the ones
 * that return a promise, which run on a thread of their own.
 */
import { createRequire } from "node:module";
import { artifact } from "./artifact.js";
import type { NativeTcpSockets } from "./tcpSockets.js";

/** What every failing call throws. */
export interface KernelError extends Error {
  /** The errno's name (`ENOENT`), or `ERR_CLOSED`, `ERR_ARGUMENT`, `ERR_NOT_FOUND` where no system call was made. */
  readonly code: string;
  /** The errno, positive; 0 where no system call was made. */
  readonly errno: number;
  /** What was asked of the kernel: `bpf(BPF_PROG_LOAD)`, `setns`, `mount`. */
  readonly syscall: string;
  /** What it was asked for: the program, map, path or descriptor. */
  readonly subject: string;
  /** For a rejected program: the lines of the verifier's log that matter, oldest first. */
  readonly verifier?: string;
}

export interface MapInfo {
  readonly name: string;
  /** `enum bpf_map_type` of <linux/bpf.h>. */
  readonly type: number;
  readonly id: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes of one value, as the program sees it. */
  readonly valueSize: number;
  /** Bytes of one value as `lookup` and `update` carry it: for per-CPU maps `roundup(valueSize, 8) * cpus`. */
  readonly valueStride: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export interface NativeMap {
  readonly info: MapInfo;
  /** @returns the value ({@link MapInfo.valueStride} bytes), or undefined if the key is not there. */
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** @param flags 0 any, 1 BPF_NOEXIST, 2 BPF_EXIST. @throws E2BIG when the map is full. */
  update(key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** @returns whether the key was there. */
  delete(key: Uint8Array): boolean;
  /**
   * Writes many elements in one call (BPF_MAP_UPDATE_BATCH, or one by one where the map type has no batch).
   * @param keys concatenated. @param values concatenated, as many as keys.
   * @throws KernelError with an extra property `done`: how many were written before the failure.
   */
  updateMany(keys: Uint8Array, values: Uint8Array): void;
  /** Deletes many; a key that is not there is no error. @returns how many were there. */
  deleteMany(keys: Uint8Array): number;
  /**
   * All elements as of about now. Concurrent changes may or may not be seen; nothing is seen twice. Of an LPM_TRIE
   * that is being changed, elements that stay may be missing: the kernel (6.18) walks it without a lock.
   */
  entries(): { count: number; keys: Uint8Array; values: Uint8Array };
  /**
   * One atomic 64-bit store into an element of an ARRAY with BPF_F_MMAPABLE, through a shared mapping.
   * @param offset bytes from the element's start, a multiple of 8.
   */
  store(index: number, offset: number, value: bigint): void;
  /** @param path a file under a bpffs that does not exist yet. */
  pin(path: string): void;
  close(): void;
}

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** `enum bpf_link_type`. */
  readonly type: number;
  /** For cgroup links, else 0n. */
  readonly cgroupId: bigint;
  /** `enum bpf_attach_type`, for cgroup and netns links, else 0. */
  readonly attachType: number;
  /** For netns links: the namespace, as in `net:[4026531840]`; 0 once it is gone. */
  readonly netnsInode: number;
}

export interface NativeLink {
  info(): LinkInfo;
  /** Replaces the program behind the link, atomically (BPF_LINK_UPDATE). */
  update(object: NativeObject, program: string): void;
  pin(path: string): void;
  /** Detaches now, whoever else holds the link (BPF_LINK_DETACH). */
  detach(): void;
  close(): void;
}

export interface ProgramInfo {
  readonly name: string;
  /** The ELF section, e.g. `cgroup/connect4`. */
  readonly section: string;
  /** 0 before load. */
  readonly id: number;
  /** 16 hex digits, empty before load. */
  readonly tag: string;
  /** Nanoseconds and calls since load; both 0 unless statistics are on (`kernel.bpf_stats_enabled`). */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
}

/** One BPF object file: open, set up, load, attach. */
export interface NativeObject {
  /** The maps that the object declares, those of .rodata, .data and .bss included. */
  readonly maps: readonly {
    readonly name: string;
    readonly type: number;
    readonly keySize: number;
    readonly valueSize: number;
    readonly maxEntries: number;
  }[];
  programs(): readonly ProgramInfo[];
  /** Sets a `const volatile` (or .data, .bss) variable before load. @param bytes exactly the variable's size. */
  setVariable(name: string, bytes: Uint8Array): void;
  setMaxEntries(map: string, entries: number): void;
  /** Excludes a program from load (or includes it again). */
  setAutoload(program: string, load: boolean): void;
  /** Uses an existing map in the place of a declared one. @throws EINVAL naming what differs: type, sizes, flags. */
  reuseMap(map: string, existing: NativeMap): void;
  /** Creates the maps and loads the programs. @throws KernelError with `verifier`. */
  load(): void;
  /** A handle of its own (dup), valid after the object is closed. */
  map(name: string): NativeMap;
  /** @param cgroup path of a cgroup2 directory. The attach type is the program's section. */
  attachCgroup(program: string, cgroup: string): NativeLink;
  /** @param netns path of a network namespace. */
  attachNetns(program: string, netns: string): NativeLink;
  /** Runs an `iter/cgroup` program once on one cgroup (BPF_CGROUP_ITER_SELF_ONLY) and returns what it wrote. */
  iterateCgroup(program: string, cgroup: string): Uint8Array;
  /**
   * Runs an `iter/task_file` program over the files of one process and returns what it wrote.
   * @param pid as our own namespace of processes numbers it. A process that is gone has no files.
   */
  iterateTask(program: string, pid: number): Uint8Array;
  close(): void;
}

/** A type of the object's BTF, as much of it as encoders need. */
export interface BtfMember {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes; of all elements, for an array. */
  readonly size: number;
  /** 0 if not an array. */
  readonly elements: number;
  /** Name of the struct that the member (or element) is, through typedefs and arrays; "" for integers. */
  readonly struct: string;
}
export interface BtfStruct {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly members: readonly BtfMember[];
}
export interface BtfEnum {
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface NativeRing {
  /** Hands over at once what is there now. @returns the number of records. */
  drain(): number;
  /** Lets the process end although the ring is open / keeps it alive again. */
  unref(): void;
  ref(): void;
  close(): void;
}

export interface InotifyEvent {
  readonly watch: number;
  /** Bits of <sys/inotify.h>; IN_Q_OVERFLOW comes with watch -1. */
  readonly mask: number;
  /** "" when the event is about the watched file itself. */
  readonly name: string;
}
export interface NativeInotify {
  /** @returns the watch descriptor. Adding a path again replaces its mask. */
  add(path: string, mask: number): number;
  /** Unknown descriptors are no error (the kernel drops a watch by itself when its file goes). */
  remove(watch: number): void;
  unref(): void;
  ref(): void;
  close(): void;
}

/** flock(2): the kernel ends it with its process, however that ends. */
export interface NativeLock {
  /** Whether what is at the path is still the file that is locked. */
  holds(): boolean;
  close(): void;
}

export interface NetnsFacts {
  /** SO_NETNS_COOKIE of a socket in the namespace. */
  readonly cookie: bigint;
  /** Every address of every interface: 4 or 16 bytes, with the interface's name. */
  readonly addresses: readonly {
    readonly interface: string;
    /** if_nametoindex() in the namespace; 0 if it has just gone. */
    readonly index: number;
    readonly address: Uint8Array;
  }[];
}

/** Tells of each namespace that its links, addresses or routes have changed (rtnetlink(7)), not what. */
export interface NativeNetnsWatch {
  /**
   * Enters the namespace on a thread of its own. Needs CAP_SYS_ADMIN. Its socket holds the namespace, which so does
   * not go before `remove` or `close`.
   * @returns an id that no other gets. Whatever changes afterwards is told.
   */
  add(path: string): Promise<number>;
  /** Unknown ids are no error. */
  remove(id: number): void;
  unref(): void;
  ref(): void;
  /** Rejects what is being added. */
  close(): void;
}

export interface Feature {
  /** e.g. `cgroup/connect4`, `cgroup/connect4: bpf_bind`. */
  readonly name: string;
  readonly ok: boolean;
  /** First kernel version that has it, `5.18`. */
  readonly since: string;
  /** What breaks without it, in a few words. */
  readonly needed: string;
  /** Why not, when not ok: errno name or the verifier's line. */
  readonly why: string;
}

export interface Native extends NativeTcpSockets {
  /** The version of libbpf that runs, `1.1`. */
  readonly libbpf: string;
  /** Number of possible CPUs (libbpf_num_possible_cpus). */
  readonly cpus: number;

  /** @param bytes the ELF file. @param name shows in errors. */
  openObject(bytes: Uint8Array, name: string): NativeObject;
  /** Structs and enums of an object file's BTF. */
  readBtf(bytes: Uint8Array, name: string): { structs: BtfStruct[]; enums: BtfEnum[] };
  /** @throws ENOENT when nothing is pinned there. */
  openPinnedMap(path: string): NativeMap;
  openPinnedLink(path: string): NativeLink;
  /** Whether an object with this id is still in the kernel. Needs CAP_SYS_ADMIN. */
  exists(kind: "program" | "map" | "link", id: number): boolean;
  /** All ids in the kernel, ascending. Needs CAP_SYS_ADMIN. */
  ids(kind: "program" | "map" | "link"): number[];
  /** By id. Needs CAP_SYS_ADMIN. `mapIds`: the maps that the program uses. */
  programById(id: number): ProgramInfo & { readonly mapIds: readonly number[]; readonly type: number };
  mapById(id: number): NativeMap;
  linkById(id: number): NativeLink;
  /** Programs attached to a cgroup itself (not inherited), for one `enum bpf_attach_type`, in the order that they run. */
  queryCgroup(cgroup: string, attachType: number): { programIds: number[]; flags: number };

  /** Calls back with the records that came, copied, several at once where several wait. Woken by the ring's own descriptor, never by a timer. */
  openRing(map: NativeMap, onRecords: (records: Uint8Array[]) => void): NativeRing;
  openInotify(onEvents: (events: InotifyEvent[]) => void): NativeInotify;

  /** Enters the namespace on a thread of its own. Needs CAP_SYS_ADMIN. @param path e.g. /proc/PID/ns/net. */
  inspectNetns(path: string): Promise<NetnsFacts>;
  /** Calls back with the ids of the namespaces that changed, each once. One thread for all of them. */
  openNetnsWatch(onChange: (ids: number[]) => void): NativeNetnsWatch;
  /**
   * Gives the namespace's lo this IPv6 address, with prefix length 128. One that is there already is no error.
   * Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. @param path e.g. /proc/PID/ns/net. @param address 16 bytes.
   * @param inode of the namespace that is meant. @throws ESTALE if the path is another's by now.
   */
  addLoopbackAddress(path: string, address: Uint8Array, inode: number): Promise<void>;
  /**
   * SO_ORIGINAL_DST of a connected socket. @param level 0 (SOL_IP) or 41 (SOL_IPV6).
   * @returns 4 or 16 address bytes and the port in host order.
   */
  originalDestination(fd: number, level: 0 | 41): { address: Uint8Array; port: number };

  /** Locks a file or directory that is there, without waiting. @returns undefined if somebody else has it. */
  lock(path: string): NativeLock | undefined;
  /** membarrier(MEMBARRIER_CMD_GLOBAL): returns once every program that ran when it was called has ended. About 10 ms; on the thread pool. */
  gracePeriod(): Promise<void>;
  /** mount(2). @param type `bpf`, `cgroup2`. @param source shows in /proc/mounts. */
  mount(type: string, source: string, target: string): void;
  /** umount2(target, MNT_DETACH where `lazy`). */
  unmount(target: string, lazy?: boolean): void;
  /** Loads minimal programs, one for each thing that the agent's programs use. */
  probe(): Feature[];
}

let loaded: Native | undefined;

/** Loads the addon at the first call, not at import. @throws if `npm run build` has not made it. */
export function native(): Native {
  loaded ??= createRequire(import.meta.url)(artifact("shunt.node")) as Native;
  return loaded;
}
