/**
 * The program that steers what arrives in a pod, attached to each pod's network namespace. Its links are pinned,
 * so that the agent's death and restart change nothing:
 *
 *   <bpffs>/shunt/inbound/<pod's cgroup id>-<netns cookie>-<version of the object>      (bpffs takes no dots)
 *
 * A namespace that ends takes its attachment along; the pin is taken away when the agent hears of it.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { inboundProgram, type MapName, pinDirectory, pinnedMaps } from "./datapath.js";
import type { KernelError, Native, NativeLink, NativeMap, NativeObject } from "./native.js";

/** Where the program is wanted. */
export interface InboundTarget {
  /** The pod's cgroup id. */
  readonly pod: bigint;
  readonly netnsCookie: bigint;
  /** The namespace, as /proc/PID/ns/net has it: `net:[4026531840]`. */
  readonly netns: string;
}

export interface InboundOptions {
  readonly native: Native;
  readonly object: Uint8Array;
  readonly objectName: string;
  readonly bpffs: string;
  readonly maps: Readonly<Record<MapName, NativeMap>>;
  /** A process in the target's namespace, if there is one still. */
  findProcess(target: InboundTarget): number | undefined;
  /** The variables' bytes for a 64-bit number. */
  encode(value: bigint): Uint8Array;
}

export interface Inbound {
  /**
   * Attaches where the program is wanted and is not, and detaches it elsewhere.
   * @param unsure pods whose namespace is not known at the moment: what is attached stays.
   * An attachment takes some milliseconds, so a call makes them for a while only.
   * @returns the pods for which it failed, and whether there is more to do: call it again for either.
   */
  sync(
    targets: readonly InboundTarget[],
    unsure: ReadonlySet<bigint>,
  ): { readonly failures: ReadonlyMap<bigint, Error>; readonly more: boolean };
  /** Pods that it is attached for. */
  readonly pods: ReadonlySet<bigint>;
}

/** The namespace went, or another one took the process's place, while the program was being attached. */
class NamespaceGone extends Error {}

/** ms of attaching in one call: edits of other pods wait no longer. */
const patience = 25;

export function inboundDirectory(bpffs: string): string {
  return join(pinDirectory(bpffs), "inbound");
}

interface Pin {
  readonly name: string;
  readonly pod: bigint;
  readonly netnsCookie: bigint;
  readonly version: string;
}

function readPins(directory: string): Pin[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).map((name) => {
    const [pod, cookie, version] = name.split("-");
    // A name that is not ours can only be an older build's: its link goes like that of a pod that went.
    const known = /^\d+$/.test(pod ?? "") && /^\d+$/.test(cookie ?? "");
    return {
      name,
      pod: known ? BigInt(pod ?? "") : 0n,
      netnsCookie: known ? BigInt(cookie ?? "") : 0n,
      version: version ?? "",
    };
  });
}

/**
 * Detaches, whoever else holds the link, and takes the pin away.
 * @returns undefined if somebody else has done it: an agent and `unload` at the same time.
 */
export function removeInbound(native: Native, path: string): { link: number; program: number } | undefined {
  const isGone = (error: unknown): boolean => (error as Partial<KernelError>).code === "ENOENT";
  let link: NativeLink;
  try {
    link = native.openPinnedLink(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  const { id, programId } = link.info();
  try {
    link.detach();
  } catch (error) {
    // Its namespace is gone, and the attachment with it.
    if ((error as KernelError).code !== "ENOLINK") throw error;
  } finally {
    link.close();
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return { link: id, program: programId };
}

export function openInbound(options: InboundOptions): Inbound {
  const { native, bpffs } = options;
  const directory = inboundDirectory(bpffs);
  const version = createHash("sha256").update(options.object).digest("hex").slice(0, 12);
  const pins = new Map(readPins(directory).map((pin) => [pin.name, pin]));
  const pods = new Set<bigint>();

  /** The pod's own instance. The caller closes it: its link keeps the program. */
  const load = ({ pod, netnsCookie }: InboundTarget): NativeObject => {
    const object = native.openObject(options.object, options.objectName);
    try {
      for (const { name } of object.programs()) object.setAutoload(name, name === inboundProgram);
      for (const name of pinnedMaps) object.reuseMap(name, options.maps[name]);
      object.setVariable("inbound_pod", options.encode(pod));
      object.setVariable("inbound_netns_cookie", options.encode(netnsCookie));
      object.load();
      return object;
    } catch (error) {
      object.close();
      throw error;
    }
  };

  const attach = (target: InboundTarget, path: string): void => {
    const pid = options.findProcess(target);
    if (pid === undefined) throw new NamespaceGone(`no process of the pod is in ${target.netns} any more`);
    const netns = `/proc/${pid}/ns/net`;
    const object = load(target);
    let link: NativeLink | undefined;
    try {
      link = object.attachNetns(inboundProgram, netns);
      // The process may have gone, and its number to another one, between the look and the attachment.
      if (`net:[${link.info().netnsInode}]` !== target.netns) {
        link.detach();
        throw new NamespaceGone(`${target.netns} went while the program was being attached`);
      }
      link.pin(path);
    } finally {
      link?.close();
      object.close();
    }
  };

  const update = (target: InboundTarget, from: string, to: string): void => {
    const object = load(target);
    const link = native.openPinnedLink(from);
    try {
      link.update(object, inboundProgram);
      renameSync(from, to);
    } finally {
      link.close();
      object.close();
    }
  };

  const remove = (pin: Pin): void => {
    removeInbound(native, join(directory, pin.name));
    pins.delete(pin.name);
  };

  /** @returns whether the pin still holds an attachment. */
  const isAttached = (pin: Pin): boolean => {
    const path = join(directory, pin.name);
    if (!existsSync(path)) return false; // somebody has unloaded it
    const link = native.openPinnedLink(path);
    try {
      return link.info().netnsInode !== 0;
    } finally {
      link.close();
    }
  };

  const ensure = (target: InboundTarget): void => {
    const name = `${target.pod}-${target.netnsCookie}-${version}`;
    const path = join(directory, name);
    if (!existsSync(directory)) mkdirSync(directory);
    const old = [...pins.values()].find(
      ({ pod, netnsCookie }) => pod === target.pod && netnsCookie === target.netnsCookie,
    );
    if (old !== undefined && !isAttached(old)) remove(old);
    else if (old !== undefined && old.version !== version) {
      update(target, join(directory, old.name), path);
      pins.delete(old.name);
    } else if (old !== undefined) return;
    if (!existsSync(path)) attach(target, path);
    pins.set(name, { name, pod: target.pod, netnsCookie: target.netnsCookie, version });
  };

  /** What is known to be attached, so that a pass in which nothing changed costs no system call. */
  let settled: string | undefined;
  return {
    pods,
    sync(targets, unsure) {
      const failures = new Map<bigint, Error>();
      const wanted = new Map(targets.map((target) => [target.pod, target]));
      const key = [...targets.map(({ pod, netns }) => `${pod} ${netns}`), "", ...unsure].join();
      if (key === settled) return { failures, more: false };
      settled = undefined;
      for (const pin of [...pins.values()]) {
        if (unsure.has(pin.pod)) pods.add(pin.pod);
        else if (wanted.get(pin.pod)?.netnsCookie !== pin.netnsCookie) remove(pin);
      }
      for (const pod of pods) if (!wanted.has(pod) && !unsure.has(pod)) pods.delete(pod);
      const end = performance.now() + patience;
      for (const target of targets) {
        if (performance.now() > end) return { failures, more: true };
        try {
          ensure(target);
          pods.add(target.pod);
        } catch (error) {
          pods.delete(target.pod);
          failures.set(target.pod, error as Error);
        }
      }
      if (failures.size === 0) settled = key;
      return { failures, more: false };
    },
  };
}
