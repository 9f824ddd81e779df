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

const open = (sizes: Parameters<typeof fakeMaps>[1] = {}, onChange = (): void => assert.unreachable()) => {
  const maps = fakeMaps(contract, sizes);
  const grace = graces();
  const store = new Store({ maps, contract, gracePeriod: async () => {} });
  const fails = (error: unknown): void => assert.unreachable(`${error}`);
  const cleaner = openCleaner({ store, gracePeriod: grace.gracePeriod, onChange, onError: fails });
  return { maps, grace, store, cleaner };
};

test("whatever comes while a grace period runs, the last state is there at once, and alone in the end", async () => {
  await fc.assert(
    fc.asyncProperty(wantsArbitrary(6), fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), async (wants, ends) => {
      const { maps, grace, store, cleaner } = open();
      for (const [i, want] of wants.entries()) {
        const ops = diff(store.have, want);
        assert.equal(store.show(ops).failures, []);
        cleaner.shown(ops, []);
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
    cleaner.shown(ops, store.show(ops).failures);
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

const only = (id: bigint): Want => ({ pods: new Map([[id, podState(id, 1n)]]), policies: new Map([[1n, policy(1n)]]) });

test("a pod for which there was no room has another try once what stood in its way is gone", async () => {
  let changes = 0;
  const { grace, store, cleaner } = open({ pod_records: 1 }, () => changes++);
  const pass = (want: Want): number => {
    const ops = diff(store.have, want);
    const { failures } = store.show(ops);
    cleaner.shown(ops, failures);
    return failures.length;
  };
  assert.is(pass(only(7n)), 0);
  assert.is(pass(only(8n)), 1, "the record of 7 is still there");
  const before = changes;
  await grace.end();
  assert.is(changes, before + 1);
  assert.is(pass(only(8n)), 0);
  assert.equal([...store.have.pods.keys()], [8n]);
  await cleaner.settled();
});

test("an entry of a pod outside that goes makes room as well; what does not fit in any case is not tried forever", () => {
  let changes = 0;
  const { store, cleaner } = open({ pods: 1 }, () => changes++);
  const pass = (want: Want): number => {
    const ops = diff(store.have, want);
    const { failures } = store.show(ops);
    cleaner.shown(ops, failures);
    return failures.length;
  };
  assert.is(pass({ pods: new Map(), outside: new Set([9n]), policies: new Map() }), 0);
  assert.is(pass(only(7n)), 1);
  assert.is(changes, 1);
  assert.is(pass(only(7n)), 0);
  const both = { ...only(7n), outside: new Set([9n]) };
  assert.is(pass(both), 1);
  assert.is(pass(both), 1);
  assert.is(changes, 1);
});

test.run();
