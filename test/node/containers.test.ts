import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openLab } from "../../src/demo/lab.js";
import { cgroupIds, containerNamed, containersIn, proxyProcesses } from "../../src/node/containers.js";
import { idBase } from "../../src/node/namespace.js";
import { until } from "../kernel/bed.js";

test("containers are the directories, with their inode numbers; a pod that is gone has none", () => {
  const pod = mkdtempSync(join(tmpdir(), "shunt-containers-"));
  try {
    for (const name of ["b", "a"]) mkdirSync(join(pod, name));
    const found = containersIn(pod);
    assert.equal([...found.keys()], ["a", "b"]);
    assert.is(found.get("a"), statSync(join(pod, "a"), { bigint: true }).ino);
    mkdirSync(join(pod, "b", "c"));
    const ids = [pod, join(pod, "a"), join(pod, "b"), join(pod, "b", "c")].map(
      (path) => statSync(path, { bigint: true }).ino,
    );
    assert.equal(cgroupIds(pod), new Set(ids));
    rmdirSync(join(pod, "a"));
    assert.equal([...containersIn(pod).keys()], ["b"]);
  } finally {
    rmSync(pod, { recursive: true });
  }
  assert.is(containersIn(pod).size, 0);
  assert.is(cgroupIds(pod).size, 0);
});

test("a container's cgroup is found by the names of every runtime, and its monitor's is not", () => {
  const id = "0f".repeat(32);
  const named = (...names: string[]) => containerNamed(new Map(names.map((name, i) => [name, BigInt(i)])), id);
  assert.is(named("other", id), id);
  assert.is(named(`cri-containerd-${id}.scope`), `cri-containerd-${id}.scope`);
  assert.is(named(`crio-conmon-${id}.scope`, `crio-${id}.scope`), `crio-${id}.scope`);
  assert.is(named(`crio-${id}`), `crio-${id}`);
  assert.is(named(`docker-${id}.scope`), `docker-${id}.scope`);
  assert.is(named(`crio-conmon-${id}.scope`), undefined);
  assert.is(named(`cri-containerd-a${id}.scope`), undefined, "a longer id");
  assert.is(named(), undefined);
});

test("a user namespace counts when it is a whole pod's", () => {
  assert.is(idBase("         0          0 4294967295\n"), 0);
  assert.is(idBase("         0     131072      65536\n"), 131072);
  assert.is(idBase("         0       1000          1\n"), 0, "what a user may map for himself");
  assert.is(idBase("      1337       1000      65536\n"), 0, "an application that would pass as the proxy");
  assert.is(idBase(""), 0);
});

test("the proxy's processes: those of its container, else those with its uid or gid", async () => {
  const lab = await openLab({ kind: "containers" });
  try {
    const pod = await lab.pod({ namespace: "a", name: "p", uid: "12-a", address: "10.88.2.1" });
    const run = (container: string, uid: number, gid: number) =>
      pod.spawn(["sleep", "600"], { container, uid, gid }).pid ?? 0;
    const own = run("istio-proxy", 5000, 5000);
    const byUid = run("app", 1337, 1000);
    const byGid = run("app", 1000, 1337);
    const app = run("app", 1000, 1000);
    const name = `cri-containerd-${pod.container("istio-proxy").id}.scope`;
    const ids = { uid: 1337, gid: 1337 };
    const sorted = (found: number[]) => found.sort((a, b) => a - b);
    await until("all have their ids", () => proxyProcesses(pod.cgroup, name, ids).length === 3);
    assert.equal(sorted(proxyProcesses(pod.cgroup, name, ids)), sorted([own, byUid, byGid]));
    assert.equal(sorted(proxyProcesses(pod.cgroup, undefined, ids)), sorted([byUid, byGid]));
    assert.equal(proxyProcesses(pod.cgroup, name, undefined), [own]);
    assert.ok(app > 0);
  } finally {
    await lab.close();
  }
});

test.run();
