import { statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { cannotReset, tcpStates } from "../../src/kernel/tcpSockets.js";
import { fails, makeNetns, rejects } from "./kit.js";

const own = "/proc/self/ns/net";
const inode = statSync(own).ino;
const all = Object.values(tcpStates).reduce((bits, bit) => bits | bit, 0);

const listen = (host: string): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.on("error", () => {}));
    server.listen(0, host, () => resolve(server));
  });
const connected = (port: number, host: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, host, () => resolve(socket)).once("error", reject);
  });
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

for (const [host, address] of [
  ["127.0.0.1", "7f000001"],
  ["::1", `${"00".repeat(15)}01`],
] as const) {
  test(`listTcpSockets() and destroyTcpSockets() of ${host}`, async () => {
    const server = await listen(host);
    try {
      const { port } = server.address() as { port: number };
      const [doomed, other] = [await connected(port, host), await connected(port, host)];
      const found = await native().listTcpSockets(own, inode, all);
      assert.ok(found.some(({ localPort, state }) => localPort === port && 1 << state === tcpStates.listen));
      const socket = found.find(({ remotePort, localPort }) => remotePort === port && localPort === doomed.localPort);
      if (socket === undefined) throw new Error("it is not among them");
      assert.equal(
        [hex(socket.local), hex(socket.remote), 1 << socket.state],
        [address, address, tcpStates.established],
      );
      assert.is(socket.uid, process.getuid?.());
      assert.ok(socket.inode > 0);
      const error = new Promise<NodeJS.ErrnoException>((resolve) => doomed.once("error", resolve));
      assert.equal(await native().destroyTcpSockets(own, inode, socket.handle), [""]);
      assert.is((await error).code, "ECONNABORTED");
      assert.equal(
        await native().destroyTcpSockets(own, inode, socket.handle),
        ["ENOENT"],
        "the handle is of that one",
      );
      const left = await native().listTcpSockets(own, inode, tcpStates.established);
      assert.ok(left.some(({ remotePort, localPort }) => remotePort === port && localPort === other.localPort));
      other.destroy();
    } finally {
      server.close();
    }
  });
}

test("in the namespace that is meant, and in no other", async () => {
  const path = `/run/netns/${makeNetns()}`;
  const { ino } = statSync(path);
  assert.equal(await native().listTcpSockets(path, ino, all), []);
  await rejects("ESTALE", native().listTcpSockets(path, ino + 1, all));
  await rejects("ESTALE", native().destroyTcpSockets(path, ino + 1, new Uint8Array(49)));
  await rejects("ENOENT", native().listTcpSockets("/run/netns/none", ino, all));
  assert.equal(await native().destroyTcpSockets(path, ino, new Uint8Array()), []);
  fails("ERR_ARGUMENT", () => native().destroyTcpSockets(path, ino, new Uint8Array(48)));
});

test("this kernel can", async () => {
  assert.is(await cannotReset(native()), "");
});

test.run();
