import { test } from "uvu";
import * as assert from "uvu/assert";
import { openReconciler } from "../src/reconciler.js";

function gate(): { promise: Promise<void>; open(): void } {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** A reconciler whose passes wait until they are let through; each records what it was told. */
function bed(pass?: (n: number) => Promise<void>) {
  const passes: bigint[] = [];
  const errors: string[] = [];
  let time = 0n;
  const reconciler = openReconciler({
    retry: 1,
    clock: () => ++time,
    onError: (error) => errors.push(error.message),
    async pass(changed) {
      passes.push(changed);
      await pass?.(passes.length);
    },
  });
  return { reconciler, passes, errors };
}

test("a burst while a pass runs is one more pass, which takes in the oldest change", async () => {
  const first = gate();
  const { reconciler, passes } = bed((n) => (n === 1 ? first.promise : Promise.resolve()));
  reconciler.markDirty();
  for (let i = 0; i < 1000; i++) reconciler.markDirty();
  first.open();
  await reconciler.settled();
  assert.equal(passes, [1n, 2n]);
});

test("the first pass begins at once, in the event's own turn", () => {
  const { reconciler, passes } = bed();
  reconciler.markDirty();
  assert.is(passes.length, 1);
});

test("settled resolves when nothing is left, and at once when nothing was", async () => {
  const { reconciler, passes } = bed();
  await reconciler.settled();
  reconciler.markDirty();
  await reconciler.settled();
  reconciler.markDirty();
  await reconciler.settled();
  assert.is(passes.length, 2);
});

test("a pass that throws is reported and tried again with the same change", async () => {
  const { reconciler, passes, errors } = bed(async (n) => {
    if (n < 3) throw new Error(`no ${n}`);
  });
  reconciler.markDirty();
  await reconciler.settled();
  assert.equal(errors, ["no 1", "no 2"]);
  assert.equal(passes, [1n, 1n, 1n]);
});

test("stop lets the pass end and begins no other, also while it waits to try again", async () => {
  const running = gate();
  const { reconciler, passes } = bed(() => running.promise);
  reconciler.markDirty();
  reconciler.markDirty();
  const stopped = reconciler.stop();
  running.open();
  await stopped;
  reconciler.markDirty();
  assert.is(passes.length, 1);

  const failing = openReconciler({
    retry: 3_600_000,
    clock: () => 0n,
    onError() {},
    pass: () => Promise.reject(new Error("no")),
  });
  failing.markDirty();
  await new Promise((resolve) => setImmediate(resolve));
  await failing.stop();
});

test("what comes at any moment around the end of a pass is one more, however short the pass", async () => {
  for (let turns = 0; turns < 20; turns++) {
    let passes = 0;
    const reconciler = openReconciler({
      clock: () => 0n,
      retry: 1,
      onError: assert.unreachable,
      async pass() {
        passes++;
      },
    });
    reconciler.markDirty();
    for (let i = 0; i < turns; i++) await undefined;
    const before = passes;
    reconciler.markDirty();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(passes > before, `marked ${turns} turns after the first time`);
  }
});

test("a pass that marks itself dirty is followed by another, and not entered twice", async () => {
  let [passes, inside] = [0, 0];
  const reconciler = openReconciler({
    clock: () => 0n,
    retry: 1,
    onError: assert.unreachable,
    async pass() {
      assert.is(++inside, 1);
      if (++passes < 3) reconciler.markDirty();
      await undefined;
      inside--;
    },
  });
  reconciler.markDirty();
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(passes, 3);
});

test.run();
