/**
 * `npm run conformance`: real iptables rules of Istio against Shunt, on random configurations.
 *
 * Usage: npm run conformance -- [options]
 *   --cases N        sockets to compare, default: 100000
 *   --seed S         a number; another one each time by default
 *   --families F     4, 6 or 4,6 (default)
 *   --features F     parts of scope.ts to compare, separated by commas, or all; default: what is switched on there
 */
import { parseArgs } from "node:util";
import { runRandom } from "./run.js";
import { type Feature, type Features, features } from "./scope.js";

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    families: { type: "string", default: "4,6" },
    features: { type: "string" },
  },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
const families = ([4, 6] as const).filter((family) => values.families.split(",").includes(`${family}`));
const wanted = values.features?.split(",");
const names = Object.keys(features) as Feature[];
const unknown = wanted?.filter((name) => name !== "all" && !names.some((known) => known === name)) ?? [];
if (unknown.length > 0) {
  console.error(`conformance: --features ${unknown}: they are ${names.join(", ")}, or all`);
  process.exit(2);
}
const on: Features = wanted
  ? (Object.fromEntries(names.map((name) => [name, wanted.includes("all") || wanted.includes(name)])) as Features)
  : features;
if (!Number.isSafeInteger(cases) || cases < 1 || !Number.isSafeInteger(seed) || families.length === 0) {
  console.error("conformance: --cases and --seed are whole numbers, --families is 4, 6 or 4,6");
  process.exit(2);
}

const off = names.filter((name) => !on[name]);
console.log(`seed ${seed}, IPv${families.join(" and IPv")}`);
if (off.length > 0) console.log(`not compared with Shunt: ${off.join(", ")}`);
const stopped = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stopped.abort());
const start = performance.now();
const { configurations, counts, disagreements } = await runRandom({
  cases,
  seed,
  families,
  features: on,
  report: (text) => console.log(text),
  signal: stopped.signal,
});
const seconds = (performance.now() - start) / 1000;
const of = (other: string): number => disagreements.filter((each) => each.other === other).length;
console.log(
  [
    `${configurations} configurations in ${seconds.toFixed(1)} s, seed ${seed}`,
    `iptables and the contract: ${counts.contract} sockets, ${of("contract")} disagreements`,
    `iptables and Shunt:        ${counts.shunt} sockets, ${of("shunt")} disagreements`,
    `iptables and the model:    ${counts.model} sockets, ${of("model")} disagreements`,
    `of these the pod's Sidecar decided ${counts.sidecars}, by the contract alone`,
  ].join("\n"),
);
process.exitCode = stopped.signal.aborted ? 130 : disagreements.length > 0 ? 1 : 0;
