import { once } from "node:events";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type NativeMap, type NativeObject, native } from "../../src/kernel/native.js";
import { cgroupMount, compile, fails, longs, makeCgroup, openOnly, present, shellIn, u32, until } from "./kit.js";

const bytes = compile("maps");

interface Producer {
  readonly object: NativeObject;
  readonly ring: NativeMap;
  /** Puts 1,000 records {sequence: u64} into the ring, before it returns. */
  emit(): void;
  /** How many records were tried, and how many of them did not fit. */
  totals(): { tried: number; lost: number };
  close(): void;
}

function producer(size?: number): Producer {
  const object = openOnly(bytes, "emit_now", "emit_on_connect");
  if (size !== undefined) object.setMaxEntries("ring", size);
  object.load();
  const ring = object.map("ring");
  const totals = object.map("totals");
  const total = (index: number) => Number(longs(present(totals.lookup(u32(index))))[0]);
  return {
    object,
    ring,
    emit: () => object.iterateCgroup("emit_now", cgroupMount()),
    totals: () => ({ tried: total(0), lost: total(1) }),
    close: () => {
      for (const handle of [object, ring, totals]) handle.close();
    },
  };
}

const numberOf = (record: Uint8Array) => Number(longs(record)[0]);

test("openRing() hands over what was there and what comes", async () => {
  const source = producer();
  source.emit();
  const batches: number[][] = [];
  const ring = native().openRing(source.ring, (records) => batches.push(records.map(numberOf)));
  await until("the first", () => batches.flat().length >= 1000);
  source.emit();
  await until("the second", () => batches.flat().length >= 2000);
  const each = batches.flat();
  assert.is(new Set(each).size, each.length, "none twice");
  assert.equal(
    each.slice(0, 1000),
    Array.from({ length: 1000 }, (_, index) => index),
    "in order",
  );
  assert.is(each.length, source.totals().tried);
  ring.close();
  source.close();
});

test("under load nothing is lost or comes twice", async () => {
  const source = producer();
  const cgroup = makeCgroup();
  const link = source.object.attachCgroup("emit_on_connect", cgroup);
  const seen = new Set<number>();
  let received = 0;
  let largest = 0;
  const ring = native().openRing(source.ring, (records) => {
    largest = Math.max(largest, records.length);
    for (const record of records) seen.add(numberOf(record));
    received += records.length;
  });
  const flood = "for i in {1..2000}; do : <>/dev/udp/127.0.0.1/9; done";
  await Promise.all([1, 2].map(() => once(shellIn(cgroup, flood), "exit")));
  const { tried, lost } = source.totals();
  assert.is(tried, 400_000);
  await until(`${tried - lost} records`, () => received >= tried - lost);
  assert.is(received, tried - lost);
  assert.is(seen.size, received);
  assert.ok(largest > 1 && largest <= 1024, `batches of up to ${largest}`);
  for (const handle of [ring, link, source]) handle.close();
});

test("sparse records wake it each time", async () => {
  const source = producer();
  const cgroup = makeCgroup();
  const link = source.object.attachCgroup("emit_on_connect", cgroup);
  let received = 0;
  const ring = native().openRing(source.ring, (records) => {
    received += records.length;
  });
  const shell = shellIn(cgroup, "for i in {1..300}; do : <>/dev/udp/127.0.0.1/9; read -t 0.001 <> <(:); done");
  await once(shell, "exit");
  await until("all", () => received === source.totals().tried - source.totals().lost);
  assert.is(received, 30_000);
  for (const handle of [ring, link, source]) handle.close();
});

test("a full ring does not starve the loop", async () => {
  const source = producer();
  for (let index = 0; index < 30; index++) source.emit();
  assert.is(source.totals().lost, 0);
  let received = 0;
  let first = (): void => {};
  const begun = new Promise<void>((resolve) => {
    first = resolve;
  });
  const ring = native().openRing(source.ring, (records) => {
    received += records.length;
    first();
  });
  await begun;
  await new Promise(setImmediate);
  assert.ok(received < 10_000, `${received} before the loop went on`);
  await until("the rest", () => received === 30_000);
  for (const handle of [ring, source]) handle.close();
});

test("drain()", async () => {
  const source = producer();
  const numbers: number[] = [];
  const ring = native().openRing(source.ring, (records) => numbers.push(...records.map(numberOf)));
  assert.is(ring.drain(), 0);
  source.emit();
  assert.is(ring.drain(), 1000);
  assert.is(numbers.length, 1000);
  assert.is(ring.drain(), 0);
  // Again and again against the wake-ups: whichever comes first, each record comes once.
  for (let round = 0; round < 50; round++) {
    source.emit();
    if (round % 2 === 0) ring.drain();
    else await until("the wake-up", () => numbers.length === (round + 2) * 1000);
  }
  assert.is(numbers.length, 51_000);
  assert.is(new Set(numbers).size, 51_000);
  for (const handle of [ring, source]) handle.close();
});

test("drain() lets the callback's exception through", () => {
  const source = producer();
  const ring = native().openRing(source.ring, () => {
    throw new Error("mine");
  });
  source.emit();
  assert.throws(() => ring.drain(), "mine");
  for (const handle of [ring, source]) handle.close();
});

test("a throwing callback is an uncaught exception, and the next record comes", async () => {
  const source = producer();
  const caught: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => caught.push(error));
  try {
    let calls = 0;
    const ring = native().openRing(source.ring, () => {
      throw new Error(`call ${++calls}`);
    });
    source.emit();
    await until("the first", () => caught.length === 1);
    source.emit();
    await until("the second", () => caught.length === 2);
    assert.equal(caught.map(String), ["Error: call 1", "Error: call 2"]);
    ring.close();
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
  source.close();
});

test("close() inside the callback", async () => {
  const source = producer();
  for (let index = 0; index < 10; index++) source.emit();
  let calls = 0;
  const ring = native().openRing(source.ring, () => {
    calls++;
    ring.close();
    ring.close();
  });
  await until("the call", () => calls > 0);
  source.emit();
  await native().gracePeriod();
  assert.is(calls, 1);
  fails("ERR_CLOSED", () => ring.drain());
  source.close();
});

test("close() inside a callback of drain()", () => {
  const source = producer();
  source.emit();
  let calls = 0;
  const ring = native().openRing(source.ring, () => {
    calls++;
    ring.close();
  });
  assert.is(ring.drain(), 1000);
  assert.is(calls, 1);
  source.close();
});

test("the ring outlives the map's handle, and the handle's garbage collection", async () => {
  const source = producer();
  let received = 0;
  const ring = native().openRing(source.ring, (records) => {
    received += records.length;
  });
  source.ring.close();
  source.emit();
  await until("records", () => received === 1000);
  for (const handle of [ring, source]) handle.close();
});

test("other maps are refused", () => {
  const source = producer();
  const table = source.object.map("table");
  fails("ERR_ARGUMENT", () => native().openRing(table, () => {}));
  fails("ERR_ARGUMENT", () => native().openRing({} as NativeMap, () => {}));
  fails("ERR_ARGUMENT", () => native().openRing(source.ring, undefined as unknown as () => void));
  table.close();
  source.close();
  fails("ERR_CLOSED", () => native().openRing(source.ring, () => {}));
});

test.run();
