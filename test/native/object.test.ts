import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import {
  attachType,
  cgroupMount,
  compile,
  connects,
  fails,
  linkType,
  makeCgroup,
  makeNetns,
  mapType,
  openOnly,
  present,
  u32,
  u64,
  words,
} from "./kit.js";

const hooks = compile("hooks");
const maps = compile("maps");

test("openObject() refuses bytes that are no object", () => {
  const error = fails("ENOEXEC", () => native().openObject(new Uint8Array(100), "garbage"));
  assert.is(error.subject, "garbage");
  fails("ERR_ARGUMENT", () => native().openObject("path" as unknown as Uint8Array, "text"));
  fails("ERR_ARGUMENT", () => native().openObject(hooks, 1 as unknown as string));
  fails("ERR_ARGUMENT", () => native().openObject(hooks, "cut\0here"));
});

test("maps lists what the object declares, its data sections too", () => {
  const object = native().openObject(hooks, "hooks");
  const seen = present(object.maps.find(({ name }) => name === "seen"));
  assert.equal({ ...seen }, { name: "seen", type: mapType.array, keySize: 4, valueSize: 16, maxEntries: 1 });
  for (const section of [".rodata", ".data"])
    assert.ok(
      object.maps.some(({ name }) => name.endsWith(section)),
      section,
    );
  object.close();
});

test("programs() before and after load, setAutoload()", () => {
  const object = native().openObject(hooks, "hooks");
  const before = object.programs();
  assert.equal(
    before.map(({ name, section }) => [name, section]),
    [
      ["allow", "cgroup/connect4"],
      ["deny", "cgroup/connect4"],
      ["operations", "sockops"],
      ["lookup", "sk_lookup"],
      ["level", "iter/cgroup"],
    ],
  );
  assert.ok(before.every(({ id, tag }) => id === 0 && tag === ""));
  object.setAutoload("deny", false);
  object.load();
  for (const { name, id, tag, runCount } of object.programs()) {
    assert.is(id > 0, name !== "deny", name);
    if (name !== "deny") assert.match(tag, /^[0-9a-f]{16}$/);
    assert.is(typeof runCount, "bigint");
  }
  fails("ERR_NOT_FOUND", () => object.attachCgroup("deny", cgroupMount()));
  fails("ERR_NOT_FOUND", () => object.attachCgroup("absent", cgroupMount()));
  fails("EBUSY", () => object.setAutoload("deny", true));
  fails("EBUSY", () => object.load());
  object.close();
});

test("setVariable() reaches the program; a live cgroup runs it", async () => {
  const object = openOnly(hooks, "allow", "deny");
  object.setVariable("answer", u64(42));
  object.setVariable("counter", u32(1000));
  assert.match(fails("ERR_ARGUMENT", () => object.setVariable("answer", u32(1))).message, /8 bytes, has 4/);
  fails("ERR_NOT_FOUND", () => object.setVariable("question", u32(1)));
  fails("ERR_NOT_FOUND", () => object.map("seen"));
  object.load();
  fails("EBUSY", () => object.setVariable("answer", u64(43)));

  const cgroup = makeCgroup();
  const seen = object.map("seen");
  const link = object.attachCgroup("allow", cgroup);
  const { type, attachType: attached, programId } = link.info();
  assert.equal([type, attached], [linkType.cgroup, attachType.connect4]);
  assert.ok(object.programs().some(({ id }) => id === programId));
  object.close();
  assert.ok(await connects(cgroup), "allowed");
  // { answer: u64, counter: u32, calls: u32 }
  assert.equal([...words(present(seen.lookup(u32(0))))], [42, 0, 1000, 1]);
  link.close();
  seen.close();
});

test("setMaxEntries()", () => {
  const object = openOnly(maps);
  object.setMaxEntries("table", 77);
  fails("ERR_ARGUMENT", () => object.setMaxEntries("table", -1));
  fails("ERR_ARGUMENT", () => object.setMaxEntries("table", 2 ** 32));
  fails("ERR_NOT_FOUND", () => object.setMaxEntries("absent", 1));
  object.load();
  const table = object.map("table");
  assert.is(table.info.maxEntries, 77);
  fails("ERR_NOT_FOUND", () => object.map("absent"));
  fails("EBUSY", () => object.setMaxEntries("table", 78));
  object.close();
  table.close();
});

test("reuseMap() shares a map of another size and name, and refuses another kind", () => {
  const first = openOnly(maps);
  first.setMaxEntries("table", 50);
  first.load();
  const table = first.map("table");
  table.update(u32(1), u64(10, 20));

  const second = openOnly(maps);
  second.reuseMap("table", table);
  const error = fails("EINVAL", () => second.reuseMap("counts", table));
  assert.match(error.message, /type 5 declared, 1 existing/);
  assert.match(error.message, /value size 4 declared, 16 existing/);
  assert.match(error.message, /flags 1 declared, 0 existing/);
  fails("ERR_ARGUMENT", () => second.reuseMap("table", {} as typeof table));
  fails("ERR_ARGUMENT", () => second.reuseMap("table", second as unknown as typeof table));
  second.load();
  const shared = second.map("table");
  assert.is(shared.info.id, table.info.id);
  assert.equal(shared.lookup(u32(1)), u64(10, 20));
  for (const handle of [first, second, table, shared]) handle.close();
});

test("load() names the program and the verifier's lines", () => {
  const object = native().openObject(compile("bad"), "bad");
  const error = fails("EACCES", () => object.load());
  assert.is(error.syscall, "bpf(BPF_PROG_LOAD)");
  assert.is(error.subject, "unchecked");
  const lines = present(error.verifier).split("\n");
  assert.ok(lines.length > 2 && lines.length <= 20, `${lines.length} lines`);
  assert.match(present(lines.at(-1)), /invalid mem access 'map_value_or_null'/);
  assert.not.match(present(error.verifier), /processed/);
  fails("EINVAL", () => object.load());
  object.close();
});

test("load() names the map that cannot be made", () => {
  const object = openOnly(maps);
  object.setMaxEntries("ring", 12345 * 4096);
  object.setMaxEntries("table", 0);
  const error = fails("EINVAL", () => object.load());
  assert.is(error.syscall, "bpf(BPF_MAP_CREATE)");
  assert.is(error.subject, "table");
  assert.is(error.verifier, undefined);
  object.close();
});

test("attachCgroup() and attachNetns() say what is wrong", () => {
  const object = openOnly(hooks, "allow", "lookup");
  object.load();
  const missing = fails("ENOENT", () => object.attachCgroup("allow", "/absent"));
  assert.equal([missing.syscall, missing.subject], ["open", "/absent"]);
  fails("ENOTDIR", () => object.attachCgroup("allow", "/proc/self/stat"));
  assert.is(fails("EBADF", () => object.attachCgroup("allow", "/tmp")).syscall, "bpf(BPF_LINK_CREATE)");
  fails("EBADF", () => object.attachNetns("allow", "/proc/self/ns/net"));
  fails("ENOENT", () => object.attachNetns("lookup", "/var/run/netns/absent"));
  object.close();
});

test("attachNetns()", () => {
  const object = openOnly(hooks, "lookup");
  object.setVariable("port", u32(8080));
  object.load();
  const link = object.attachNetns("lookup", `/var/run/netns/${makeNetns()}`);
  const { type, attachType: attached, cgroupId } = link.info();
  assert.equal([type, attached, cgroupId], [linkType.netns, attachType.skLookup, 0n]);
  link.close();
  object.close();
});

test("iterateCgroup() runs once, on this cgroup alone", () => {
  const object = openOnly(hooks, "level");
  object.load();
  assert.equal([...words(object.iterateCgroup("level", cgroupMount()))], [0]);
  assert.equal([...words(object.iterateCgroup("level", makeCgroup()))], [1]);
  fails("ENOENT", () => object.iterateCgroup("level", "/absent"));
  object.close();
});

test.run();
