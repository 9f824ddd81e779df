/** Runs the fuzz, and counts. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { lists } from "../../src/policy/standIns.js";
import { decode } from "../../src/source/readManifest.js";
import { documents, type Kind, listText } from "./arbitrary.js";
import { checkText, type Verdict } from "./check.js";
import { anyDirectory, openDirectoryBed } from "./directory.js";

export interface FuzzOptions {
  /** About how many; each kind has its share. */
  readonly documents: number;
  readonly seed: number;
  /** Hears of each kind's end, and of a failure with its seed and the smallest document that shows it. */
  report(text: string): void;
}

export interface FuzzResult {
  readonly documents: number;
  readonly failures: number;
  /** Bytes that the heap has grown from a tenth of the way to the end, garbage collected. */
  readonly growth: number;
  /** ms that the slowest document took. */
  readonly slowest: number;
}

type Counts = Map<string, number>;

/** Documents of a kind: bytes in, a verdict out. */
function checkBytes(bytes: Uint8Array): Verdict {
  const read = decode(bytes);
  return "text" in read ? checkText(read.text) : "refused";
}

/** Flags, which are read as annotations are: a value or a reason, and never an error. */
function checkList(text: string): Verdict {
  const verdicts = Object.values(lists).map((parse) => {
    const parsed = parse(text);
    if ("why" in parsed && (parsed.why === "" || parsed.why.length > 200)) throw new Error(JSON.stringify(parsed));
    return "why" in parsed;
  });
  return verdicts.every((refused) => refused) ? "refused" : "accepted";
}

function collector(): () => number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  return () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
}

/** Never throws for what it finds: the failures are told and counted. */
export async function runFuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { seed, report } = options;
  const heap = collector();
  const bed = await openDirectoryBed();
  let total = 0;
  let slowest = 0;
  let failures = 0;
  let early = 0;

  /** @param count of runs. @param each what one run adds to the counts. */
  const run = <T>(
    name: string,
    arbitrary: fc.Arbitrary<T>,
    count: number,
    each: (value: T, counts: Counts) => void,
  ) => {
    const counts: Counts = new Map();
    const property = fc.property(arbitrary, (value) => {
      const start = performance.now();
      each(value, counts);
      slowest = Math.max(slowest, performance.now() - start);
      if (early === 0 && total >= options.documents / 10) early = heap();
    });
    const found = fc.check(property, { numRuns: Math.max(1, Math.round(count)), seed });
    const counted = [...counts].map(([verdict, times]) => `${times} ${verdict}`).join(", ");
    report(`${name.padEnd(10)} ${counted}`);
    if (!found.failed) return;
    failures++;
    report(`seed ${seed}, ${name}: ${String(found.errorInstance)}\n${fc.stringify(found.counterexample)}`);
    const [bytes] = found.counterexample ?? [];
    if (bytes instanceof Uint8Array) report(Buffer.from(bytes).toString());
  };
  const count = (counts: Counts, verdict: string, times = 1): void => {
    counts.set(verdict, (counts.get(verdict) ?? 0) + times);
    total += times;
  };
  try {
    const weights: Readonly<Record<Kind, number>> = {
      ...{ pod: 0.25, sidecar: 0.2, mesh: 0.1, torn: 0.13, scraps: 0.1, monster: 0.02, bytes: 0.05 },
    };
    for (const [kind, weight] of Object.entries(weights) as [Kind, number][])
      run(kind, documents[kind], options.documents * weight, (bytes, counts) => count(counts, checkBytes(bytes)));
    run("value", listText, options.documents * 0.1, (text, counts) => count(counts, checkList(text)));
    // Two readings of three entries each, in the middle.
    run("directory", anyDirectory, (options.documents * 0.05) / 6, (directory, counts) => {
      const { refused, silent } = bed.check(directory);
      count(counts, "entries refused", refused);
      count(counts, "entries without a problem", silent);
    });
    return { documents: total, failures, growth: heap() - early, slowest };
  } finally {
    await bed.close();
  }
}
