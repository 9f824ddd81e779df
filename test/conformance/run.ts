/** Random configurations on both sides, until enough sockets have been compared. */
import { type Compared, type Counts, type Disagreement, describe, openPair } from "./compare.js";
import { randomPorts, randomSockets, randomSubject } from "./random.js";
import { type Features, features, isCompared } from "./scope.js";
import { seeded } from "./seeded.js";

export interface RunOptions {
  /** Sockets that are compared between iptables and Shunt, at least. */
  readonly cases: number;
  readonly seed: number;
  readonly families: readonly (4 | 6)[];
  readonly features?: Features;
  /** Called with each disagreement, for people. */
  readonly report: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly configurations: number;
  readonly counts: Counts;
  readonly disagreements: readonly Disagreement[];
}

/** Enough to see what is wrong. */
const tooMany = 200;
/** Sockets of one configuration that are compared. A change of configuration costs about as much. */
const each = 200;

export async function runRandom(options: RunOptions): Promise<RunResult> {
  const { cases, seed, families, report, features: on = features, signal } = options;
  const random = seeded(seed);
  const counts = { contract: 0, shunt: 0, model: 0, sidecars: 0 };
  const disagreements: Disagreement[] = [];
  let configurations = 0;
  const pair = await openPair(randomPorts);
  try {
    while (counts.shunt < cases && disagreements.length < tooMany && signal?.aborted !== true) {
      const subject = randomSubject(random, `seed ${seed}, configuration ${++configurations}`, on);
      const all = randomSockets(random, subject.config, { count: 2 * each, families }, subject.surroundings);
      // What Shunt does not do yet is still compared with the contract, but must not fill the run.
      const compared = all.filter((socket) => isCompared(subject.config, socket, on)).slice(0, each);
      const others = all.filter((socket) => !isCompared(subject.config, socket, on)).slice(0, each);
      const found: Compared = await pair.compare(subject, [...compared, ...others], on);
      for (const name of ["contract", "shunt", "model", "sidecars"] as const) counts[name] += found.counts[name];
      for (const disagreement of found.disagreements) report(describe(disagreement));
      disagreements.push(...found.disagreements);
    }
  } finally {
    await pair.close();
  }
  return { configurations, counts, disagreements };
}
