/**
 * The control socket of the agent that runs: HTTP on a unix socket, so that `curl --unix-socket` works.
 *
 *   GET /         {"pid","version"}: at once, also while the agent still starts
 *   GET /status   the status
 *   GET /origin   whose words a reason of the kernel's comes from: ?pod, ?reason and the flags of "shunt explain"
 *   GET /flows    lines of JSON until somebody ends it; ?all=1, ?pod=NAMESPACE/NAME, ?verdict=redirect
 *
 * It is also the lock: who has the path is the agent. Take it before the kernel is touched.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { resolve as absolute } from "node:path";
import { UsageError } from "../errors.js";
import type { FlowStream } from "../events/flowStream.js";
import type { Status } from "../model/status.js";
import { version } from "../version.js";
import { flowLine, lossyLines, podNames, readFlowQuery } from "./controlFlows.js";
import { claimPath, type TakeLock } from "./controlLock.js";

/** What the agent gives when it has started. */
export interface Served {
  status(): Status;
  readonly flows: Pick<FlowStream, "subscribe">;
  /** @throws UsageError for what cannot be asked. @returns null for what nobody writes. */
  origin?(query: URLSearchParams): { readonly rule: string; readonly source: string } | null;
  /** Flows that the ring had no room for, since ever (counter `flow-lost`). */
  flowsLost?(): bigint;
}

export interface Control {
  /** Absolute. */
  readonly path: string;
  /** From now on questions are answered; until then they wait. Call it once. */
  serve(served: Served): void;
  /** Ends every stream and takes the path away. Safe to call twice. */
  close(): Promise<void>;
}

/** ms between two looks at what the ring has lost, while somebody reads flows. */
const lossInterval = 1000;

function answer(response: ServerResponse, code: number, body: unknown): void {
  const json = typeof body !== "string";
  response.writeHead(code, { "content-type": json ? "application/json" : "text/plain" });
  response.end(`${json ? JSON.stringify(body) : body}\n`);
}

function tellOrigin(url: URL, response: ServerResponse, served: Served): void {
  let origin: ReturnType<NonNullable<Served["origin"]>> | undefined;
  try {
    origin = served.origin?.(url.searchParams);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    answer(response, 400, error.message);
    return;
  }
  if (origin === undefined) answer(response, 404, "nobody tells it here");
  else answer(response, 200, origin);
}

function streamFlows(url: URL, response: ServerResponse, served: Served, nameOf: (id: bigint) => string): void {
  let query: ReturnType<typeof readFlowQuery>;
  try {
    query = readFlowQuery(url.searchParams);
  } catch (error) {
    answer(response, 400, (error as Error).message);
    return;
  }
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
  const lines = lossyLines(response);
  const unsubscribe = served.flows.subscribe((flow) => {
    if (query.verdict !== undefined && flow.verdict !== query.verdict) return;
    const pod = nameOf(flow.pod);
    if (query.pod !== undefined && pod !== query.pod) return;
    lines.write(JSON.stringify(flowLine(flow, pod, { wall: Date.now(), monotonic: process.hrtime.bigint() })));
  }, query.all);
  let known = served.flowsLost?.() ?? 0n;
  const timer = setInterval(() => {
    const lost = served.flowsLost?.() ?? 0n;
    if (lost > known) lines.lost(Number(lost - known));
    known = lost;
  }, lossInterval).unref();
  response.once("close", () => {
    unsubscribe();
    clearInterval(timer);
  });
  // Only now: who has the head knows that from here on nothing goes by unseen.
  response.flushHeaders();
}

/**
 * Takes the path and listens.
 * @param path of the socket; relative to the working directory. Mode 0600, its directory 0700 if it is made here.
 * @param lock what locks a file: `Native.lock`.
 * @throws AgentRuns if another agent has it, UsageError if no socket can be there.
 */
export async function openControl(path: string, lock: TakeLock): Promise<Control> {
  let serve: (served: Served) => void = () => {};
  const started = new Promise<Served>((resolve) => {
    serve = resolve;
  });
  let names: ((id: bigint) => string) | undefined;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.setHeader("shunt-pid", process.pid);
    response.setHeader("connection", "close");
    const url = new URL(request.url ?? "/", "http://agent");
    if (request.method !== "GET") answer(response, 405, "GET alone is answered here");
    else if (url.pathname === "/") answer(response, 200, { pid: process.pid, version });
    else if (url.pathname === "/status") answer(response, 200, (await started).status());
    else if (url.pathname === "/flows") {
      const served = await started;
      names ??= podNames(() => served.status());
      if (!response.destroyed) streamFlows(url, response, served, names);
    } else if (url.pathname === "/origin") tellOrigin(url, response, await started);
    else answer(response, 404, "there are /, /status, /origin and /flows");
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: Error) => {
      if (response.headersSent) response.destroy();
      else answer(response, 500, error.message);
    });
  });
  const place = absolute(path);
  let release: () => void;
  try {
    release = await claimPath(server, place, lock);
  } catch (error) {
    server.close();
    throw error;
  }
  // An agent that fails says so and exits: what it leaves would only look like a killed one's.
  process.once("exit", release);
  let closing: Promise<void> | undefined;
  return {
    path: place,
    serve,
    close() {
      closing ??= new Promise((resolve) => {
        // The path first: who comes now finds no agent, not one that goes.
        release();
        process.off("exit", release);
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}
