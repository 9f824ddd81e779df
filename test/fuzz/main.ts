/**
 * `npm run fuzz`: bad input of every kind against what reads it and what is made of it.
 *
 * Usage: npm run fuzz -- [--documents N] [--seed S]
 *   --documents N    how many, default: 100000
 *   --seed S         a whole number; another one each time by default
 *
 * Exit 1 if anything was found, or the heap has grown by more than the bound.
 */
import { parseArgs } from "node:util";
import { runFuzz } from "./run.js";

/** MiB. What is kept of 100,000 documents is nothing; code that is compiled later takes some. */
const bound = 32;

const { values } = parseArgs({
  options: {
    documents: { type: "string", default: "100000" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
  },
});
const documents = Number(values.documents);
const seed = Number(values.seed);
if (!Number.isSafeInteger(documents) || documents < 1 || !Number.isSafeInteger(seed)) {
  console.error("fuzz: --documents and --seed are whole numbers");
  process.exit(2);
}
console.log(`seed ${seed}`);
const start = performance.now();
const result = await runFuzz({ documents, seed, report: (text) => console.log(text) });
const mebibytes = result.growth / 2 ** 20;
const peak = process.resourceUsage().maxRSS / 1024;
console.log(
  [
    `${result.documents} documents in ${((performance.now() - start) / 1000).toFixed(0)} s, seed ${seed}: ${result.failures} kinds with a failure`,
    `slowest ${result.slowest.toFixed(0)} ms; heap ${mebibytes.toFixed(1)} MiB larger than after a tenth (at most ${bound}); at most ${peak.toFixed(0)} MiB resident`,
  ].join("\n"),
);
process.exitCode = result.failures > 0 || mebibytes > bound ? 1 : 0;
