import { connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { parseArgs } from "node:util";
import { native } from "../kernel/native.js";
import { originalDestination } from "../kernel/originalDestination.js";
import { type Endpoint, formatEndpoint, makeEndpoint, parseEndpoint } from "../model/endpoint.js";
import { createForwarder, type Passage, proxyName } from "./proxyHttp.js";
import { classify, createPicker, parseServices } from "./proxyRoute.js";

/** ms that a client may be silent before the other side is asked to speak first (MySQL, SMTP). */
const silence = 200;

/** The source that marks the proxy's own way to its application: it is not captured again (semantics, section 3). */
const passthroughSource = "127.0.0.6";

/** Whether a connection to there would come back here. */
function leadsHere(to: Endpoint, listeners: readonly Endpoint[]): boolean {
  if (!listeners.some((listener) => listener.port === to.port)) return false;
  if (/^(?:127\.|0\.0\.0\.0$|::1?$)/.test(to.address)) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === to.address));
}

/**
 * Bytes in both directions. Each end is passed on by itself, so nothing that is still on its way is cut off; a reset
 * is passed on as a reset.
 */
function splice(client: Socket, to: Endpoint, source: string | undefined, log: (why: string) => void): void {
  const server = connect({
    host: to.address,
    port: to.port,
    allowHalfOpen: true,
    ...(source !== undefined && { localAddress: source }),
  });
  server.on("error", (error) => {
    log(`${formatEndpoint(to)}: ${error.message}`);
    client.resetAndDestroy();
  });
  client.on("error", () => server.resetAndDestroy());
  client.pipe(server);
  server.pipe(client);
}

/** Waits for the first bytes, or for silence, and puts them back. */
function sniff(socket: Socket, decided: (kind: "http" | "tcp") => void): void {
  let held = Buffer.alloc(0);
  const decide = (kind: "http" | "tcp"): void => {
    clearTimeout(timer);
    socket.off("data", onData).off("end", onEnd).off("close", onClose).pause();
    if (held.length > 0) socket.unshift(held);
    decided(kind);
  };
  const onData = (bytes: Buffer): void => {
    held = Buffer.concat([held, bytes]);
    const kind = classify(held);
    if (kind !== "more") decide(kind);
  };
  const onEnd = (): void => decide("tcp");
  const onClose = (): void => clearTimeout(timer);
  const timer = setTimeout(() => decide("tcp"), silence);
  socket.on("data", onData).once("end", onEnd).once("close", onClose);
}

/**
 * `[--name NAME] [--listen 127.0.0.1:15001]... [--inbound 0.0.0.0:15006]... [--service VIP:PORT=IP:PORT,...]...`: a
 * transparent proxy, as much of Envoy as the demo needs. HTTP/1.1 is forwarded with headers that say who did it, a service's
 * requests to its workloads in turn; other TCP is spliced. An inbound listener's connections go on to the
 * application of the same pod from 127.0.0.6. A connection whose original destination is unknown, or is the proxy
 * itself, is reset, with a line on stderr. Prints one line when it listens, and resolves.
 */
export async function runProxy(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      name: { type: "string", default: proxyName },
      listen: { type: "string", multiple: true, default: ["127.0.0.1:15001"] },
      inbound: { type: "string", multiple: true, default: [] },
      service: { type: "string", multiple: true, default: [] },
    },
  });
  const pick = createPicker(parseServices(values.service));
  const outbound = values.listen.map(parseEndpoint);
  const inbound = values.inbound.map(parseEndpoint);
  const listeners = [...outbound, ...inbound];
  native(); // a missing addon is found before the first connection

  const passages = new WeakMap<Socket, Passage>();
  const passageOf = (socket: Socket): Passage => {
    const passage = passages.get(socket);
    if (passage === undefined) throw new Error("a connection that was not accepted here");
    return passage;
  };
  const forwarder = createForwarder(values.name, passageOf, pick);

  const accept = (socket: Socket, source: string | undefined): void => {
    const peer = makeEndpoint(socket.remoteAddress, socket.remotePort);
    const log = (why: string): void => void process.stderr.write(`${proxyName}: ${formatEndpoint(peer)}: ${why}\n`);
    socket.on("error", () => {}); // without a listener a reset would end the process
    let original: Endpoint;
    try {
      original = originalDestination(socket);
    } catch (error) {
      log(`refused: no original destination: ${(error as Error).message}`);
      socket.resetAndDestroy();
      return;
    }
    if (leadsHere(original, listeners)) {
      log(`refused: its original destination ${formatEndpoint(original)} is the proxy itself`);
      socket.resetAndDestroy();
      return;
    }
    passages.set(socket, { original, peer, source });
    sniff(socket, (kind) => {
      if (kind === "tcp") return splice(socket, pick(original), source, log);
      forwarder.emit("connection", socket);
      socket.resume();
    });
  };

  const open = (at: Endpoint, source: string | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => accept(socket, source));
      server.once("error", reject).listen(at.port, at.address, resolve);
    });
  await Promise.all([
    ...outbound.map((at) => open(at, undefined)),
    ...inbound.map((at) => open(at, passthroughSource)),
  ]);
  process.stdout.write(`${proxyName} listens on ${listeners.map(formatEndpoint).join(", ")}\n`);
}
