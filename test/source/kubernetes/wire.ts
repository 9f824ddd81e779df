/** A TCP proxy whose connections can be refused, cut, left half-open or slowed: the network between agent and server. */
import { createServer, connect as dial, type Socket } from "node:net";

export interface Wire {
  readonly port: number;
  /** Where new connections go. */
  target: number;
  /** `hold`: bytes go neither way, and nothing says so. `refuse`: new connections end at once. */
  mode: "pass" | "hold" | "refuse";
  /** Those that were let in so far. The agent has one a request. */
  readonly connections: number;
  /** ms that each piece takes longer. */
  delay: number;
  /** Ends all connections that there are. */
  cut(): void;
  close(): Promise<void>;
}

export async function openWire(target: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  let connections = 0;
  /** Held connections stay so: whoever hangs must find out alone. */
  const held = new WeakSet<Socket>();
  const server = createServer((near) => {
    if (wire.mode === "refuse") {
      near.destroy();
      return;
    }
    connections++;
    const far = dial(wire.target, "127.0.0.1");
    for (const socket of [near, far]) sockets.add(socket);
    const join = (from: Socket, to: Socket): void => {
      from.on("data", (bytes) => {
        if (wire.mode === "hold" || held.has(near)) {
          held.add(near);
          return;
        }
        if (wire.delay === 0) to.write(bytes);
        else setTimeout(() => to.destroyed || to.write(bytes), wire.delay);
      });
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        // What it sent last is still on its way.
        if (!held.has(near)) setTimeout(() => to.destroySoon(), wire.delay);
      });
    };
    join(near, far);
    join(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const wire: Wire = {
    port: (server.address() as { port: number }).port,
    target,
    mode: "pass",
    get connections() {
      return connections;
    },
    delay: 0,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    close() {
      wire.cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return wire;
}
