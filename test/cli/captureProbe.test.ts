import { createServer, type Server, type Socket } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Finding,
  listeningPorts,
  listensHere,
  type ProbeOptions,
  probeCapture,
} from "../../src/cli/captureProbe.js";
import type { Endpoint } from "../../src/model/endpoint.js";
import { freePort } from "../freePort.js";

const host = "127.0.0.1";

/** Closed again after the test's body. */
async function withServer(use: (port: number, server: Server) => Promise<void>): Promise<void> {
  const taken: Socket[] = [];
  const server = createServer((socket) => taken.push(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  try {
    await use((server.address() as { port: number }).port, server);
  } finally {
    for (const socket of taken) socket.destroy();
    server.close();
  }
}

/** A target that is the listener's own address stands in for a kernel that steers. */
function probe(listener: number, target: number, changes: Partial<ProbeOptions> = {}): Promise<Finding> {
  const at = (port: number): Endpoint => ({ address: host, port });
  return probeCapture({
    listeners: [at(listener)],
    target: at(target),
    source: host,
    patience: 200,
    originalDestination: () => at(target),
    listens: () => false,
    ...changes,
  });
}

test("a connection that arrives with what it asked for is the proof", async () => {
  const port = await freePort();
  assert.equal(await probe(port, port), { captured: true, saw: `arrived at 127.0.0.1:${port}` });
  const other = (): Endpoint => ({ address: "10.0.0.1", port: 80 });
  assert.equal(await probe(port, port, { originalDestination: other }), {
    captured: false,
    saw: `arrived at 127.0.0.1:${port}, but with 10.0.0.1:80 as its original destination`,
  });
  const none = (): Endpoint => {
    throw Object.assign(new Error("getsockopt"), { code: "ENOENT" });
  };
  assert.equal(await probe(port, port, { originalDestination: none }), {
    captured: false,
    saw: `arrived at 127.0.0.1:${port}, but without its original destination (ENOENT)`,
  });
});

test("what is refused, or goes elsewhere, is told apart", async () => {
  assert.equal(await probe(await freePort(), await freePort()), { captured: false, saw: "failed (ECONNREFUSED)" });
  await withServer(async (theirs) => {
    const mine = await freePort();
    assert.equal(await probe(mine, theirs, { listens: (port) => port === theirs }), {
      captured: false,
      saw: "was taken by somebody who listens there, which tells nothing",
    });
    assert.equal(await probe(mine, theirs), { captured: false, saw: "did not arrive within 0.2 s" });
  });
});

test("where a proxy has the port, it is enough that the proxy takes the connection", async () => {
  await withServer(async (proxy) => {
    const saw = `was taken by the proxy on 127.0.0.1:${proxy}`;
    assert.equal(await probe(proxy, proxy), { captured: true, saw });
    const busy = `127.0.0.1:${proxy} is in use: a proxy runs already`;
    assert.equal(await probe(proxy, await freePort()), {
      captured: false,
      saw: `failed (ECONNREFUSED), and ${busy}`,
    });
    assert.equal(await probe(proxy, proxy, { listens: () => true }), {
      captured: false,
      saw: `was taken by somebody who listens there, which tells nothing, and ${busy}`,
    });
  });
});

test("nothing stays open, and listen()'s other errors are thrown", async () => {
  const port = await freePort();
  await probe(port, port);
  await probe(port, port);
  assert.not(listensHere(port));
  await withServer(async (theirs) => assert.ok(listensHere(theirs)));
  let code = "";
  await probe(port, port, { listeners: [{ address: "203.0.113.1", port }] }).catch((error: NodeJS.ErrnoException) => {
    code = error.code ?? "";
  });
  assert.is(code, "EADDRNOTAVAIL");
});

test("listeners in /proc/net/tcp and tcp6", () => {
  const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
  const rest = "00000000:00000000 00:00000000 00000000  1337        0 1 1 0 100 0 0 10 0\n";
  const four = `${head}   0: 0100007F:3A99 00000000:0000 0A ${rest}   1: 0100007F:3A9A 0100007F:1F90 01 ${rest}`;
  assert.equal([...listeningPorts(four)], [15001]);
  const six = `${head}  10: 00000000000000000000000000000000:3A9A 00000000000000000000000000000000:0000 0A ${rest}`;
  assert.equal([...listeningPorts(six)], [15002]);
  assert.is(listeningPorts(head).size, 0);
});

test.run();
