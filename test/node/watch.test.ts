import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Native, native } from "../../src/kernel/native.js";
import { openNodeWatch } from "../../src/node/watch.js";
import { until } from "../kernel/bed.js";

test("a pod's cgroup is known by uid, and its path by its id, as long as it is there", async () => {
  const root = mkdtempSync(join(tmpdir(), "shunt-watch-"));
  let changes = 0;
  const node = openNodeWatch({ native: native(), root, onChange: () => changes++ });
  try {
    assert.is(node.cgroups.size, 0);
    const path = join(root, "podaa-1");
    mkdirSync(path);
    await until("it is seen", () => node.cgroups.has("aa-1"));
    assert.ok(changes > 0);
    const id = statSync(path, { bigint: true }).ino;
    assert.equal([node.cgroups.get("aa-1")?.id, node.pathOf(id)], [id, path]);
    rmdirSync(path);
    await until("it is gone", () => !node.cgroups.has("aa-1"));
    assert.is(node.pathOf(id), undefined);
  } finally {
    node.close();
    rmSync(root, { recursive: true });
  }
});

test("an overflow of the queue: everything is read again", () => {
  const root = mkdtempSync(join(tmpdir(), "shunt-watch-"));
  let tell: Parameters<Native["openInotify"]>[0] = () => {};
  const inotify = { add: () => 1, remove() {}, ref() {}, unref() {}, close() {} };
  const deaf: Native["openInotify"] = (onEvents) => {
    tell = onEvents;
    return inotify;
  };
  let changes = 0;
  const node = openNodeWatch({
    native: { ...native(), openInotify: deaf },
    root,
    onChange: () => changes++,
  });
  try {
    mkdirSync(join(root, "podaa-1"));
    assert.not.ok(node.cgroups.has("aa-1"));
    tell([{ watch: -1, mask: 0x4000, name: "" }]);
    assert.ok(node.cgroups.has("aa-1"));
    assert.is(changes, 1);
  } finally {
    node.close();
    rmSync(root, { recursive: true });
  }
});

test("without the root it throws, and leaves nothing open", () => {
  let closed = 0;
  const openInotify: Native["openInotify"] = (onEvents) => {
    const real = native().openInotify(onEvents);
    const close = (): void => {
      closed++;
      real.close();
    };
    return { add: (...args) => real.add(...args), remove() {}, ref() {}, unref() {}, close };
  };
  const open = () => openNodeWatch({ native: { ...native(), openInotify }, root: "/nowhere/at/all", onChange() {} });
  assert.throws(open, /ENOENT/);
  assert.is(closed, 1);
});

test.run();
