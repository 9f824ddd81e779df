import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream";
import { type Endpoint, formatEndpoint } from "../model/endpoint.js";

export const proxyName = "shunt-demo-proxy";

/** A connection that the proxy took, as far as it is known before its first byte. */
export interface Passage {
  /** Where the application was going. */
  readonly original: Endpoint;
  /** The application, as the proxy sees it. */
  readonly peer: Endpoint | undefined;
  /** Source address towards the workload; the kernel's choice if undefined. */
  readonly source: string | undefined;
}

/** RFC 9110, section 7.6.1, and what Node sets itself. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Forwards HTTP/1.1, one request at a time, over a new connection each. Answers 503 where the workload does not.
 * Connections are handed over with `emit("connection", socket)`.
 * @param name for the header `via`: it tells one proxy of a chain from the next.
 * @param passageOf what is known of a connection that was handed over.
 */
export function createForwarder(
  name: string,
  passageOf: (socket: Socket) => Passage,
  pick: (original: Endpoint) => Endpoint,
): Server {
  return createServer((incoming, response) => {
    const passage = passageOf(incoming.socket);
    const seen = [
      ["server", proxyName],
      ["via", `1.1 ${name}`],
      ["x-original-destination", formatEndpoint(passage.original)],
      ["x-peer", formatEndpoint(passage.peer)],
    ];
    forward(incoming, response, pick(passage.original), passage.source, seen.flat());
  });
}

function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  to: Endpoint,
  source: string | undefined,
  seen: readonly string[],
): void {
  // A body whose end the client marks with chunks must keep a mark, whatever the method.
  const framing = incoming.headers["transfer-encoding"] === undefined ? [] : ["transfer-encoding", "chunked"];
  const upstream = request({
    host: to.address,
    port: to.port,
    agent: false,
    method: incoming.method,
    path: incoming.url,
    headers: [...endToEnd(incoming.rawHeaders), ...framing] as never, // a flat list is taken too; the types are behind
    ...(source !== undefined && { localAddress: source }),
  });
  upstream.once("response", (answer) => {
    const headers = endToEnd(answer.rawHeaders, "server");
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", [...headers, ...seen]);
    pipeline(answer, response, () => {}); // closes the other side when one breaks
  });
  upstream.on("error", (error: NodeJS.ErrnoException) => {
    // The workload may answer and close without reading the request to its end; a broken answer is the pipeline's.
    if (response.headersSent) return;
    response.writeHead(503, [...seen, "content-type", "text/plain", "connection", "close"]);
    response.end(`${proxyName}: ${formatEndpoint(to)}: ${error.code ?? error.message}\n`);
  });
  response.once("close", () => upstream.destroy());
  incoming.pipe(upstream);
}

/** A flat list of names and values without those that are for one hop (or `without`). */
function endToEnd(raw: readonly string[], without = ""): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = [raw[i], raw[i + 1]];
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && lower !== without) kept.push(name, value);
  }
  return kept;
}
