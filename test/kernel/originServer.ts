/**
 * `originServer.ts LABEL ADDRESS:PORT...`: tells everyone who connects what SO_ORIGINAL_DST says and whom it
 * sees: `LABEL ip:port peer:port`. In the label, %l is where the connection arrived. Stands in for a proxy; run
 * as its uid.
 */
import { createServer, type Socket } from "node:net";
import { native } from "../../src/kernel/native.js";

const [label = "", ...listens] = process.argv.slice(2);

function origin(socket: Socket): string {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  try {
    const { address, port } = native().originalDestination(fd, 0);
    return `${address.join(".")}:${port}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "error";
  }
}

await Promise.all(
  listens.map(
    (listen) =>
      new Promise<void>((resolve, reject) => {
        const [host = "", port = ""] = listen.split(":");
        const server = createServer((socket) => {
          socket.on("error", () => {});
          socket.end(
            `${label.replace("%l", `${socket.localAddress}:${socket.localPort}`)} ${origin(socket)} ${socket.remoteAddress}:${socket.remotePort}`,
          );
        });
        server.once("error", reject).listen({ host, port: Number(port), backlog: 4096 }, resolve);
      }),
  ),
);
process.stdout.write("ready\n");
