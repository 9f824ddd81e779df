/**
 * The probe of istio-validation (semantics, section 6): a connection to an address where nobody listens arrives, if
 * the pod is captured, where the proxy will listen. It needs no privilege and no file of ours.
 */
import { readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Endpoint, formatEndpoint } from "../model/endpoint.js";

export interface ProbeOptions {
  /** Where the proxy listens, the inbound side first: what the probe's connection should arrive at. */
  readonly listeners: readonly [Endpoint, ...Endpoint[]];
  /** What it asks for. */
  readonly target: Endpoint;
  /** Its source address. */
  readonly source: string;
  /** Milliseconds for the connection to arrive. */
  readonly patience: number;
  originalDestination(accepted: Socket): Endpoint;
  /** Whether somebody in this network namespace listens on the port. */
  listens(port: number): boolean;
}

export interface Finding {
  readonly captured: boolean;
  /** What the probe saw: half a sentence about "a connection to 127.0.0.6:15002". */
  readonly saw: string;
}

/** The ports in state LISTEN (0A) of /proc/net/tcp or /proc/net/tcp6. */
export function listeningPorts(text: string): Set<number> {
  const ports = [...text.matchAll(/^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /gm)];
  return new Set(ports.map(([, port = ""]) => Number.parseInt(port, 16)));
}

/** Of this process's network namespace. A family that the kernel does not have has no listeners. */
export function listensHere(port: number): boolean {
  return ["/proc/self/net/tcp", "/proc/self/net/tcp6"].some((path) => {
    try {
      return listeningPorts(readFileSync(path, "utf8")).has(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  });
}

/**
 * Without SO_REUSEPORT: beside a proxy that has it, the probe would take a share of the proxy's connections.
 * @returns undefined if somebody else listens there. @throws any other error of listen().
 */
function open(at: Endpoint): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(at.port, at.address, () => resolve(server));
  });
}

/** What a connection that arrived says of itself. */
function judge(socket: Socket, { originalDestination, target }: ProbeOptions): Finding {
  const at = `${socket.localAddress}:${socket.localPort}`;
  try {
    const asked = formatEndpoint(originalDestination(socket));
    if (asked === formatEndpoint(target)) return { captured: true, saw: `arrived at ${at}` };
    return { captured: false, saw: `arrived at ${at}, but with ${asked} as its original destination` };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { captured: false, saw: `arrived at ${at}, but without its original destination (${code ?? message})` };
  }
}

/** One connection. Nothing stays open. @throws what listen() says, but for a port in use, which is a finding. */
export async function probeCapture(options: ProbeOptions): Promise<Finding> {
  const { listeners, target, source, patience } = options;
  const [first] = listeners;
  // Whoever listens on the target's own port would take the connection without being steered to.
  const theirs = options.listens(target.port);
  const servers = await Promise.all(listeners.map(open));
  const busy = servers[0] === undefined;
  const beside = busy ? `, and ${formatEndpoint(first)} is in use: a proxy runs already` : "";
  const client = connect({ host: target.address, port: target.port, localAddress: source });
  const sockets: Socket[] = [client];
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Finding>((resolve) => {
      const not = (saw: string): void => resolve({ captured: false, saw: `${saw}${beside}` });
      const late = (): void => not(`did not arrive within ${patience / 1000} s`);
      // What came while this process did not get to run is heard first.
      timer = setTimeout(() => setImmediate(late), patience);
      client.once("error", (error: NodeJS.ErrnoException) => not(`failed (${error.code ?? error.message})`));
      client.once("connect", () => {
        if (theirs) not("was taken by somebody who listens there, which tells nothing");
        else if (busy) resolve({ captured: true, saw: `was taken by the proxy on ${formatEndpoint(first)}` });
      });
      for (const server of servers) {
        server?.on("connection", (socket) => {
          socket.on("error", () => {});
          sockets.push(socket);
          // Somebody else's: there is no proxy yet.
          if (socket.remotePort === client.localPort) resolve(judge(socket, options));
          else socket.resetAndDestroy();
        });
      }
    });
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.map((server) => server && new Promise((done) => server.close(done))));
  }
}
