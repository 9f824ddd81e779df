/** One worker of workers.test.ts: uses everything that has state, then says so and waits to be ended. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { native } from "../../src/kernel/native.js";

const { maps, cgroup, directory, mode } = workerData as {
  readonly maps: Uint8Array;
  /** Of cgroup2, to run an iterator on. */
  readonly cgroup: string;
  readonly directory: string;
  readonly mode: "finish" | "leave" | "busy";
};
const object = native().openObject(maps, "worker");
object.setAutoload("emit_on_connect", false);
object.load();
const ringMap = object.map("ring");
const table = object.map("table");
let records = 0;
let events = 0;

async function seen(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const ring = native().openRing(ringMap, (some) => {
  records += some.length;
});
const inotify = native().openInotify((some) => {
  events += some.length;
});
inotify.add(directory, 0x100);
// A namespace of the worker's own would be one more thing to leave behind: a socket in ours is the same.
const netwatch = native().openNetnsWatch(() => {});
const ids = object
  .programs()
  .map(({ id }) => id)
  .filter((id) => id !== 0);

for (let round = 1; round <= 20; round++) {
  object.iterateCgroup("emit_now", cgroup);
  writeFileSync(join(directory, `file-${round}`), "");
  const key = new Uint8Array(new Uint32Array([round]).buffer);
  table.update(key, new Uint8Array(16).fill(round));
  await native().inspectNetns("/proc/self/ns/net");
  netwatch.remove(await netwatch.add("/proc/self/ns/net"));
  await seen(() => records === round * 1000 && events === round);
}
if (table.entries().count !== 20) throw new Error("lost an entry");

if (mode === "finish") {
  for (const handle of [ring, inotify, netwatch, table, ringMap, object]) handle.close();
  parentPort?.postMessage({ ids });
} else {
  parentPort?.postMessage({ ids });
  // Ended in the middle of it: records, events and promises under way.
  for (let round = 0; mode === "busy"; round++) {
    object.iterateCgroup("emit_now", cgroup);
    writeFileSync(join(directory, `busy-${round}`), "");
    // Bounded: what is queued in the thread pool has to run before a worker can end.
    const path = "/proc/self/ns/net";
    await Promise.race([native().gracePeriod(), native().inspectNetns(path), netwatch.add(path)]);
  }
}
