/** Runs inside a namespace with a REDIRECT rule: prints what an accepted connection's SO_ORIGINAL_DST is. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { native } from "../../src/kernel/native.js";

const [address = "", port = "", listen = ""] = process.argv.slice(2);
const server = createServer().listen(Number(listen), address.includes(":") ? "::1" : "127.0.0.1");
await once(server, "listening");
const client = connect(Number(port), address);
const [accepted] = (await once(server, "connection")) as [Socket & { _handle: { fd: number } }];
const found = native().originalDestination(accepted._handle.fd, address.includes(":") ? 41 : 0);
console.log(
  JSON.stringify({ ...found, address: [...found.address], listening: (server.address() as AddressInfo).port }),
);
client.destroy();
accepted.destroy();
server.close();
