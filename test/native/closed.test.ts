import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { cgroupMount, compile, fails, makeBpffs, makeCgroup, openOnly, u32, u64 } from "./kit.js";

const hooks = compile("hooks");
const maps = compile("maps");

/** Closes twice, then expects every call to throw ERR_CLOSED. */
function closes(handle: { close(): void }, subject: string, calls: Record<string, () => unknown>): void {
  handle.close();
  handle.close();
  for (const [name, call] of Object.entries(calls)) {
    const error = fails("ERR_CLOSED", call);
    assert.equal([error.syscall, error.subject, error.errno], [name, subject, 0]);
  }
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(handle));
  const tried = [...Object.keys(calls), "close", "constructor"];
  assert.equal(methods.sort(), tried.sort(), "every method was tried");
}

test("NativeObject", () => {
  const object = openOnly(hooks, "allow");
  const existing = openOnly(maps);
  existing.load();
  const map = existing.map("table");
  for (const load of [false, true]) {
    const handle = openOnly(hooks, "allow");
    if (load) handle.load();
    closes(handle, "test", {
      programs: () => handle.programs(),
      setVariable: () => handle.setVariable("answer", u64(1)),
      setMaxEntries: () => handle.setMaxEntries("seen", 1),
      setAutoload: () => handle.setAutoload("allow", true),
      reuseMap: () => handle.reuseMap("seen", map),
      load: () => handle.load(),
      map: () => handle.map("seen"),
      attachCgroup: () => handle.attachCgroup("allow", cgroupMount()),
      attachNetns: () => handle.attachNetns("lookup", "/proc/self/ns/net"),
      iterateCgroup: () => handle.iterateCgroup("level", cgroupMount()),
      iterateTask: () => handle.iterateTask("level", process.pid),
    });
    assert.ok(handle.maps.length > 0, "what it declared stays");
  }
  map.close();
  fails("ERR_CLOSED", () => object.reuseMap("seen", map));
  for (const handle of [object, existing]) handle.close();
});

test("NativeMap", () => {
  const object = openOnly(maps);
  object.load();
  const map = object.map("table");
  object.close();
  map.update(u32(1), u64(1, 1));
  const path = join(makeBpffs(), "map");
  closes(map, "table", {
    lookup: () => map.lookup(u32(1)),
    update: () => map.update(u32(1), u64(1, 1)),
    delete: () => map.delete(u32(1)),
    updateMany: () => map.updateMany(u32(1), u64(1, 1)),
    deleteMany: () => map.deleteMany(u32(1)),
    entries: () => map.entries(),
    store: () => map.store(0, 0, 1n),
    pin: () => map.pin(path),
  });
  assert.is(map.info.name, "table", "what it was stays");
});

test("NativeLink", () => {
  const object = openOnly(hooks, "allow");
  object.load();
  const link = object.attachCgroup("allow", makeCgroup());
  closes(link, "allow", {
    info: () => link.info(),
    update: () => link.update(object, "allow"),
    pin: () => link.pin("/absent"),
    detach: () => link.detach(),
  });
  const other = object.attachCgroup("allow", makeCgroup());
  object.close();
  fails("ERR_CLOSED", () => other.update(object, "allow"));
  other.close();
});

test("NativeRing", () => {
  const object = openOnly(maps);
  object.load();
  const map = object.map("ring");
  const ring = native().openRing(map, () => {});
  for (const handle of [object, map]) handle.close();
  closes(ring, "ring", { drain: () => ring.drain(), ref: () => ring.ref(), unref: () => ring.unref() });
});

test("NativeInotify", () => {
  const inotify = native().openInotify(() => {});
  closes(inotify, "inotify", {
    add: () => inotify.add("/tmp", 1),
    remove: () => inotify.remove(1),
    ref: () => inotify.ref(),
    unref: () => inotify.unref(),
  });
});

test("NativeNetnsWatch", () => {
  const watch = native().openNetnsWatch(() => {});
  closes(watch, "netns watch", {
    add: () => watch.add("/proc/self/ns/net"),
    remove: () => watch.remove(1),
    ref: () => watch.ref(),
    unref: () => watch.unref(),
  });
});

test.run();
