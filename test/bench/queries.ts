/** queries.c in several places, which take turns on one core. */
import { command, firstLine, launch, outcomeOf, type Place } from "../../src/demo/process.js";
import { median } from "./statistics.js";

export const core = "1";
export const rounds = 15;
export const samples = 4000;

export interface Side {
  readonly name: string;
  readonly place: Place;
  readonly target: readonly [string, string];
}

export type Mode = "connect" | "pingpong" | "query" | "lookup";

export async function compile(program: string): Promise<void> {
  const source = new URL("queries.c", import.meta.url).pathname;
  await command(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
}

/** Resolves when it listens. */
export async function serve(
  program: string,
  place: Place,
  kind: "serve" | "serve-udp",
  ...at: readonly [string, string]
): Promise<void> {
  await firstLine(launch(place, ["taskset", "-c", core, program, kind, ...at], {}));
}

async function measure(program: string, side: Side, mode: Mode): Promise<number> {
  const argv = ["taskset", "-c", core, program, mode, ...side.target, String(samples)];
  const { status, stdout, stderr } = await outcomeOf(launch(side.place, argv, {}));
  if (status !== 0) throw new Error(`${side.name} ${mode}: ${stderr}`);
  return Number(stdout.split(" ")[0]);
}

/** @returns the median of each side's medians, ns, by its name. */
export async function compare(
  program: string,
  sides: readonly Side[],
  mode: Mode,
): Promise<ReadonlyMap<string, number>> {
  const taken = new Map<string, number[]>(sides.map((side) => [side.name, []]));
  for (let round = 0; round < rounds; round++) {
    // Another order each round, so that nobody always comes after the same neighbour.
    const order = sides.map((_, i) => sides[(i + round) % sides.length] as Side);
    for (const side of order) taken.get(side.name)?.push(await measure(program, side, mode));
  }
  return new Map([...taken].map(([name, values]) => [name, median(values)]));
}
