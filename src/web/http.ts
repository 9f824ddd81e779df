/** A small HTTP server for fixed paths: metrics and probes. Reads nothing but the request line. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Listen } from "./listen.js";

export interface Answer {
  /** 200 if absent. */
  readonly status?: number;
  /** Plain text if absent. */
  readonly type?: string;
  readonly body: string;
}

/** By path: `/metrics`. */
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>;

export interface HttpOptions extends Listen {
  readonly routes: Routes;
  /** A route threw: the client is told 500 and no more. */
  onError(path: string, error: Error): void;
}

export interface HttpServer {
  /** `127.0.0.1:15099`, with the port that was taken where 0 was asked for. */
  readonly address: string;
  /** Ends every connection, those that are kept open included. Resolves when the port is free. */
  close(): Promise<void>;
}

const plain = "text/plain; charset=utf-8";

/** Of one line. */
function links(paths: readonly string[]): Answer {
  const body = paths.map((path) => `<a href="${path}">${path}</a>`).join(" ");
  return { type: "text/html; charset=utf-8", body: `<!doctype html><title>shunt</title>${body}\n` };
}

async function answer({ routes, onError }: HttpOptions, method: string, path: string): Promise<Answer> {
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return { status: 404, body: "not found\n" };
  if (method !== "GET" && method !== "HEAD") return { status: 405, body: "only GET and HEAD\n" };
  try {
    return await route();
  } catch (error) {
    onError(path, error as Error);
    return { status: 500, body: "failed: the agent's log says why\n" };
  }
}

/** @throws Error that names address and flag if it cannot listen there. */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, port } = options;
  const routes = { "/": () => links(Object.keys(options.routes)), ...options.routes };
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const [path = ""] = (request.url ?? "").split("?");
    const { status = 200, type = plain, body } = await answer({ ...options, routes }, request.method ?? "", path);
    response.writeHead(status, {
      "content-type": type,
      "content-length": Buffer.byteLength(body),
      "x-content-type-options": "nosniff",
      ...(status === 405 ? { allow: "GET, HEAD" } : {}),
    });
    // Node leaves the body out of the answer to HEAD.
    response.end(body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const where = formatAddress(host ?? "", port);
      const why = error.code === "EADDRINUSE" ? "another process listens there" : error.message;
      reject(new Error(`cannot listen on ${where}: ${why}. Choose another address with --listen, or --listen=off.`));
    });
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  const bound = server.address() as AddressInfo;
  return {
    address: formatAddress(host ?? "", bound.port),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
