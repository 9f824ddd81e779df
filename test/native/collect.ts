/** Run with --expose-gc by life.test.ts: drops handles without closing them, and sees them go. */
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { compile, makeCgroup, openOnly, until } from "./kit.js";

const collect = (globalThis as { gc?: () => void }).gc;
assert.ok(collect, "run with --expose-gc");

const hooks = compile("hooks");
const maps = compile("maps");

type Id = readonly ["program" | "map" | "link", number];

/** Opens one of each and keeps none. */
function drop(cgroup: string): Id[] {
  const object = openOnly(hooks, "allow");
  object.load();
  const link = object.attachCgroup("allow", cgroup);
  const seen = object.map("seen");
  const records = openOnly(maps);
  records.load();
  const array = records.map("records");
  array.store(0, 0, 1n);
  return [
    ...object
      .programs()
      .filter(({ id }) => id !== 0)
      .map(({ id }) => ["program", id] as const),
    ["map", seen.info.id],
    ["map", array.info.id],
    ["link", link.info().id],
  ];
}

async function collected(ids: Id[]): Promise<void> {
  for (const [kind, id] of ids) {
    await until(`${kind} ${id} is collected`, () => {
      collect?.();
      return !native().exists(kind, id);
    });
  }
}

const cgroup = makeCgroup();
for (let round = 0; round < 3; round++) await collected(drop(cgroup));

// An open ring stays, whoever holds it; a closed one goes, with its callback.
let received = 0;
const producer = openOnly(maps, "emit_now");
producer.load();
const ringMap = producer.map("ring");
function hold(): WeakRef<object> {
  const ring = native().openRing(ringMap, (records) => {
    received += records.length;
    if (received === 2000) ring.close();
  });
  return new WeakRef(ring);
}
const ring = hold();
for (const round of [1, 2]) {
  for (let time = 0; time < 3; time++) {
    collect();
    await new Promise(setImmediate);
  }
  producer.iterateCgroup("emit_now", cgroup);
  await until("records", () => received === round * 1000);
}
await until("the ring is collected", () => {
  collect?.();
  return ring.deref() === undefined;
});
console.log("collected");
