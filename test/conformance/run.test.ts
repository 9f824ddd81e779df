/** Random configurations, as `npm run conformance` does it, but few. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { baseConfig } from "./config.js";
import { randomConfig, randomSockets } from "./random.js";
import { runRandom } from "./run.js";
import { seeded } from "./seeded.js";

test("2,000 sockets of random configurations arrive where iptables sends them", async () => {
  const reports: string[] = [];
  const { counts, disagreements } = await runRandom({
    cases: 2000,
    seed: 20260822,
    families: [4, 6],
    report: (text) => reports.push(text),
  });
  assert.is(disagreements.length, 0, reports.slice(0, 10).join("\n"));
  assert.ok(counts.shunt >= 2000 && counts.contract >= counts.shunt, JSON.stringify(counts));
  assert.is(counts.model, counts.shunt, "the model is asked for all of them");
  assert.ok(counts.sidecars > 20, JSON.stringify(counts));
});

test("the same seed makes the same run, another one another", () => {
  const once = (seed: number): unknown => {
    const random = seeded(seed);
    const config = randomConfig(random);
    return [config, randomSockets(random, config, { count: 50, families: [4, 6] })];
  };
  assert.equal(once(7), once(7));
  assert.not.equal(once(7), once(8));
});

test("sockets are of the families that are asked for", () => {
  const of = (family: 4 | 6) => randomSockets(seeded(1), baseConfig, { count: 200, families: [family] });
  assert.ok(of(4).every(({ address }) => !address.includes(":")));
  assert.ok(of(6).every(({ address }) => address.includes(":")));
});

test.run();
