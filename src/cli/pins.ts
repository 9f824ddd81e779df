/** What is pinned in the kernel, for commands that have no agent to ask. Changes nothing. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { NodeError } from "../errors.js";
import { artifact } from "../kernel/artifact.js";
import { pinDirectory } from "../kernel/datapath.js";
import { readMounts } from "../kernel/mounts.js";
import { type Native, native } from "../kernel/native.js";
import { bindContract, type Contract } from "../maps/contract.js";
import { openPinnedMaps, type ReadableMaps } from "../maps/readPolicy.js";
import type { ProgramStatus } from "../model/status.js";
import { openCgroupTree, type PodCgroup } from "../node/cgroups.js";

/** The handles are closed when {@link withPins} ends. */
export interface Pins {
  readonly contract: Contract;
  /** Of the layout that this build knows; undefined if nothing of it is pinned. */
  readonly maps: ReadableMaps | undefined;
  /** Names of directories of maps that another build has made, which this one cannot read. */
  readonly foreign: readonly string[];
  readonly programs: readonly ProgramStatus[];
  /** The cgroup that the programs are attached to; "" if it is gone, or none is attached. */
  readonly cgroupRoot: string;
  /** The pods' cgroups below it. */
  readonly cgroups: readonly PodCgroup[];
}

/** Directories below the mount: where kubelet or a lab has the pods' root. */
const deepestRoot = 4;

/** @returns the path of the cgroup with this id, "" if there is none. */
function findCgroup(id: bigint): string {
  let level = readMounts().flatMap((mount) => (mount.type === "cgroup2" ? [mount.target] : []));
  for (let depth = 0; depth <= deepestRoot; depth++) {
    const found = level.find((path) => statSync(path, { bigint: true, throwIfNoEntry: false })?.ino === id);
    if (found !== undefined) return found;
    level = level.flatMap(directories);
  }
  return "";
}

function directories(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [join(path, entry.name)] : []));
  } catch {
    return []; // it went meanwhile
  }
}

/** Nothing is watched: one look is enough here. */
const unwatched = { add: () => -1, remove() {}, unref() {}, ref() {}, close() {} };

function cgroupsBelow(root: string): PodCgroup[] {
  try {
    return root === "" ? [] : [...openCgroupTree(root, unwatched).pods.values()];
  } catch {
    return []; // it went meanwhile
  }
}

function readLinks(addon: Native, directory: string): { programs: ProgramStatus[]; cgroupId: bigint } {
  const programs: ProgramStatus[] = [];
  let cgroupId = 0n;
  for (const file of existsSync(directory) ? readdirSync(directory).sort() : []) {
    const link = addon.openPinnedLink(join(directory, file));
    const info = link.info();
    link.close();
    // The pin has the whole name; the kernel keeps 15 bytes of it.
    programs.push({ name: file, id: info.programId, tag: addon.programById(info.programId).tag });
    cgroupId = info.cgroupId;
  }
  return { programs, cgroupId };
}

/**
 * @returns undefined if nothing of shunt is pinned under `bpffs`.
 * @throws NodeError without the permission to look.
 */
export async function withPins<T>(bpffs: string, use: (pins: Pins) => T | Promise<T>): Promise<T | undefined> {
  if (process.geteuid?.() !== 0)
    throw new NodeError("what is pinned in the kernel can be read by root alone: run this as root");
  const directory = pinDirectory(bpffs);
  if (!existsSync(directory)) return undefined;
  const addon = native();
  const object = artifact("shunt.bpf.o");
  const contract = bindContract(addon.readBtf(readFileSync(object), object));
  const mine = `maps-${contract.hash}`;
  const foreign = readdirSync(directory).filter((name) => name.startsWith("maps-") && name !== mine);
  const { programs, cgroupId } = readLinks(addon, join(directory, "links"));
  const cgroupRoot = cgroupId === 0n ? "" : findCgroup(cgroupId);
  const opened = openPinnedMaps(addon, join(directory, mine));
  try {
    const cgroups = cgroupsBelow(cgroupRoot);
    return await use({ contract, maps: opened?.maps, foreign, programs, cgroupRoot, cgroups });
  } finally {
    opened?.close();
  }
}
