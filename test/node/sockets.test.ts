import { fstatSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { socketsOf } from "../../src/node/sockets.js";

test("a socket that we hold is found while it is open; a process that is not there holds none", async () => {
  const server = await new Promise<Server>((resolve) => {
    const made = createServer().listen(0, "127.0.0.1", () => resolve(made));
  });
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const inode = fstatSync(fd).ino;
  assert.ok([...socketsOf(process.pid)].includes(inode));
  await new Promise((resolve) => server.close(resolve));
  assert.not.ok([...socketsOf(process.pid)].includes(inode));
  assert.equal([...socketsOf(0)], []);
});

test("a process that may not be looked at is no process without sockets", () => {
  process.seteuid?.(65534);
  try {
    assert.throws(() => [...socketsOf(1)], /EACCES/);
  } finally {
    process.seteuid?.(0);
  }
});

test.run();
