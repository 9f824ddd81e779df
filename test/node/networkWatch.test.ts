/** With a watch of plain objects. The real one is tested in namespaces.test.ts. */
import { readlinkSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { NativeNetnsWatch } from "../../src/kernel/native.js";
import { openNetworkWatch } from "../../src/node/networkWatch.js";
import { until } from "../kernel/bed.js";

const path = "/proc/self/ns/net";
const link = readlinkSync(path);

function fake() {
  const open = new Set<number>();
  const waiting: (() => void)[] = [];
  let last = 0;
  let hold = false;
  let tell: (ids: number[]) => void = () => {};
  const watch: NativeNetnsWatch = {
    async add(wanted) {
      if (wanted === "/absent") throw new Error("ENOENT");
      if (hold) await new Promise<void>((resolve) => waiting.push(resolve));
      open.add(++last);
      return last;
    },
    remove: (id) => void open.delete(id),
    ref() {},
    unref() {},
    close: () => open.clear(),
  };
  return {
    open,
    native: {
      openNetnsWatch(onChange: (ids: number[]) => void) {
        tell = onChange;
        return watch;
      },
    },
    change: (...ids: number[]) => tell(ids),
    hold: () => {
      hold = true;
    },
    release: () => {
      hold = false;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

test("a burst is told once, of the pod alone that it came from, and costs nothing further", async () => {
  const { native, open, change } = fake();
  const networks = openNetworkWatch(native);
  const told: string[] = [];
  for (const name of ["one", "two"]) await networks.pod(() => told.push(name)).follow(path, link);
  change(1);
  assert.equal([...open], [2], "the first is not listened to any more");
  change(1, 99);
  change(1);
  await until("the first", () => told.length > 0);
  change(2);
  await until("the second", () => told.length > 1);
  assert.equal(told, ["one", "two"]);
  networks.close();
});

test("what never rests is told of ever more rarely", async () => {
  const { native, open, change } = fake();
  const networks = openNetworkWatch(native);
  const times: number[] = [];
  const begin = performance.now();
  const network = networks.pod(() => {
    times.push(performance.now() - begin);
    void network.follow(path, link);
  });
  await network.follow(path, link);
  const flood = setInterval(() => change(...open), 1);
  await until("a few", () => times.length >= 6);
  clearInterval(flood);
  // 5 + 10 + 20 + 40 + 80 + 160; a timer fires up to 1 ms early.
  assert.ok((times[5] ?? 0) >= 305, times.join());
  networks.close();
});

test("follow() is for one namespace: the same again is nothing, another one replaces it", async () => {
  const { native, open } = fake();
  const network = openNetworkWatch(native).pod(() => {});
  await network.follow(path, link);
  await network.follow("/proc/1/ns/net", link);
  assert.equal([...open], [1]);
  await network.follow(path, "net:[1]");
  assert.equal([...open], [], "the path is not what it was said to be");
  await network.follow(path, link);
  assert.equal([...open], [3]);
  network.forget();
  network.forget();
  assert.equal([...open], []);
});

test("forget() ends what is being added, and what was about to be told", async () => {
  const { native, open, change, hold, release } = fake();
  let told = 0;
  const network = openNetworkWatch(native).pod(() => told++);
  hold();
  const following = network.follow(path, link);
  network.forget();
  release();
  await following;
  assert.equal([...open], []);
  await network.follow(path, link);
  change(2);
  network.forget();
  change(2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.is(told, 0);
});

test("what cannot be added is tried again the next time", async () => {
  const { native, open } = fake();
  const network = openNetworkWatch(native).pod(() => {});
  const error = await network.follow("/absent", link).catch((reason: Error) => reason.message);
  assert.is(error, "ENOENT");
  await network.follow(path, link);
  assert.equal([...open], [1]);
});

test.run();
