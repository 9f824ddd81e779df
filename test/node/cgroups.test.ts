import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { openCgroupTree, podUidOf } from "../../src/node/cgroups.js";
import { findPodRoots } from "../../src/node/root.js";

const uid = "0f3c2a1e-1111-2222-3333-444455556666";
const systemd = uid.replaceAll("-", "_");

test("podUidOf knows kubelet's names", () => {
  for (const [name, expected] of [
    [`kubepods-burstable-pod${systemd}.slice`, uid],
    [`kubepods-besteffort-pod${systemd}.slice`, uid],
    [`kubepods-pod${systemd}.slice`, uid],
    [`kubelet-kubepods-burstable-pod${systemd}.slice`, uid],
    [`kubelet-kubepods-pod${systemd}.slice`, uid],
    [`pod${uid}`, uid],
    // A static pod's cgroup carries its config hash.
    ["kubepods-burstable-podd41d8cd98f00b204e9800998ecf8427e.slice", "d41d8cd98f00b204e9800998ecf8427e"],
    ["podd41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"],
    ["kubepods-burstable.slice", undefined],
    ["kubepods.slice", undefined],
    ["burstable", undefined],
    [`cri-containerd-${"a".repeat(64)}.scope`, undefined],
    ["podman-123.scope", undefined],
    ["system.slice", undefined],
  ] as const) {
    assert.is(podUidOf(name), expected, name);
  }
});

/** A plain directory does for the names; the kernel tests use a real cgroup file system. */
function withDirectory(use: (directory: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), "shunt-cgroups-"));
    try {
      await use(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < end, "not within 60 s");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test(
  "pods that come and go are seen at every depth, with their inode numbers",
  withDirectory(async (root) => {
    mkdirSync(join(root, "burstable", `pod${uid}`), { recursive: true });
    const inotify = native().openInotify((events) => {
      for (const event of events) tree.handle(event.watch, event.name);
    });
    const tree = openCgroupTree(root, inotify);
    try {
      const first = tree.pods.get(uid);
      assert.is(first?.depth, 2);
      assert.is(first?.id, statSync(join(root, "burstable", `pod${uid}`), { bigint: true }).ino);

      // A whole branch at once: its watch comes after some of its directories.
      mkdirSync(join(root, "besteffort", "poda1"), { recursive: true });
      mkdirSync(join(root, "podb2"));
      await until(() => tree.pods.has("a1") && tree.pods.has("b2"));
      assert.is(tree.pods.get("a1")?.depth, 2);
      assert.is(tree.pods.get("b2")?.depth, 1);

      rmSync(join(root, "burstable", `pod${uid}`), { recursive: true });
      await until(() => !tree.pods.has(uid));
      rmSync(join(root, "besteffort"), { recursive: true });
      await until(() => !tree.pods.has("a1"));
      assert.equal([...tree.pods.keys()], ["b2"]);

      mkdirSync(join(root, "burstable", `pod${uid}`));
      await until(() => tree.pods.has(uid));
    } finally {
      inotify.close();
    }
  }),
);

test(
  "one that went and came again before anybody looked has the new inode number",
  withDirectory(async (root) => {
    const path = join(root, "poda1");
    mkdirSync(path);
    mkdirSync(join(root, "podb2"));
    const inotify = native().openInotify((events) => {
      for (const event of events) tree.handle(event.watch, event.name);
    });
    const tree = openCgroupTree(root, inotify);
    // While it is open, its number is not given to another.
    const held = openSync(path, "r");
    try {
      const other = tree.pods.get("b2")?.id;
      rmdirSync(path);
      mkdirSync(path);
      const { ino } = statSync(path, { bigint: true });
      assert.is.not(ino, tree.pods.get("a1")?.id);
      await until(() => tree.pods.get("a1")?.id === ino);
      assert.is(tree.pods.get("b2")?.id, other);
    } finally {
      closeSync(held);
      inotify.close();
    }
  }),
);

test(
  "a directory below a pod's own is not taken for another pod, nor does it hide one",
  withDirectory((root) => {
    mkdirSync(join(root, "poda1", `pod${uid}`), { recursive: true });
    const inotify = native().openInotify(() => {});
    try {
      assert.not.ok(openCgroupTree(root, inotify).pods.has(uid));
      mkdirSync(join(root, "burstable", `pod${uid}`), { recursive: true });
      const tree = openCgroupTree(root, inotify);
      assert.is(tree.pods.get(uid)?.path, join(root, "burstable", `pod${uid}`));
    } finally {
      inotify.close();
    }
  }),
);

test(
  "rescan finds what no event told",
  withDirectory((root) => {
    const inotify = native().openInotify(() => {});
    try {
      const tree = openCgroupTree(root, inotify);
      mkdirSync(join(root, "poda1"));
      tree.rescan();
      assert.ok(tree.pods.has("a1"));
    } finally {
      inotify.close();
    }
  }),
);

test(
  "no deeper than the programs look",
  withDirectory((root) => {
    const deep = Array.from({ length: 15 }, (_, i) => `d${i}`).join("/");
    mkdirSync(join(root, deep, "poda16"), { recursive: true });
    mkdirSync(join(root, deep, "more", "poda17"), { recursive: true });
    const inotify = native().openInotify(() => {});
    try {
      const { pods } = openCgroupTree(root, inotify);
      assert.equal(
        [...pods.values()].map(({ uid, depth }) => [uid, depth]),
        [["a16", 16]],
      );
    } finally {
      inotify.close();
    }
  }),
);

test(
  "the root of the pods is found by name, nearest first; nested ones are all told",
  withDirectory((mount) => {
    assert.equal(findPodRoots(mount), []);
    mkdirSync(join(mount, "system.slice"));
    mkdirSync(join(mount, "kubelet.slice", "kubelet-kubepods.slice", "kubelet-kubepods-burstable.slice"), {
      recursive: true,
    });
    assert.equal(findPodRoots(mount), [join(mount, "kubelet.slice", "kubelet-kubepods.slice")]);
    mkdirSync(join(mount, "kubepods"));
    assert.equal(findPodRoots(mount)[0], join(mount, "kubepods"));
    assert.is(findPodRoots(mount).length, 2);
    assert.equal(findPodRoots(join(mount, "nothing")), []);
  }),
);

test.run();
