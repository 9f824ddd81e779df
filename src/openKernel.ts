/** Programs and maps, ours or a predecessor's, before anything is attached. */
import { readFileSync } from "node:fs";
import { type Datapath, openDatapath, programs } from "./kernel/datapath.js";
import { ensureBpffs } from "./kernel/mounts.js";
import type { Native } from "./kernel/native.js";
import { bindContract, type Contract } from "./maps/contract.js";
import { u64 } from "./maps/layout.js";
import type { ProgramStatus } from "./model/status.js";

export interface KernelOptions {
  readonly native: Native;
  /** Mount point of a bpffs; mounted there if it is not. */
  readonly bpffs: string;
  /** The pods' root cgroup. */
  readonly cgroupRoot: string;
  /** Path of the object file. */
  readonly object: string;
}

export interface Kernel {
  readonly contract: Contract;
  readonly datapath: Datapath;
  /** Of the root cgroup, from the true root of the hierarchy. */
  readonly level: number;
  /** The object file. */
  readonly object: Uint8Array;
}

/** @throws KernelError if the object is refused, ENOENT if the cgroup or the object is not there. */
export async function openKernel(options: KernelOptions): Promise<Kernel> {
  const { native, bpffs, cgroupRoot } = options;
  ensureBpffs(native, bpffs);
  const object = readFileSync(options.object);
  const contract = bindContract(native.readBtf(object, options.object));
  // The agent runs in the host's network namespace (hostNetwork), so its own is the one that is left alone.
  const host = await native.inspectNetns("/proc/self/ns/net");
  const datapath = openDatapath({
    native,
    object,
    objectName: options.object,
    layout: contract.hash,
    bpffs,
    cgroupRoot,
    hostNetnsCookie: u64.encode(host.cookie),
  });
  const { level } = contract.cgroupPlace.decode(datapath.cgroupPlace(cgroupRoot));
  return { contract, datapath, level, object };
}

/** Those that are attached to the pods' root; the iterators steer nothing, and each pod has an inbound one of its own. */
export function steeringPrograms(datapath: Pick<Datapath, "programs">): ProgramStatus[] {
  const all = datapath.programs();
  return all.flatMap(({ name, id, tag }) =>
    (programs as readonly string[]).includes(name) ? [{ name, id, tag }] : [],
  );
}
