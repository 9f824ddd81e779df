import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { attachType, compile, fails, makeCgroup, openOnly, present, until } from "./kit.js";

const hooks = compile("hooks");
const none = 0xfffffff0;

test("ids(), exists(), programById(), mapById(), linkById()", async () => {
  const object = openOnly(hooks, "allow");
  object.load();
  const program = present(object.programs()[0]);
  const map = object.map("seen");
  const link = object.attachCgroup("allow", makeCgroup());
  const linkId = link.info().id;
  const all = [
    ["program", program.id],
    ["map", map.info.id],
    ["link", linkId],
  ] as const;

  for (const [kind, id] of all) {
    const ids = native().ids(kind);
    assert.ok(ids.includes(id), kind);
    assert.equal(
      ids,
      [...ids].sort((a, b) => a - b),
      "ascending",
    );
    assert.is(native().exists(kind, id), true);
    assert.is(native().exists(kind, none), false);
  }
  const found = native().programById(program.id);
  assert.equal(
    [found.name, found.section, found.id, found.tag, found.type],
    ["allow", "", program.id, program.tag, 18],
  );
  assert.ok(found.mapIds.includes(map.info.id));
  const sameMap = native().mapById(map.info.id);
  assert.equal({ ...sameMap.info }, { ...map.info });
  const sameLink = native().linkById(linkId);
  assert.equal({ ...sameLink.info() }, { ...link.info() });

  fails("ENOENT", () => native().programById(none));
  fails("ENOENT", () => native().mapById(none));
  fails("ENOENT", () => native().linkById(none));
  fails("ERR_ARGUMENT", () => native().ids("btf" as "map"));
  fails("ERR_ARGUMENT", () => native().exists("map", -1));

  for (const handle of [object, map, link, sameMap, sameLink]) handle.close();
  for (const [kind, id] of all) await until(`${kind} is gone`, () => !native().exists(kind, id));
});

test("queryCgroup() in the order that they run, however many", () => {
  const cgroup = makeCgroup();
  const object = openOnly(hooks, "allow", "deny");
  object.load();
  const idOf = (name: string) => present(object.programs().find((program) => program.name === name)).id;
  assert.equal(native().queryCgroup(cgroup, attachType.connect4), { programIds: [], flags: 0 });
  const links = ["deny", "allow"].map((name) => object.attachCgroup(name, cgroup));
  const { programIds, flags } = native().queryCgroup(cgroup, attachType.connect4);
  assert.equal(programIds, [idOf("deny"), idOf("allow")]);
  assert.is(flags, 2, "BPF_F_ALLOW_MULTI");
  for (const link of links) link.close();

  // BPF_CGROUP_MAX_PROGS is 64.
  const many = Array.from({ length: 64 }, () => object.attachCgroup("allow", cgroup));
  assert.is(native().queryCgroup(cgroup, attachType.connect4).programIds.length, 64);
  fails("E2BIG", () => object.attachCgroup("allow", cgroup));
  for (const link of many) link.close();
  fails("ENOENT", () => native().queryCgroup("/absent", attachType.connect4));
  fails("EINVAL", () => native().queryCgroup(cgroup, 9999));
  object.close();
});

test.run();
