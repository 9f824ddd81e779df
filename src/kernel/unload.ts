/** Everything out of the kernel, in the reverse of the order of attachment, and the proof. */
import { existsSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { inboundProgram, pinDirectory, programs } from "./datapath.js";
import { inboundDirectory, removeInbound } from "./inbound.js";
import type { Native } from "./native.js";

/** What {@link unload} took away. */
export interface Unloaded {
  /** Names; of the inbound program with the number of pods that it was attached for. */
  readonly links: readonly string[];
  readonly maps: readonly string[];
  /** Programs, maps and links that are still in the kernel, because another process holds them: `program 12`. */
  readonly held: readonly string[];
}

/**
 * Detaches and unpins everything, in the reverse of the order of attachment, and proves that it is gone.
 * @param deadline ms to wait for the kernel, which frees a while after the last reference.
 */
export async function unload(native: Native, bpffs: string, deadline = 15_000): Promise<Unloaded> {
  const directory = pinDirectory(bpffs);
  const links: string[] = [];
  const maps: string[] = [];
  const ids: { kind: "program" | "map" | "link"; id: number }[] = [];
  if (!existsSync(directory)) return { links, maps, held: [] };

  const inboundLinks = existsSync(inboundDirectory(bpffs)) ? readdirSync(inboundDirectory(bpffs)) : [];
  for (const name of inboundLinks) {
    const removed = removeInbound(native, join(inboundDirectory(bpffs), name));
    if (removed === undefined) continue;
    ids.push({ kind: "link", id: removed.link }, { kind: "program", id: removed.program });
  }
  if (existsSync(inboundDirectory(bpffs))) rmdirSync(inboundDirectory(bpffs));
  if (inboundLinks.length > 0) links.push(`${inboundProgram} (${inboundLinks.length})`);

  const order = (name: string): number => programs.indexOf(name as (typeof programs)[number]);
  const linksDirectory = join(directory, "links");
  const pinnedLinks = existsSync(linksDirectory) ? readdirSync(linksDirectory) : [];
  for (const name of pinnedLinks.sort((a, b) => order(b) - order(a))) {
    const path = join(linksDirectory, name);
    const link = native.openPinnedLink(path);
    const { id, programId } = link.info();
    ids.push({ kind: "link", id }, { kind: "program", id: programId });
    link.detach();
    link.close();
    unlinkSync(path);
    links.push(name);
  }
  for (const group of readdirSync(directory).filter((name) => name.startsWith("maps-"))) {
    for (const name of readdirSync(join(directory, group))) {
      const path = join(directory, group, name);
      const map = native.openPinnedMap(path);
      ids.push({ kind: "map", id: map.info.id });
      map.close();
      unlinkSync(path);
      maps.push(name);
    }
    rmdirSync(join(directory, group));
  }
  if (existsSync(linksDirectory)) rmdirSync(linksDirectory);
  rmdirSync(directory);
  return { links, maps, held: await waitUntilGone(native, ids, deadline) };
}

async function waitUntilGone(
  native: Native,
  ids: readonly { kind: "program" | "map" | "link"; id: number }[],
  deadline: number,
): Promise<string[]> {
  const end = Date.now() + deadline;
  let left = ids;
  while (left.length > 0 && Date.now() < end) {
    left = left.filter(({ kind, id }) => native.exists(kind, id));
    if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return left.map(({ kind, id }) => `${kind} ${id}`);
}
