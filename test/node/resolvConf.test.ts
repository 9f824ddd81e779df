/** The file is the pod's: hostile ones are made here for real. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatAddress } from "../../src/model/address.js";
import { parseResolvConf, readResolvConf } from "../../src/node/resolvConf.js";

const parsed = (text: string): string[] => parseResolvConf(text).map(formatAddress);
const read = (path: string): string[] => readResolvConf(path).map(formatAddress);

let directory: string;
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), "shunt-test-"));
});
test.after.each(() => rmSync(directory, { recursive: true }));

test("servers in order, each once, without zones", () => {
  assert.equal(
    parsed(`# made by kubelet
search a.svc.cluster.local svc.cluster.local
nameserver 10.96.0.10
  nameserver\tfd00::a # a comment
nameserver 10.96.0.10
nameserver fe80::1%eth0
nameserver ::ffff:10.0.0.1
options ndots:5 nameserver 9.9.9.9`),
    ["10.96.0.10", "fd00::a", "fe80::1", ...parsed("nameserver ::ffff:10.0.0.1")],
  );
  assert.equal(parsed("nameserver 10.0.0.1\r\nnameserver 10.0.0.2\r\n"), ["10.0.0.1", "10.0.0.2"]);
});

test("what names no server", () => {
  for (const line of [
    "",
    "nameserver",
    "nameserver ",
    "nameserver dns.example",
    "nameserver10.0.0.1",
    "#nameserver 1.1.1.1",
  ])
    assert.equal(parsed(line), [], line);
  for (const server of ["10.0.0", "10.0.0.256", "010.0.0.1.", "::1::", "\0", "-1"])
    assert.equal(parsed(`nameserver ${server}`), [], JSON.stringify(server));
});

test("a file", () => {
  const path = join(directory, "resolv.conf");
  writeFileSync(path, "nameserver 10.96.0.10\n");
  assert.equal(read(path), ["10.96.0.10"]);
  writeFileSync(path, "");
  assert.equal(read(path), []);
  assert.equal(read(join(directory, "absent")), []);
});

test("a symbolic link is not followed: its target would be one of the agent's own files", () => {
  const target = join(directory, "target");
  writeFileSync(target, "nameserver 10.96.0.10\n");
  symlinkSync(target, join(directory, "resolv.conf"));
  assert.equal(read(join(directory, "resolv.conf")), []);
});

test("a pipe, with and without a writer, holds nobody up", () => {
  const path = join(directory, "resolv.conf");
  execFileSync("mkfifo", [path]);
  assert.equal(read(path), []);
  const writer = openSync(path, "r+");
  assert.equal(read(path), []);
  closeSync(writer);
});

test("a directory, a device and a socket are no files", async () => {
  mkdirSync(join(directory, "resolv.conf"));
  assert.equal(read(join(directory, "resolv.conf")), []);
  assert.equal(read("/dev/zero"), []);
  const path = join(directory, "socket");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    assert.equal(read(path), []);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("of a huge file only the beginning is looked at", () => {
  const path = join(directory, "resolv.conf");
  writeFileSync(path, `nameserver 10.96.0.10\n${"#".repeat(65536)}\nnameserver 10.96.0.11\n`);
  truncateSync(path, 2 ** 40); // with a hole: it takes no room
  assert.equal(read(path), ["10.96.0.10"]);
  writeFileSync(path, Buffer.alloc(100_000, "nameserver "));
  assert.equal(read(path), [], "one line without end");
  writeFileSync(path, Buffer.alloc(100_000, " "));
  assert.equal(read(path), [], "nor does a long line of blanks take long");
  writeFileSync(path, Buffer.alloc(4096, 0xff));
  assert.equal(read(path), [], "no text at all");
});

test.run();
