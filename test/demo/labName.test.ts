import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { podSlice } from "../../src/demo/cgroup.js";
import { newLabName, ownerLives, parseLabName } from "../../src/demo/labName.js";
import { podUidOf } from "../../src/node/cgroups.js";

test("a name tells its kind and its owner, who lives", () => {
  const name = parseLabName(newLabName("demo"));
  assert.is(name?.kind, "demo");
  assert.is(name?.pid, process.pid);
  assert.ok(name && ownerLives(name));
  assert.is.not(newLabName("demo"), newLabName("demo"));
  for (const kind of ["", "a-b", "A", "a/b", "..", "x".repeat(33)]) assert.throws(() => newLabName(kind), RangeError);
  for (const text of ["", "shunt", "shunt-demo-1-2", "shunt-demo-x-2-abcd", "kubepods.slice"])
    assert.is(parseLabName(text), undefined);
});

test("a pid that ended, that another process has now, or that is a zombie is not the owner", async () => {
  const mine = parseLabName(newLabName("demo"));
  assert.ok(mine);
  assert.not.ok(ownerLives({ ...mine, started: `${Number(mine.started) + 1}` }));
  // Not waited for by its parent, the shell, which has become cat.
  const child = spawn("sh", ["-c", "sleep 0 & echo $!; exec cat"]);
  try {
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    for (let i = 0; i < 100 && ownerLives({ ...mine, pid, started: startOf(pid) }); i++)
      await new Promise((r) => setTimeout(r, 10));
    assert.not.ok(ownerLives({ ...mine, pid, started: startOf(pid) }));
  } finally {
    child.stdin.end();
    await once(child, "close");
  }
  assert.not.ok(ownerLives({ ...mine, pid: child.pid ?? 0 }));
});

test("the cgroups' names are those that the agent looks for", () => {
  const uid = "5d0a7c1e-0000-4000-8000-000000000001";
  for (const qos of ["guaranteed", "burstable", "besteffort"] as const) {
    assert.is(podUidOf(podSlice(uid, qos).split("/").at(-1) ?? ""), uid);
  }
});

/** Also of a zombie. */
function startOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

test.run();
