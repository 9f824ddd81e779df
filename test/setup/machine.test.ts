// @serial
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseMounts } from "../../.ci/requirements.mjs";
import { leftovers, snapshot } from "./machine.js";

const name = `shunt-machine-test-${process.pid}`;
/** Of 15 characters at most. */
const map = `left_${process.pid}`;
const cgroup2 = parseMounts(readFileSync("/proc/self/mounts", "utf8")).find(
  (mount) => mount.type === "cgroup2",
)?.target;
/** Others may work on this machine at the same time: only ours counts. */
const ours = (lines: readonly string[]) => lines.filter((line) => line.includes(name));

test("a cgroup that stays is found, an emptied machine has none", async () => {
  assert.ok(cgroup2, "a cgroup2 must be mounted");
  const path = join(cgroup2 ?? "", name);
  const before = snapshot();
  mkdirSync(path);
  try {
    assert.equal(ours(await leftovers(before, 0)), [`cgroup ${path}`]);
  } finally {
    rmdirSync(path);
  }
  assert.equal(ours(await leftovers(before, 0)), []);
});

test("so are a network namespace and what is mounted", async () => {
  const before = snapshot();
  execFileSync("ip", ["netns", "add", name]);
  try {
    assert.equal(ours(await leftovers(before, 0)), [`network namespace ${name}`]);
  } finally {
    execFileSync("ip", ["netns", "delete", name]);
  }
  assert.equal(ours(await leftovers(before, 0)), []);
});

test("a map counts once nobody holds it but a pin", async () => {
  const directory = join("/tmp", name);
  const before = snapshot();
  mkdirSync(directory);
  try {
    execFileSync("mount", ["-t", "bpf", "bpf", directory]);
    try {
      const what = ["type", "array", "key", "4", "value", "4", "entries", "1", "name", map];
      execFileSync("bpftool", ["map", "create", `${directory}/map`, ...what]);
      const left = (await leftovers(before, 0)).filter((line) => line.includes(name) || line.endsWith(` ${map}`));
      assert.is(left.length, 2);
      assert.match(left[0] ?? "", new RegExp(`^map \\d+ ${map}$`));
      assert.is(left[1], `bpf mounted on ${directory}`);
    } finally {
      execFileSync("umount", [directory]);
    }
  } finally {
    rmdirSync(directory);
  }
  const left = (await leftovers(before, 30_000)).filter((line) => line.endsWith(` ${map}`));
  assert.equal(left, []);
});

test.run();
