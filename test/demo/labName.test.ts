import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { podSlice } from "../../src/demo/cgroup.js";
import { newLabName, ownerLives, parseLabName } from "../../src/demo/labName.js";
import { podUidOf } from "../../src/node/cgroups.js";
import { until } from "./kit.js";

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
  // The inner shell ends when it is told to, which is when its parent has become cat, which waits for nobody.
  const child = spawn("sh", ["-c", "sh -c 'read line <&3' & echo $!; exec cat 3<&-"], {
    stdio: ["pipe", "pipe", "inherit", "pipe"],
  });
  try {
    const [line] = (await once(child.stdout as Readable, "data")) as [Buffer];
    const pid = Number(line.toString());
    await until("the shell is cat", () => readFileSync(`/proc/${child.pid}/comm`, "utf8") === "cat\n");
    assert.ok(ownerLives({ ...mine, pid, started: startOf(pid) }), "before it ended");
    (child.stdio[3] as Writable).end("\n");
    await until("the inner shell has ended", () => !ownerLives({ ...mine, pid, started: startOf(pid) }));
    assert.ok(existsSync(`/proc/${pid}`), "a zombie");
  } finally {
    child.stdin?.end();
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
