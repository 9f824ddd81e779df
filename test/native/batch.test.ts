import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { artifact } from "../../src/kernel/artifact.js";
import type { KernelError } from "../../src/kernel/native.js";
import { element, fails, longs, makeMap, present, u32, u64, words } from "./kit.js";

/** Key i as `u32`, value {i, 2i} as two u64. */
function pairs(from: number, to: number): { keys: Uint8Array; values: Uint8Array } {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index);
  return { keys: u32(...numbers), values: u64(...numbers.flatMap((number) => [number, 2 * number])) };
}

test("updateMany(), entries(), deleteMany() on a hash", () => {
  const map = makeMap("table", 5000);
  assert.equal(map.entries(), { count: 0, keys: new Uint8Array(), values: new Uint8Array() });
  map.updateMany(new Uint8Array(), new Uint8Array());
  const { keys, values } = pairs(0, 5000);
  map.updateMany(keys, values);
  const found = map.entries();
  assert.is(found.count, 5000);
  assert.equal(new Set(words(found.keys)).size, 5000);
  const numbers = words(found.keys);
  const pairsFound = longs(found.values);
  for (let index = 0; index < numbers.length; index++) {
    const key = BigInt(present(numbers[index]));
    if (pairsFound[2 * index] !== key || pairsFound[2 * index + 1] !== 2n * key) assert.unreachable(`value of ${key}`);
  }
  // Missing ones at both ends, in the middle and in a row.
  assert.is(map.deleteMany(u32(90000, 1, 2, 90001, 90002, 3, 1, 90003)), 3);
  assert.is(map.deleteMany(keys), 4997);
  assert.is(map.deleteMany(keys.subarray(0, 400)), 0);
  assert.is(map.deleteMany(new Uint8Array()), 0);
  assert.is(map.entries().count, 0);
  map.close();
});

test("updateMany() on a full map says how many were written", () => {
  const map = makeMap("table", 100);
  const { keys, values } = pairs(0, 150);
  const error = fails("E2BIG", () => map.updateMany(keys, values)) as KernelError & { done: number };
  assert.is(error.done, map.entries().count);
  assert.is(error.done, 100);
  fails("E2BIG", () => map.update(u32(1000), u64(0, 0)));
  map.close();
});

test("entries() of an array are all of its elements, in order", () => {
  const map = makeMap("records");
  map.update(u32(999), u32(1, 2, 3));
  const { count, keys, values } = map.entries();
  assert.is(count, 1000);
  assert.equal(
    [...words(keys)],
    Array.from({ length: 1000 }, (_, index) => index),
  );
  assert.equal([...words(element(values, 999, 12))], [1, 2, 3]);
  fails("EINVAL", () => map.delete(u32(1)));
  map.close();
});

test("a map without keys refuses what needs one", () => {
  const map = makeMap("stack");
  fails("ERR_ARGUMENT", () => map.deleteMany(u32(1)));
  fails("EINVAL", () => map.entries());
  map.close();
});

test("a map type without batch commands goes one by one", () => {
  const map = makeMap("devices");
  const loopback = 1;
  map.updateMany(u32(7, 8, 9), u32(loopback, loopback, loopback));
  const error = fails("EINVAL", () => map.updateMany(u32(10, 11), u32(loopback, 0x7fffffff)));
  assert.is((error as KernelError & { done: number }).done, 1);
  const { count, keys, values } = map.entries();
  assert.is(count, 4);
  assert.equal(
    [...words(keys)].sort((a, b) => a - b),
    [7, 8, 9, 10],
  );
  assert.equal([...words(values)], [loopback, loopback, loopback, loopback]);
  assert.is(map.deleteMany(u32(1, 7, 8, 2, 9, 10)), 4);
  assert.is(map.entries().count, 0);
  map.close();
});

for (const [name, kind] of [
  ["table", "by bucket"],
  ["ranges", "by batches of keys"],
  ["devices", "key by key"],
] as const) {
  test(`entries() of a map that another thread changes, ${kind}: what stays comes once`, async () => {
    const map = makeMap(name, name === "devices" ? 256 : undefined);
    const { keySize, valueSize, id } = map.info;
    // Even keys stay, odd ones come and go. A range is 32 bits long and its number is the address.
    const keyOf = (number: number) => (keySize === 8 ? u32(32, number) : u32(number));
    const value = new Uint8Array(valueSize).fill(0);
    value[0] = 1;
    const stable = Array.from({ length: 100 }, (_, index) => 2 * index);
    for (const number of stable) map.update(keyOf(number), value);
    const churn = `
      const { parentPort, workerData } = require("node:worker_threads");
      const map = require(workerData.addon).mapById(workerData.id);
      for (let turn = 0; ; turn++) {
        for (const key of workerData.odd) turn % 2 ? map.delete(key) : map.update(key, workerData.value);
        if (turn === 0) parentPort.postMessage("started");
      }`;
    const odd = stable.map((number) => keyOf(number + 1));
    const worker = new Worker(churn, { eval: true, workerData: { addon: artifact("shunt.node"), id, odd, value } });
    try {
      await once(worker, "message");
      for (let round = 0; round < 200; round++) {
        const found = map.entries();
        const all = words(found.keys);
        const numbers = keySize === 8 ? all.filter((_, index) => index % 2 === 1) : all;
        const distinct = new Set(numbers);
        assert.is(distinct.size, found.count, "none twice");
        // The kernel walks a trie without a lock: it takes a node that was put in just now for the end of a branch.
        if (name === "ranges") continue;
        for (const number of stable) if (!distinct.has(number)) assert.unreachable(`${number} is missing`);
      }
    } finally {
      await worker.terminate();
    }
    map.close();
  });
}

test.run();
