/** The processes that a test file started, found by a variable in the environment that they inherit. */
import { readdirSync, readFileSync } from "node:fs";

export interface Process {
  readonly pid: number;
  readonly name: string;
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // Gone meanwhile.
  }
};

export function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** @param variable `NAME=value`. Zombies have no environment: they are not found. */
export function processesWith(variable: string): Process[] {
  return pids()
    .filter((pid) => pid !== process.pid && read(`/proc/${pid}/environ`).split("\0").includes(variable))
    .map((pid) => ({ pid, name: read(`/proc/${pid}/comm`).trim() }));
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended by itself.
  }
}
