import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import {
  attachType,
  compile,
  connects,
  fails,
  linkType,
  makeBpffs,
  makeCgroup,
  openOnly,
  present,
  until,
} from "./kit.js";

const hooks = compile("hooks");

test("info(), update(), pin(), openPinnedLink(), detach()", async () => {
  const cgroup = makeCgroup();
  const path = join(makeBpffs(), "link");
  const object = openOnly(hooks, "allow", "deny", "operations");
  object.load();
  const idOf = (name: string) => present(object.programs().find((program) => program.name === name)).id;

  const link = object.attachCgroup("allow", cgroup);
  const info = link.info();
  assert.equal(
    { ...info, id: 0 },
    {
      id: 0,
      programId: idOf("allow"),
      type: linkType.cgroup,
      cgroupId: statSync(cgroup, { bigint: true }).ino,
      attachType: attachType.connect4,
      netnsInode: 0,
    },
  );
  assert.ok(await connects(cgroup));

  link.update(object, "deny");
  assert.is(link.info().programId, idOf("deny"));
  assert.is(link.info().id, info.id);
  assert.not(await connects(cgroup));
  fails("EINVAL", () => link.update(object, "operations"));
  fails("ERR_NOT_FOUND", () => link.update(object, "absent"));
  fails("ERR_ARGUMENT", () => link.update({} as typeof object, "allow"));

  link.pin(path);
  fails("EEXIST", () => link.pin(path));
  assert.match(fails("EINVAL", () => native().openPinnedMap(path)).message, /is no map but a link/);
  object.close();
  link.close();
  assert.not(await connects(cgroup), "the pin holds the link");

  const pinned = native().openPinnedLink(path);
  assert.is(pinned.info().id, info.id);
  pinned.detach();
  assert.ok(await connects(cgroup), "detached although it is pinned");
  assert.is(pinned.info().cgroupId, 0n);
  pinned.detach();
  pinned.close();
});

test("close() of the last handle detaches", async () => {
  const cgroup = makeCgroup();
  const object = openOnly(hooks, "deny");
  object.load();
  const link = object.attachCgroup("deny", cgroup);
  assert.not(await connects(cgroup));
  link.close();
  // Whoever looks at all links of the machine has each open for a moment.
  await until("detached", () => native().queryCgroup(cgroup, attachType.connect4).programIds.length === 0);
  assert.ok(await connects(cgroup));
  object.close();
});

test.run();
