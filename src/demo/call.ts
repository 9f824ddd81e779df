import { request } from "node:http";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { formatEndpoint, makeEndpoint } from "../model/endpoint.js";

/** What a call got, and how the connection looked to the caller. Fields that a header fills are "" without it. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Header `server`: the workload's own name, or the proxy's. */
  readonly server: string;
  readonly via: string;
  /** Where the proxy was told that the connection was going. */
  readonly originalDestination: string;
  /** Us, as the proxy saw us. */
  readonly peer: string;
  /** getpeername: whom we think that we talk to. */
  readonly peerAsked: string;
  /** getsockname. */
  readonly local: string;
  /** Milliseconds from connect to the last byte. */
  readonly ms: number;
}

export interface NoAnswer {
  /** The errno's name (`ECONNREFUSED`, `ECONNRESET`), or `ETIMEDOUT` when the time is over. */
  readonly error: string;
  readonly ms: number;
}

/** One GET over a connection of its own. @param timeout milliseconds. Never rejects. @throws TypeError for a bad URL. */
export function call(url: string, timeout: number): Promise<Answer | NoAnswer> {
  const asked = request(url, { agent: false, signal: AbortSignal.timeout(timeout) });
  const began = performance.now();
  const passed = (): number => Math.round((performance.now() - began) * 1000) / 1000;
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const code = error.name === "AbortError" ? "ETIMEDOUT" : (error.code ?? error.message);
      resolve({ error: code, ms: passed() });
    };
    let ends = { peerAsked: "", local: "" };
    asked.once("socket", (socket) =>
      socket.once("connect", () => {
        // Asked now: a closed socket has forgotten.
        const { remoteAddress, remotePort, localAddress, localPort } = socket;
        ends = {
          peerAsked: formatEndpoint(makeEndpoint(remoteAddress, remotePort)),
          local: formatEndpoint(makeEndpoint(localAddress, localPort)),
        };
      }),
    );
    asked.once("error", fail);
    asked.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.once("error", fail);
      const header = (name: string): string => String(response.headers[name] ?? "");
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          body,
          server: header("server"),
          via: header("via"),
          originalDestination: header("x-original-destination"),
          peer: header("x-peer"),
          ...ends,
          ms: passed(),
        }),
      );
    });
    asked.end();
  });
}

/** `[--timeout MS] URL`: prints an {@link Answer} or {@link NoAnswer} as one line of JSON. No answer is no failure. */
export async function runCall(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { timeout: { type: "string", default: "5000" } },
  });
  const [url, ...more] = positionals;
  if (url === undefined || more.length > 0) throw new RangeError("one URL is needed");
  process.stdout.write(`${JSON.stringify(await call(url, Number(values.timeout)))}\n`);
}
