import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { cgroupMount, compile, ofThreads, temporaryDirectory, until } from "./kit.js";

const maps = compile("maps");
const cgroup = cgroupMount();

function start(mode: "finish" | "leave" | "busy"): Worker {
  // Node 20 gives a worker's first file to none of the loaders that --import registers.
  const file = new URL("worker.ts", import.meta.url).href;
  return new Worker(`import("tsx/esm/api").then(({ tsImport }) => tsImport("${file}", "${file}"))`, {
    eval: true,
    workerData: { maps, cgroup, directory: temporaryDirectory(), mode },
  });
}

async function report(worker: Worker): Promise<number[]> {
  const [{ ids }] = (await once(worker, "message")) as [{ ids: number[] }];
  assert.ok(ids.length > 0);
  return ids;
}

/** Names of this process's threads that are ours. */
function threads(): string[] {
  return ofThreads((task) => readFileSync(`${task}/comm`, "utf8").trim()).filter((name) => name.startsWith("shunt"));
}

async function gone(ids: number[]): Promise<void> {
  for (const id of ids) await until(`program ${id} is gone`, () => !native().exists("program", id));
  // Who was joined has stopped, and is listed for a moment longer.
  await until("no thread of ours is left", () => threads().length === 0);
}

test("four at once, each closes what it opened", async () => {
  const workers = Array.from({ length: 4 }, () => start("finish"));
  const exits = workers.map((worker) => once(worker, "exit"));
  const ids = await Promise.all(workers.map(report));
  assert.equal(await Promise.all(exits), [[0], [0], [0], [0]]);
  await gone(ids.flat());
});

test("terminate() with all that has a thread open", async () => {
  const workers = Array.from({ length: 4 }, () => start("leave"));
  const ids = await Promise.all(workers.map(report));
  assert.is(threads().length, 12);
  await Promise.all(workers.map((worker) => worker.terminate()));
  await gone(ids.flat());
});

test("terminate() in the middle of everything", async () => {
  for (let round = 0; round < 3; round++) {
    const workers = Array.from({ length: 4 }, () => start("busy"));
    const ids = await Promise.all(workers.map(report));
    await Promise.all(workers.map((worker) => worker.terminate()));
    await gone(ids.flat());
  }
});

test.run();
