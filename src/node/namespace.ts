/** A pod's network namespace, through the first process in its cgroup. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Native, NetnsFacts } from "../kernel/native.js";
import { type Address, addressFromBytes } from "../model/address.js";

export type NamespaceReader = Pick<Native, "inspectNetns">;

export interface PodNamespace {
  readonly cookie: bigint;
  /** Without loopback and IPv6 link-local ones' scopes; each once. */
  readonly addresses: readonly Address[];
  /** `net:[4026531840]`: changes when the sandbox is made anew. */
  readonly link: string;
}

/** Processes in a cgroup and below. A cgroup that goes meanwhile has none. */
export function* processesIn(cgroup: string): Generator<number> {
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
  yield* mine;
  for (const child of children) yield* processesIn(join(cgroup, child));
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

function podAddresses(facts: NetnsFacts): Address[] {
  const addresses = facts.addresses.map((entry) => addressFromBytes(entry.address));
  const own = addresses.filter((address) =>
    address.family === 4 ? address.bytes[0] !== 127 : !address.bytes.subarray(0, 15).every((byte) => byte === 0),
  );
  return [...new Map(own.map((address) => [address.bytes.join("."), address])).values()];
}

/**
 * @returns undefined while no process of the cgroup is in a namespace of its own: a container's first
 *   process is in the host's for a moment.
 */
export async function inspectPodNamespace(native: NamespaceReader, cgroup: string): Promise<PodNamespace | undefined> {
  const host = netnsLink("self"); // the agent runs in the host's
  for (const pid of processesIn(cgroup)) {
    const link = netnsLink(pid);
    if (link === undefined || link === host) continue;
    try {
      const facts = await native.inspectNetns(`/proc/${pid}/ns/net`);
      if (netnsLink(pid) === link) return { cookie: facts.cookie, addresses: podAddresses(facts), link };
    } catch (error) {
      // The process ended meanwhile: ask the next one. Anything else (no right to enter) is for the caller.
      if (netnsLink(pid) !== undefined) throw error;
    }
  }
  return undefined;
}
