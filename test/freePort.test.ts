import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

/** In a namespace with eight ports for whoever asks for any: all but one can be had. */
const code = `
  const { once } = await import("node:events");
  const { connect, createServer } = await import("node:net");
  const { freePort } = await import(process.argv[1]);
  const kept = await freePort();
  /** @returns what can be had of the eight; each stays open until then. */
  const take = async (open, portOf) => {
    const taken = [];
    try {
      for (;;) taken.push(await open());
    } catch (error) {
      if (!["EADDRINUSE", "EADDRNOTAVAIL"].includes(error.code)) throw error;
    }
    const ports = taken.map(portOf);
    for (const each of taken) each.destroy?.() ?? each.close();
    await Promise.all(taken.map((each) => once(each, "close")));
    return ports;
  };
  const listen = async (port) => {
    const server = createServer((socket) => socket.on("error", () => {}).resume()).listen(port, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const listening = await take(() => listen(0), (server) => server.address().port);
  const far = await listen(9);
  const dial = async () => {
    const socket = connect(9, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  };
  const connecting = await take(dial, ({ localPort }) => localPort);
  far.close();
  (await listen(kept)).close();
  console.log(JSON.stringify({ kept, listening, connecting }));`;

test("nobody who asks for any port gets it, neither to listen nor to connect from; who asks for it does", () => {
  const module = fileURLToPath(new URL("freePort.ts", import.meta.url));
  const node = [process.execPath, "--import", import.meta.resolve("tsx"), "--input-type=module", "-e", code, module];
  const script = 'ip link set lo up && echo 40000 40007 > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"';
  const said = execFileSync("unshare", ["--net", "sh", "-ec", script, "sh", ...node], { encoding: "utf8" });
  const { kept, listening, connecting } = JSON.parse(said) as Record<"listening" | "connecting", number[]> & {
    kept: number;
  };
  const others = Array.from({ length: 8 }, (_, i) => 40_000 + i).filter((port) => port !== kept);
  assert.is(others.length, 7);
  assert.equal(listening.sort(), others);
  assert.equal(connecting.sort(), others);
});

test.run();
