/** What is compared with what: sides that take turns in one run, all on one core. */
import { join } from "node:path";
import { command, firstLine, launch, outcomeOf, type Place } from "../../src/demo/process.js";
import { median } from "./statistics.js";

/** Clients and servers: the other core is left to everybody else. */
export const core = "1";

export interface Side {
  readonly name: string;
  /** Where the client runs. */
  readonly place: Place;
  /** Whom it calls: address and port. */
  readonly target: readonly [string, string];
  /** Makes what is different about this side; called before each turn. */
  prepare?(): void;
}

export type Mode = "connect" | "pingpong";

/** How often: every side once a round, and so many calls at a time. */
export interface Turns {
  readonly rounds: number;
  readonly samples: number;
}

/** Each side's medians in ns, in the order of the rounds. */
export type Taken = ReadonlyMap<string, readonly number[]>;

/** @returns path of the program that calls and is called: sockets.c. */
export async function compileSockets(directory: string): Promise<string> {
  const program = join(directory, "sockets");
  const source = new URL("sockets.c", import.meta.url).pathname;
  await command(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
  return program;
}

/** Starts a part of sockets.c that serves until we end; resolves when it does. */
export async function serve(program: string, place: Place, ...argv: readonly string[]): Promise<void> {
  await firstLine(launch(place, ["taskset", "-c", core, program, ...argv], {}));
}

/** Runs a part of sockets.c that measures. @returns the median in ns. @throws Error with what it wrote to stderr. */
export async function measure(program: string, place: Place, ...argv: readonly string[]): Promise<number> {
  const { status, stdout, stderr } = await outcomeOf(launch(place, ["taskset", "-c", core, program, ...argv], {}));
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return Number(stdout.split(" ")[0]);
}

export async function compare(program: string, sides: readonly Side[], mode: Mode, turns: Turns): Promise<Taken> {
  const taken = new Map<string, number[]>(sides.map((side) => [side.name, []]));
  for (let round = 0; round < turns.rounds; round++) {
    // Another order each round, so that nobody always comes after the same neighbour.
    const order = sides.map((_, i) => sides[(i + round) % sides.length] as Side);
    if (round % 2 === 1) order.reverse();
    for (const side of order) {
      side.prepare?.();
      taken.get(side.name)?.push(await measure(program, side.place, mode, ...side.target, String(turns.samples)));
    }
  }
  return taken;
}

export function values(taken: Taken, name: string): readonly number[] {
  const found = taken.get(name);
  if (found === undefined) throw new RangeError(`no side ${name}`);
  return found;
}

/** `18.21 µs`. */
export function microseconds(taken: Taken, name: string): string {
  return `${(median(values(taken, name)) / 1000).toFixed(2)} µs`;
}
