import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type NativeMap, native } from "../../src/kernel/native.js";
import { element, fails, longs, makeBpffs, makeMap, mapType, present, u32, u64, words } from "./kit.js";

test("lookup(), update(), delete()", () => {
  const map = makeMap("table");
  const { name, type, id, keySize, valueSize, valueStride, maxEntries, flags } = map.info;
  assert.equal(
    [name, type, keySize, valueSize, valueStride, maxEntries, flags],
    ["table", mapType.hash, 4, 16, 16, 10000, 0],
  );
  assert.ok(native().exists("map", id));
  assert.is(map.lookup(u32(1)), undefined);
  map.update(u32(1), u64(3, 4));
  assert.equal(map.lookup(u32(1)), u64(3, 4));
  fails("EEXIST", () => map.update(u32(1), u64(5, 6), 1));
  fails("ENOENT", () => map.update(u32(2), u64(5, 6), 2));
  map.update(u32(1), u64(5, 6), 2);
  // A Buffer is a Uint8Array, and may be a view into something larger.
  assert.equal(map.lookup(Buffer.from([9, 1, 0, 0, 0, 9]).subarray(1, 5)), u64(5, 6));
  assert.is(map.delete(u32(1)), true);
  assert.is(map.delete(u32(1)), false);
  map.close();
});

test("arguments are checked by type and size", () => {
  const map = makeMap("table");
  assert.match(fails("ERR_ARGUMENT", () => map.lookup(u64(1))).message, /lookup key: ERR_ARGUMENT: .*4 bytes, has 8/);
  fails("ERR_ARGUMENT", () => map.update(u32(1), u64(1)));
  fails("ERR_ARGUMENT", () => map.lookup(new Uint32Array(1) as unknown as Uint8Array));
  fails("ERR_ARGUMENT", () => map.lookup(undefined as unknown as Uint8Array));
  fails("ERR_ARGUMENT", () => map.update(u32(1), u64(1, 2), 1.5));
  fails("ERR_ARGUMENT", () => map.updateMany(new Uint8Array(6), u64(1, 2)));
  fails("ERR_ARGUMENT", () => map.updateMany(u32(1, 2), u64(1, 2)));
  fails("ERR_ARGUMENT", () => map.deleteMany(new Uint8Array(3)));
  fails("ERR_ARGUMENT", () => map.store(0, 0, 1n));
  // Methods of another kind of handle, or of none, are refused by the engine itself.
  const { lookup } = map;
  assert.throws(() => lookup.call({} as NativeMap, u32(1)), /Illegal invocation/);
  // A handle made from JavaScript is a closed one.
  const Handle = map.constructor as new () => NativeMap;
  fails("ERR_CLOSED", () => new Handle().lookup(u32(1)));
  map.close();
});

test("LPM trie", () => {
  const map = makeMap("ranges");
  const range = (prefix: number, ...address: number[]) => new Uint8Array([...u32(prefix), ...address]);
  const keys = [range(8, 10, 0, 0, 0), range(16, 10, 1, 0, 0), range(0, 0, 0, 0, 0)];
  map.updateMany(Buffer.concat(keys), u32(8, 16, 0));
  assert.equal(map.lookup(range(32, 10, 1, 2, 3)), u32(16));
  assert.equal(map.lookup(range(32, 10, 2, 2, 3)), u32(8));
  assert.equal(map.lookup(range(32, 1, 1, 1, 1)), u32(0));
  const found = map.entries();
  assert.is(found.count, 3);
  assert.equal(new Set(words(found.values)), new Set([0, 8, 16]));
  assert.is(map.deleteMany(Buffer.concat([range(24, 1, 2, 3, 0), ...keys])), 3);
  assert.is(map.entries().count, 0);
  map.close();
});

test("LRU hash takes more than it holds", () => {
  const map = makeMap("recent");
  const numbers = Array.from({ length: 4096 }, (_, index) => index);
  map.updateMany(u32(...numbers), u64(...numbers));
  const { count, keys, values } = map.entries();
  assert.ok(count > 0 && count <= 1024, `${count}`);
  assert.equal([...words(keys)].map(BigInt), [...longs(values)]);
  map.close();
});

test("per-CPU hash: one value for each CPU", () => {
  const map = makeMap("counts");
  const { cpus } = native();
  assert.equal([map.info.valueSize, map.info.valueStride], [4, 8 * cpus]);
  const values = (base: number) => u64(...Array.from({ length: cpus }, (_, cpu) => base + cpu));
  map.update(u32(1), values(100));
  map.updateMany(u32(2, 3), Buffer.concat([values(200), values(300)]));
  assert.equal(map.lookup(u32(2)), values(200));
  const found = map.entries();
  const byKey = [...words(found.keys)].map((key, index) => [key, element(found.values, index, 8 * cpus)] as const);
  assert.equal(
    byKey.sort(([a], [b]) => a - b).map(([, value]) => value),
    [values(100), values(200), values(300)],
  );
  fails("ERR_ARGUMENT", () => map.update(u32(1), u32(1)));
  assert.is(map.deleteMany(u32(1, 2, 3, 4)), 3);
  map.close();
});

test("store() writes one word of one element", () => {
  // 12-byte values are 16 bytes apart; element 999 is on the mapping's fourth page.
  const map = makeMap("records");
  map.store(0, 0, 0x1122334455667788n);
  map.store(999, 0, 2n ** 64n - 1n);
  map.update(u32(1), u32(7, 8, 9));
  map.store(1, 0, 5n);
  assert.equal([...words(present(map.lookup(u32(0))))], [0x55667788, 0x11223344, 0]);
  assert.equal([...words(present(map.lookup(u32(1))))], [5, 0, 9]);
  assert.equal([...words(present(map.lookup(u32(999))))], [0xffffffff, 0xffffffff, 0]);
  assert.equal([...words(present(map.lookup(u32(998))))], [0, 0, 0]);
  fails("ERR_ARGUMENT", () => map.store(1000, 0, 1n));
  fails("ERR_ARGUMENT", () => map.store(0, 4, 1n));
  fails("ERR_ARGUMENT", () => map.store(0, 8, 1n));
  fails("ERR_ARGUMENT", () => map.store(0, 0, -1n));
  fails("ERR_ARGUMENT", () => map.store(0, 0, 1 as unknown as bigint));
  map.close();
  fails("ERR_CLOSED", () => map.store(0, 0, 1n));
});

test("pin() and openPinnedMap()", () => {
  const directory = makeBpffs();
  const path = join(directory, "table");
  fails("ENOENT", () => native().openPinnedMap(path));
  const map = makeMap("table");
  map.update(u32(1), u64(1, 2));
  map.pin(path);
  assert.is(fails("EEXIST", () => map.pin(path)).subject, path);
  fails("ENOENT", () => map.pin(join(directory, "absent", "table")));
  map.close();
  const again = native().openPinnedMap(path);
  assert.equal(again.lookup(u32(1)), u64(1, 2));
  assert.match(fails("EINVAL", () => native().openPinnedLink(path)).message, /is no link but a map/);
  again.close();
});

test.run();
