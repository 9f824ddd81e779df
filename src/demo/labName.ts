import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

/** A lab's name says whose it is, so that what a killed owner left can be told from what is in use. */
export interface LabName {
  readonly kind: string;
  /** The owner's pid. */
  readonly pid: number;
  /** When the owner started, in clock ticks since boot (proc(5), stat, field 22): a pid alone is reused. */
  readonly started: string;
}

/**
 * A new name, unique on this machine: `shunt-<kind>-<pid>-<start>-<random>`.
 * @param kind lower-case letters and digits.
 * @throws RangeError for another kind.
 */
export function newLabName(kind: string): string {
  if (!/^[a-z0-9]{1,32}$/.test(kind)) throw new RangeError(`a lab's kind is lower-case letters and digits: ${kind}`);
  return `shunt-${kind}-${process.pid}-${startOf(process.pid)}-${randomBytes(2).toString("hex")}`;
}

/** @returns undefined if it is not the name of a lab. */
export function parseLabName(name: string): LabName | undefined {
  const match = /^shunt-([a-z0-9]+)-(\d+)-(\d+)-[0-9a-f]{4}$/.exec(name);
  if (match?.[1] === undefined || match[3] === undefined) return undefined;
  return { kind: match[1], pid: Number(match[2]), started: match[3] };
}

/** Whether the owner still runs. A zombie does not: a container's init may reap it late or never. */
export function ownerLives(name: LabName): boolean {
  return startOf(name.pid) === name.started;
}

/** @returns undefined if there is no such process, or only its zombie. */
function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
  // The second field is the program's name in brackets and may hold anything: count from the last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, started] = [fields[0], fields[19]];
  return state === "Z" || state === "X" ? undefined : started;
}
