import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openCleaner } from "../../src/maps/cleaner.js";
import { diff } from "../../src/maps/diff.js";
import type { Want } from "../../src/maps/state.js";
import { Store } from "../../src/maps/store.js";
import { podState, policy } from "../samples.js";
import { wantsArbitrary } from "./arbitrary.js";
import { builtContract } from "./contract.js";
import { fakeMaps } from "./fake.js";

const contract = builtContract();

/** Grace periods that end when the test says so. */
function graces() {
  const waiting: (() => void)[] = [];
  return {
    gracePeriod: () => new Promise<void>((resolve) => waiting.push(resolve)),
    waiting,
    async end() {
      waiting.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const open = () => {
  const maps = fakeMaps(contract);
  const grace = graces();
  const store = new Store({ maps, contract, gracePeriod: async () => {} });
  const fails = (error: unknown): void => assert.unreachable(`${error}`);
  const cleaner = openCleaner({ store, gracePeriod: grace.gracePeriod, onFailures: fails, onError: fails });
  return { maps, grace, store, cleaner };
};

test("whatever comes while a grace period runs, the last state is there at once, and alone in the end", async () => {
  await fc.assert(
    fc.asyncProperty(wantsArbitrary(6), fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), async (wants, ends) => {
      const { maps, grace, store, cleaner } = open();
      for (const [i, want] of wants.entries()) {
        const ops = diff(store.have, want);
        assert.equal(store.show(ops).failures, []);
        cleaner.unneeded(ops);
        for (const [id, pod] of want.pods) {
          assert.is(store.have.pods.get(id)?.policy, pod.policy);
          assert.not.ok(store.have.unlisted?.has(id), "it has its entry");
          assert.ok(store.have.policies.has(pod.policy));
        }
        if (ends[i]) await grace.end();
      }
      while (grace.waiting.length > 0) await grace.end();
      await cleaner.settled();
      const last = wants.at(-1);
      if (last === undefined) return;
      assert.equal(diff(store.have, last), []);
      const fresh = new Store({ maps, contract, gracePeriod: async () => {} });
      assert.equal(diff(fresh.have, last), [], "and the maps say the same");
    }),
    { numRuns: 200 },
  );
});

test("nothing goes before a whole grace period in which it was not needed", async () => {
  const { grace, store, cleaner, maps } = open();
  const some: Want = { pods: new Map([[7n, podState(7n, 1n)]]), policies: new Map([[1n, policy(1n)]]) };
  const none: Want = { pods: new Map(), policies: new Map() };
  const pass = (want: Want): void => {
    const ops = diff(store.have, want);
    store.show(ops);
    cleaner.unneeded(ops);
  };
  pass(some);
  pass(none);
  pass(some);
  pass(none);
  await grace.end();
  assert.ok(maps.policies.entries().count > 0, "it was needed meanwhile");
  await grace.end();
  assert.is(maps.policies.entries().count, 0);
  await cleaner.settled();
});

test.run();
