import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type NativeLock, native } from "../../src/kernel/native.js";
import { fails, makeNetns, temporaryDirectory } from "./kit.js";

const mounts = () => readFileSync("/proc/mounts", "utf8");

test("libbpf and cpus", () => {
  assert.match(native().libbpf, /^1\.\d+$/);
  assert.ok(Number.isInteger(native().cpus) && native().cpus > 0);
});

test("mount() and unmount()", () => {
  const target = temporaryDirectory();
  native().mount("bpf", "shunt-source", target);
  try {
    assert.ok(mounts().includes(`shunt-source ${target} bpf `));
  } finally {
    native().unmount(target);
  }
  assert.not(mounts().includes(target));
  const error = fails("EINVAL", () => native().unmount(target));
  assert.equal([error.syscall, error.subject], ["umount2", target]);
  fails("EINVAL", () => native().unmount(target, true));
  fails("ENODEV", () => native().mount("absent", "x", target));
  fails("ENOENT", () => native().mount("bpf", "x", `${target}/absent`));
  fails("ERR_ARGUMENT", () => native().unmount(target, 1 as unknown as boolean));
});

test("lock(): one holder, on files and directories, until it closes or its process ends", async () => {
  const directory = temporaryDirectory();
  const file = `${directory}/lock`;
  writeFileSync(file, "");
  for (const path of [file, directory]) {
    const first = native().lock(path) as NativeLock;
    assert.is(first.holds(), true);
    assert.is(native().lock(path), undefined);
    first.close();
    first.close();
    fails("ERR_CLOSED", () => first.holds());
    const second = native().lock(path) as NativeLock;
    assert.is(second.holds(), true);
    second.close();
  }
  const held = native().lock(file);
  rmSync(file);
  assert.is(held?.holds(), false);
  writeFileSync(file, "");
  assert.is(held?.holds(), false, "another file is there");
  held?.close();
  const missing = fails("ENOENT", () => native().lock(`${directory}/absent`));
  assert.equal([missing.syscall, missing.subject], ["open", `${directory}/absent`]);
  symlinkSync(file, `${directory}/link`);
  fails("ELOOP", () => native().lock(`${directory}/link`));

  const holder = spawn("flock", ["--no-fork", file, "sh", "-c", "echo held; exec sleep 60"], { stdio: "pipe" });
  await once(holder.stdout, "data");
  assert.is(native().lock(file), undefined);
  holder.kill("SIGKILL");
  await once(holder, "close");
  const freed = native().lock(file) as NativeLock;
  assert.is(freed.holds(), true);
  freed.close();
});

test("gracePeriod()", async () => {
  const periods = await Promise.all([native().gracePeriod(), native().gracePeriod()]);
  assert.equal(periods, [undefined, undefined]);
});

test("originalDestination() of what was not redirected", async () => {
  fails("EBADF", () => native().originalDestination(100_000, 0));
  fails("ERR_ARGUMENT", () => native().originalDestination(0, 1 as 0));
  fails("ERR_ARGUMENT", () => native().originalDestination(-1, 0));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [accepted] = (await once(server, "connection")) as [Socket & { _handle: { fd: number } }];
  const { fd } = accepted._handle;
  // Which error depends on what of netfilter is loaded; with NAT loaded it even succeeds.
  try {
    native().originalDestination(fd, 0);
  } catch (error) {
    const code = (error as { code: string }).code;
    assert.ok(["ENOENT", "ENOPROTOOPT", "EOPNOTSUPP", "EINVAL"].includes(code), code);
    const failure = fails(code, () => native().originalDestination(fd, 0));
    assert.equal([failure.syscall, failure.subject], ["getsockopt(SO_ORIGINAL_DST)", `fd ${fd}`]);
  }
  client.destroy();
  accepted.destroy();
  server.close();
});

for (const [family, iptables, address, bytes] of [
  ["IPv4", "iptables", "127.0.0.1", [127, 0, 0, 1]],
  ["IPv6", "ip6tables", "::1", [...new Array<number>(15).fill(0), 1]],
] as const) {
  test(`originalDestination() of a redirected connection, ${family}`, () => {
    const name = makeNetns();
    const inside = (...command: string[]) =>
      execFileSync("ip", ["netns", "exec", name, ...command], { encoding: "utf8" });
    inside(
      iptables,
      "-t",
      "nat",
      "-A",
      "OUTPUT",
      "-p",
      "tcp",
      "--dport",
      "8000",
      "-j",
      "REDIRECT",
      "--to-ports",
      "15001",
    );
    const script = fileURLToPath(new URL("original.ts", import.meta.url));
    const printed = inside(process.execPath, "--import", "tsx", script, address, "8000", "15001");
    assert.equal(JSON.parse(printed), { address: bytes, port: 8000, listening: 15001 });
  });
}

test.run();
