import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startAgent } from "../../src/agent.js";
import {
  ensureBpffs,
  ensureCgroup2,
  findCgroup2,
  parseMounts,
  readMounts,
  releaseBpffs,
} from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { makeLogger } from "../../src/log.js";

test("mountinfo: optional fields, escapes, and what is no line of it", () => {
  const text = [
    "43 27 0:4 net:[4026532177] /run/lab/netns/a rw - nsfs nsfs rw",
    "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate",
    "50 27 0:4 / /run/a\\040b\\134c rw - bpf none rw",
    "",
    "not a mount",
  ];
  assert.equal(parseMounts(text.join("\n")), [
    { source: "nsfs", root: "net:[4026532177]", target: "/run/lab/netns/a", type: "nsfs" },
    { source: "cgroup2", root: "/", target: "/sys/fs/cgroup", type: "cgroup2" },
    { source: "none", root: "/", target: "/run/a b\\c", type: "bpf" },
  ]);
});

test("of several cgroup2 mounts the whole hierarchy is taken, not a part that is bound elsewhere", () => {
  const at = (root: string, target: string) => ({ source: "cgroup2", root, target, type: "cgroup2" });
  assert.is(findCgroup2([at("/kubepods", "/a"), at("/", "/b")])?.target, "/b");
  assert.is(findCgroup2([at("/kubepods", "/a")])?.target, "/a");
  assert.is(findCgroup2([]), undefined);
});

test("a bpffs is mounted once, is ours, and only ours is unmounted", () => {
  const directory = mkdtempSync(join(tmpdir(), "shunt mounts-"));
  const count = (): number => readMounts().filter((mount) => mount.target === directory).length;
  try {
    ensureBpffs(native(), directory);
    ensureBpffs(native(), directory);
    assert.is(count(), 1);
    assert.is(releaseBpffs(native(), directory), true);
    assert.is(releaseBpffs(native(), directory), false);
    assert.is(count(), 0);

    native().mount("bpf", "somebody", directory);
    ensureBpffs(native(), directory);
    assert.is(releaseBpffs(native(), directory), false, "mounted by somebody else");
    assert.is(count(), 1);
  } finally {
    while (count() > 0) native().unmount(directory);
    rmSync(directory, { recursive: true });
  }
});

test("a start that fails before anything is pinned leaves no mount behind, and says what was wrong", async () => {
  const directory = mkdtempSync(join(tmpdir(), "shunt-mounts-"));
  const object = join(directory, "broken.o");
  const bpffs = join(directory, "bpf");
  writeFileSync(object, "not an object");
  try {
    const starting = startAgent({
      native: native(),
      log: await makeLogger(process.stderr, false),
      openSource: () => assert.unreachable() as never,
      cgroupRoot: ensureCgroup2(native()).path,
      bpffs,
      object,
      compile: () => assert.unreachable() as never,
      proxyIdentity: "uid",
      clock: process.hrtime.bigint,
    });
    const why = await starting.then(
      () => "it started",
      (error: Error) => error.message,
    );
    assert.match(why, /broken\.o/);
    assert.not.ok(readMounts().some((mount) => mount.target === bpffs));
  } finally {
    releaseBpffs(native(), bpffs);
    rmSync(directory, { recursive: true });
  }
});

test("a mount that fails names the place", () => {
  assert.throws(
    () => native().mount("bpf", "shunt", "/nonexistent/place"),
    (error: Error & { code: string }) => error.code === "ENOENT" && error.message.includes("/nonexistent/place"),
  );
});

test("the cgroup2 mount that is there is used, wherever it is", () => {
  const { path, release } = ensureCgroup2(native());
  assert.ok(readMounts().some((mount) => mount.type === "cgroup2" && mount.target === path));
  release();
  assert.ok(readMounts().some((mount) => mount.type === "cgroup2"));
});

test.run();
