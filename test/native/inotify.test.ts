import { mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type InotifyEvent, native } from "../../src/kernel/native.js";
import { fails, temporaryDirectory, until } from "./kit.js";

const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_IGNORED = 0x8000;
const IN_ISDIR = 0x40000000;

test("events carry watch, mask and name", async () => {
  const directory = temporaryDirectory();
  const events: InotifyEvent[] = [];
  const inotify = native().openInotify((some) => events.push(...some));
  const watch = inotify.add(directory, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF);
  assert.is(inotify.add(directory, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF), watch);
  writeFileSync(join(directory, "ä file"), "");
  renameSync(join(directory, "ä file"), join(directory, "b"));
  rmSync(join(directory, "b"));
  mkdirSync(join(directory, "c"));
  rmdirSync(join(directory, "c"));
  rmdirSync(directory);
  await until("IN_IGNORED", () => events.at(-1)?.mask === IN_IGNORED);
  assert.equal(
    events,
    [
      [IN_CREATE, "ä file"],
      [IN_MOVED_FROM, "ä file"],
      [IN_MOVED_TO, "b"],
      [IN_DELETE, "b"],
      [IN_CREATE | IN_ISDIR, "c"],
      [IN_DELETE | IN_ISDIR, "c"],
      [IN_DELETE_SELF, ""],
      [IN_IGNORED, ""],
    ].map(([mask, name]) => ({ watch, mask, name })),
  );
  inotify.remove(watch);
  inotify.remove(12345);
  inotify.close();
});

test("many events, none lost or twice", async () => {
  const directory = temporaryDirectory();
  const names: string[] = [];
  const inotify = native().openInotify((events) => names.push(...events.map(({ name }) => name)));
  inotify.add(directory, IN_CREATE);
  const made = Array.from({ length: 5000 }, (_, index) => `file-${index}`);
  for (const name of made) writeFileSync(join(directory, name), "");
  await until("all", () => names.length >= made.length);
  assert.equal(names, made);
  // And after it was emptied.
  writeFileSync(join(directory, "last"), "");
  await until("the last", () => names.at(-1) === "last");
  inotify.close();
});

test("remove() stops a watch", async () => {
  const [one, two] = [temporaryDirectory(), temporaryDirectory()];
  const events: InotifyEvent[] = [];
  const inotify = native().openInotify((some) => events.push(...some));
  const first = inotify.add(one, IN_CREATE);
  const second = inotify.add(two, IN_CREATE);
  inotify.remove(first);
  writeFileSync(join(one, "a"), "");
  writeFileSync(join(two, "b"), "");
  await until("b", () => events.at(-1)?.name === "b");
  assert.equal(events, [
    { watch: first, mask: IN_IGNORED, name: "" },
    { watch: second, mask: IN_CREATE, name: "b" },
  ]);
  inotify.close();
});

test("close() inside the callback", async () => {
  const directory = temporaryDirectory();
  let calls = 0;
  const inotify = native().openInotify(() => {
    calls++;
    inotify.close();
  });
  inotify.add(directory, IN_CREATE);
  writeFileSync(join(directory, "a"), "");
  await until("the call", () => calls === 1);
  fails("ERR_CLOSED", () => inotify.add(directory, IN_CREATE));
});

test("errors", () => {
  const inotify = native().openInotify(() => {});
  const error = fails("ENOENT", () => inotify.add("/absent", IN_CREATE));
  assert.equal([error.syscall, error.subject], ["inotify_add_watch", "/absent"]);
  fails("EINVAL", () => inotify.add("/tmp", 0));
  fails("ERR_ARGUMENT", () => inotify.add(1 as unknown as string, IN_CREATE));
  fails("ERR_ARGUMENT", () => native().openInotify(null as unknown as () => void));
  inotify.close();
});

test.run();
