/**
 * `originClient.ts`: reads one JSON request a line on stdin, makes its connections, answers with one JSON line.
 * Request: {count, parallel, hosts, ports, localAddress?, localPort?, leave?}; connection i goes to hosts[i % n]
 * and ports[i % m], from localPort + i. Answer: {results: [{asked, peer, local, said}]}.
 */
import { connect } from "node:net";
import { createInterface } from "node:readline";

export interface Request {
  readonly count: number;
  readonly parallel: number;
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
  readonly localAddress?: string;
  readonly localPort?: number;
  /** Calls connect() and goes, whatever comes of it. */
  readonly leave?: boolean;
}
export interface Result {
  readonly asked: string;
  /** getpeername(). */
  readonly peer: string;
  /** getsockname(). */
  readonly local: string;
  /** What the other end said, or the errno's name. */
  readonly said: string;
}

function one(request: Request, i: number): Promise<Result> {
  const host = request.hosts[i % request.hosts.length] ?? "";
  const port = request.ports[i % request.ports.length] ?? 0;
  return new Promise((resolve) => {
    const { localAddress, localPort } = request;
    const socket = connect({
      host,
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort: localPort + i }),
    });
    // Node calls connect() in the next tick.
    if (request.leave === true) setImmediate(() => socket.destroy());
    let peer = "";
    let local = "";
    let said = "";
    socket.setTimeout(10_000, () => socket.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
    socket.setEncoding("utf8");
    socket.on("connect", () => {
      peer = `${socket.remoteAddress}:${socket.remotePort}`;
      local = `${socket.localAddress}:${socket.localPort}`;
    });
    socket.on("data", (text) => {
      said += text;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      said = error.code ?? error.message;
    });
    socket.on("close", () => resolve({ asked: `${host}:${port}`, peer, local, said }));
  });
}

async function all(request: Request): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < request.count) results.push(await one(request, next++));
  };
  await Promise.all(Array.from({ length: request.parallel }, worker));
  return results;
}

if (process.argv[1]?.endsWith("originClient.ts")) {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify({ results: await all(JSON.parse(line) as Request) })}\n`);
  }
}
