/** What tests may leave behind on the machine: BPF objects, cgroups, network namespaces, mounts. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseMounts } from "../../.ci/requirements.mjs";
import { pids } from "./processes.js";

/** One line for each thing, such as `program 12 connect4` or `cgroup /sys/fs/cgroup/pod`. */
export type Snapshot = ReadonlySet<string>;

interface BpfObject {
  readonly id: number;
  readonly name?: string;
  readonly type?: string;
  /** Of links. */
  readonly prog_id?: number;
  /** Of programs. */
  readonly map_ids?: readonly number[];
}
type Kind = "prog" | "map" | "link";
type BpfObjects = Readonly<Record<Kind, readonly BpfObject[]>>;

const list = (kind: Kind): BpfObject[] =>
  JSON.parse(
    execFileSync("bpftool", ["-j", kind, "show"], { encoding: "utf8", maxBuffer: 1 << 28 }) || "[]",
  ) as BpfObject[];
const bpfObjects = (): BpfObjects => ({ prog: list("prog"), map: list("map"), link: list("link") });
const describe = (kind: Kind, { id, name, type }: BpfObject) => `${kind} ${id} ${name ?? type ?? ""}`.trim();

const mounts = () => parseMounts(readFileSync("/proc/self/mounts", "utf8"));

function cgroups(): string[] {
  const below = (directory: string): string[] => {
    let names: string[] = [];
    try {
      names = readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name);
    } catch {
      // Gone meanwhile.
    }
    return names.map((name) => join(directory, name)).flatMap((path) => [path, ...below(path)]);
  };
  return mounts()
    .filter((mount) => mount.type === "cgroup2")
    .flatMap((mount) => below(mount.target));
}

function snapshotOf(objects: BpfObjects): Set<string> {
  return new Set([
    ...(["prog", "map", "link"] as const).flatMap((kind) => objects[kind].map((each) => describe(kind, each))),
    ...cgroups().map((path) => `cgroup ${path}`),
    ...(existsSync("/run/netns") ? readdirSync("/run/netns") : []).map((name) => `network namespace ${name}`),
    ...mounts()
      .filter(({ type }) => type === "bpf" || type === "cgroup2")
      .map(({ type, target }) => `${type} mounted on ${target}`),
  ]);
}

export const snapshot = (): Snapshot => snapshotOf(bpfObjects());

/** Ids that living processes hold by a descriptor, and what these objects hold in turn. */
function heldObjects(objects: BpfObjects): Set<string> {
  const held = new Set<string>();
  for (const pid of pids()) {
    const directory = `/proc/${pid}/fdinfo`;
    let names: string[] = [];
    try {
      names = readdirSync(directory);
    } catch {
      // Ended meanwhile.
    }
    for (const name of names) {
      let text = "";
      try {
        text = readFileSync(join(directory, name), "utf8");
      } catch {
        continue;
      }
      for (const [, kind, id] of text.matchAll(/^(prog|map|link)_id:\t(\d+)$/gm)) held.add(`${kind} ${id}`);
    }
  }
  for (const link of objects.link) if (held.has(`link ${link.id}`)) held.add(`prog ${link.prog_id}`);
  for (const program of objects.prog)
    if (held.has(`prog ${program.id}`)) for (const id of program.map_ids ?? []) held.add(`map ${id}`);
  return held;
}

function populated(cgroup: string): boolean {
  try {
    return readFileSync(join(cgroup, "cgroup.events"), "utf8").includes("populated 1");
  } catch {
    return false;
  }
}

/**
 * What is there and was not. The tests' processes have ended by now, so what a living process holds (or lives
 * in, for a cgroup) is somebody else's: a service that started meanwhile is no leftover.
 */
function leftoversNow(before: Snapshot): string[] {
  const objects = bpfObjects();
  const now = snapshotOf(objects);
  const added = [...now].filter((line) => !before.has(line));
  const held = added.some((line) => /^(prog|map|link) /.test(line)) ? heldObjects(objects) : new Set<string>();
  const gone = [...before].filter((line) => / mounted on \/sys\//.test(line) && !now.has(line));
  return [
    ...added.filter((line) => {
      if (line.startsWith("cgroup ")) return !populated(line.slice("cgroup ".length));
      return !held.has(line.split(" ").slice(0, 2).join(" "));
    }),
    ...gone.map((line) => `no longer there: ${line}`),
  ];
}

/** The kernel frees objects some time after their last user: polls until nothing is left or `patience` (ms) is over. */
export async function leftovers(before: Snapshot, patience = 10_000): Promise<string[]> {
  const until = performance.now() + patience;
  for (;;) {
    const left = leftoversNow(before);
    if (left.length === 0 || performance.now() >= until) return left;
    await sleep(100);
  }
}
