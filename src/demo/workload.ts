import { createServer, type Server } from "node:http";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { formatEndpoint, makeEndpoint } from "../model/endpoint.js";

/**
 * The application of a pod: Istio's helloworld sample, as much of it as the demo needs. Answers with a greeting,
 * and at /peer with the two ends of the connection as the application sees them.
 */
export function createWorkload(version: string, instance: string): Server {
  return createServer(async (request, response) => {
    // Closing with unread bytes would reset the connection, and could take the answer with it.
    await finished(request.resume()).catch(() => {});
    response.setHeader("server", instance);
    if (request.url !== "/peer") {
      response.setHeader("content-type", "text/plain");
      response.end(`Hello version: ${version}, instance: ${instance}\n`);
      return;
    }
    const { remoteAddress, remotePort, localAddress, localPort } = request.socket;
    const peer = formatEndpoint(makeEndpoint(remoteAddress, remotePort));
    const local = formatEndpoint(makeEndpoint(localAddress, localPort));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ peer, local }));
  });
}

/**
 * `[--host ADDRESS] [--port PORT] [--version v1] [--instance helloworld-v1]`: serves until it is killed.
 * Prints one line when it listens, and resolves.
 */
export async function runWorkload(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      host: { type: "string", default: "0.0.0.0" },
      port: { type: "string", default: "5000" },
      version: { type: "string", default: "v1" },
      instance: { type: "string" },
    },
  });
  const { host, port, version, instance = `helloworld-${version}` } = values;
  const server = createWorkload(version, instance);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(Number(port), host, resolve);
  });
  process.stdout.write(`${instance} listens on ${host}:${port}\n`);
}
