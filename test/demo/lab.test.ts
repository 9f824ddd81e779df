import { spawn } from "node:child_process";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { openLab } from "../../src/demo/lab.js";
import { command, firstLine, mortal } from "../../src/demo/process.js";
import { sweepLabs } from "../../src/demo/sweep.js";
import { alive, closeLabs, hostNetwork, testLab, traces, until } from "./kit.js";

const test = suite("lab");
test.after.each(closeLabs);

const kind = `test${process.pid}`;
const uid = "5d0a7c1e-0000-4000-8000-000000000001";
const first = { namespace: "test", name: "first", uid, address: "10.77.0.2" };
const second = { namespace: "test", name: "second", uid: "5d0a7c1e-2", address: "203.0.113.7" };

const proc = (pid: number | undefined, file: string): string => readFileSync(`/proc/${pid}/${file}`, "utf8");

test("a program runs in its container's cgroup, its pod's namespace, with its ids, from its first instruction", async () => {
  const lab = await testLab();
  const pod = await lab.pod(first);
  const app = pod.container("app");
  const path = `kubepods-burstable.slice/kubepods-burstable-pod${uid.replaceAll("-", "_")}.slice`;
  assert.is(pod.cgroup, join(lab.cgroupRoot, path));
  assert.is(app.cgroup, join(pod.cgroup, `cri-containerd-${app.id}.scope`));
  assert.match(app.id, /^[0-9a-f]{64}$/);
  assert.is(app.cgroupId, statSync(app.cgroup, { bigint: true }).ino);
  assert.is(pod.cgroupId, statSync(pod.cgroup, { bigint: true }).ino);

  // The program tells for itself: what it printed was so when it began.
  const told = await pod.exec(["cat", "/proc/self/cgroup", "/proc/self/status"], {
    container: "app",
    uid: 1337,
    gid: 1338,
  });
  assert.is(told.status, 0, told.stderr);
  assert.match(told.stdout, `0::/${lab.name}/kubepods.slice/${path}/cri-containerd-${app.id}.scope\n`);
  assert.match(told.stdout, /^Uid:\t1337\t1337\t1337\t1337$/m);
  assert.match(told.stdout, /^Gid:\t1338\t1338\t1338\t1338$/m);
  assert.match(told.stdout, /^Groups:\t *$/m);
  assert.match(told.stdout, /^CapEff:\t0+$/m);

  const sleeper = pod.spawn(["sleep", "60"], { container: "app" });
  await until("sleep runs", () => proc(sleeper.pid, "comm") === "sleep\n");
  assert.is(readlinkSync(`/proc/${sleeper.pid}/ns/net`), `net:[${statSync(pod.netns).ino}]`);
  assert.match(proc(sleeper.pid, "status"), /^Uid:\t0\t/m);
});

test("cgroups of every class, and a container that is made again", async () => {
  const lab = await testLab();
  const sure = await lab.pod({ ...first, qos: "guaranteed" });
  const least = await lab.pod({ ...second, qos: "besteffort" });
  assert.is(sure.cgroup, join(lab.cgroupRoot, `kubepods-pod${uid.replaceAll("-", "_")}.slice`));
  assert.is(least.cgroup, join(lab.cgroupRoot, "kubepods-besteffort.slice/kubepods-besteffort-pod5d0a7c1e_2.slice"));
  const old = sure.container("istio-proxy");
  assert.is(sure.container("istio-proxy"), old);
  const fresh = sure.newContainer("istio-proxy");
  assert.is.not(fresh.id, old.id);
  assert.equal(sure.containers, [fresh]);
  assert.ok(statSync(old.cgroup).isDirectory());
});

test("pods reach each other by any address, in both families, and the machine's network stays as it is", async () => {
  const before = hostNetwork();
  const lab = await testLab();
  const [from, to] = await Promise.all([
    lab.pod({ ...first, address6: "fd00:77::2" }),
    lab.pod({ ...second, address6: "2001:db8::7" }),
  ]);
  const serve = `for (const [port, host] of [[80, "0.0.0.0"], [81, "::"]]) require("net").createServer((s) => s.end(s.remoteAddress))
    .listen(port, host, () => port === 81 && console.log("ready"))`;
  await firstLine(to.spawn([process.execPath, "-e", serve], { container: "app" }));
  const read = (address: string, port: number) =>
    from.exec([process.execPath, "-e", `require("net").connect(${port}, "${address}").pipe(process.stdout)`], {
      container: "app",
    });
  assert.is((await read("203.0.113.7", 80)).stdout, "10.77.0.2");
  assert.is((await read("2001:db8::7", 81)).stdout, "fd00:77::2");
  const nobody = await read("203.0.113.8", 80);
  assert.match(nobody.stderr, "ENETUNREACH");
  assert.is(hostNetwork(), before);
});

test("a pod that is removed is gone, its processes too, and can be made again", async () => {
  const lab = await testLab();
  for (let i = 0; i < 3; i++) {
    const pod = await lab.pod(first);
    await assertRejects(lab.pod(first), /EEXIST/);
    const child = pod.spawn(["sh", "-c", "sleep 600 & echo $!; wait"], { container: "app" });
    const grandchild = Number(await firstLine(child));
    await Promise.all([pod.remove(), pod.remove()]);
    assert.is(child.signalCode, "SIGKILL");
    assert.not.ok(alive(grandchild));
    assert.equal(lab.pods, []);
    assert.is(statSync(pod.cgroup, { throwIfNoEntry: false }), undefined);
  }
});

test("close: with running processes, mounts and files; twice; nothing is left; the lab is then shut", async () => {
  const lab = await testLab();
  const pod = await lab.pod(first);
  const child = pod.spawn(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"], {
    container: "app",
    uid: 1000,
    gid: 1000,
  });
  const grandchild = Number(await firstLine(child));
  pod.spawn(["sleep", "600"], { container: "late" }); // most likely not yet in its cgroup
  await command([
    "sh",
    "-ec",
    'mkdir -p "$0/a b" && mount -t tmpfs none "$0/a b" && echo x > "$0/a b/file"',
    lab.directory,
  ]);
  await Promise.all([lab.close(), lab.close()]);
  assert.not.ok(alive(child.pid ?? 0));
  assert.not.ok(alive(grandchild));
  assert.equal(await traces(lab.name), []);
  await assertRejects(lab.pod(second), /is closed/);
  await lab.close();
});

test("close says what it could not remove, and can be called again", async () => {
  const lab = await testLab();
  const pod = await lab.pod(first);
  // A process that stopped taking signals cannot be made here; a cgroup that a name space of mounts hides can.
  await command(["mount", "--bind", lab.cgroupRoot, pod.cgroup]);
  try {
    await assertRejects(lab.close(), new RegExp(`cannot remove cgroup .*${lab.name} in \\d+ ms: EBUSY`));
  } finally {
    await command(["umount", pod.cgroup]);
  }
  await lab.close();
  assert.equal(await traces(lab.name), []);
});

test("two labs at once do not meet", async () => {
  const [one, other] = await Promise.all([testLab(), testLab()]);
  assert.is.not(one.name, other.name);
  const [here, there] = await Promise.all([one.pod(first), other.pod(first)]);
  assert.is.not(statSync(here.netns).ino, statSync(there.netns).ino);
  const child = there.spawn(["sleep", "600"], { container: "app" });
  await one.close();
  assert.ok(alive(child.pid ?? 0));
  assert.equal((await traces(one.name)).length, 0);
});

test("a lab that cannot be made leaves nothing", async () => {
  const nowhere = openLab({ kind, cgroup2: "/proc" });
  await assertRejects(nowhere, /ENOENT|EPERM|EACCES/);
  await assertRejects(openLab({ kind: "Not-A-Kind" }), /lower-case/);
  const lab = await testLab();
  await assertRejects(lab.pod({ ...first, address: "not-an-address" }), /not-an-address/);
  await assertRejects(lab.pod({ ...first, uid: "../.." }), /uid/);
  const pod = await lab.pod(first); // the same uid again: nothing of the failure is in the way
  assert.equal(lab.pods, [pod]);
  await lab.close();
  assert.equal(await traces(`shunt-${kind}-`), []);
});

test("what a killed owner left is swept, and what a living one has is not", async () => {
  const killed = `${kind}k`;
  const script = fileURLToPath(new URL("abandon.ts", import.meta.url));
  const owner = spawn(process.execPath, ["--import", "tsx", script, killed], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const left = JSON.parse(await firstLine(owner)) as { lab: string; direct: number; parent: number; orphan: number };
    assert.equal(await sweepLabs(killed), [], "its owner lives");
    assert.ok(alive(left.direct));
    owner.kill("SIGKILL");
    await until(
      "what was started dies with its owner, although its uid was changed",
      () => !alive(left.direct) && !alive(left.parent),
    );
    assert.ok(alive(left.orphan), "a grandchild is left");
    assert.ok((await traces(left.lab)).length > 3);
    assert.equal(await sweepLabs("another"), []);

    const next = await testLab(killed);
    assert.equal(next.swept, [{ name: left.lab, removed: true }]);
    assert.not.ok(alive(left.orphan));
    assert.equal(await traces(left.lab), []);
    assert.equal(await sweepLabs(killed), []);
  } finally {
    owner.kill("SIGKILL");
    await until("the owner is dead", () => !alive(owner.pid ?? 0));
    await sweepLabs(killed);
  }
});

test("a program that cannot be started, and one that takes too long", async () => {
  const lab = await testLab();
  const pod = await lab.pod(first);
  const none = await pod.exec(["/nonexistent"], { container: "app" });
  assert.is(none.status, 127);
  assert.match(none.stderr, "/nonexistent");
  const slow = await pod.exec(["sleep", "60"], { container: "app", timeout: 100 });
  assert.is(slow.signal, "SIGKILL");
  await assertRejects(
    firstLine(pod.spawn(["sh", "-c", "echo why >&2; exit 3"], { container: "app" })),
    /ended \(3\).*why/,
  );
  await assertRejects(firstLine(pod.spawn(["sleep", "60"], { container: "app" }), 100), /no line in 100 ms/);
  const gone = pod.container("gone");
  await command(["rmdir", gone.cgroup]);
  assert.is((await pod.exec(["true"], { container: "gone" })).status, 125);
});

test("a program whose starter died before it could be told so does not begin", async () => {
  // The shell that waits for it stands in for whoever takes orphans.
  const said = await command(["sh", "-c", '"$@"; echo "status $?"', "sh", ...mortal(["echo", "begun"])]);
  assert.is(said, "status 125\n");
  assert.is(await command(["sh", "-c", 'exec "$@"', "sh", ...mortal(["echo", "begun"])]), "begun\n");
});

test("files in the scratch directory go, even when they are many", async () => {
  const lab = await testLab();
  await Promise.all(Array.from({ length: 50 }, (_, i) => writeFile(join(lab.directory, `${i}`), "")));
  await lab.close();
  assert.equal(await traces(lab.name), []);
});

async function assertRejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, Error, `expected a rejection with ${message}`);
  assert.match((error as Error).message, message);
}

test.run();
