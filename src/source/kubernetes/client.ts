/** Requests to the API server, each with a watch on its own silence: a connection may be dead and not say so. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Access, GetAccess } from "./access.js";
import { lineSplitter } from "./lines.js";

/** The API server said no. */
export class ApiError extends Error {
  /**
   * @param status of HTTP, or the code in a Status object. @param reason `Forbidden`, `Expired`…; "" if none.
   * @param retryAfter ms that the server asks for; 0 if it does not.
   */
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
    readonly retryAfter: number = 0,
  ) {
    super(message);
  }
}

/** Not a byte came for longer than was allowed. */
export class Silence extends Error {}

export interface ApiRequest {
  readonly method?: "GET" | "POST" | "PATCH";
  /** `/api/v1/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; JSON by default. */
  readonly contentType?: string;
  /** ms without a byte until the request is given up. */
  readonly silence: number;
  readonly signal: AbortSignal;
}

export interface Client {
  /** @throws ApiError, Silence, or what kept the request from being answered. */
  json(request: ApiRequest): Promise<unknown>;
  /** Hands each line of the answer on as it comes; resolves when the server ends it. @throws as `json` does. */
  lines(request: ApiRequest, reader: LineReader): Promise<void>;
}

export interface LineReader {
  /** ms without a byte, once the answer has begun. */
  readonly silence: number;
  /** The answer has begun. */
  onOpen(): void;
  onLine(line: string): void;
}

/** Bytes of an answer. A list comes in pages, and this is much more than one. */
const largestBody = 128 * 1024 * 1024;

/** @param userAgent `shunt/1.2.3`, for the server's logs. */
export function openClient(access: GetAccess, userAgent: string): Client {
  const exchange = async <T>(
    request: ApiRequest,
    use: (response: IncomingMessage, alive: () => void) => Promise<T>,
    silence = request.silence,
  ): Promise<T> => {
    const silent = new AbortController();
    let limit = request.silence;
    let timer = setTimeout(() => silent.abort(), limit);
    const signal = AbortSignal.any([request.signal, silent.signal]);
    try {
      const response = await send(await access(), userAgent, request, signal);
      clearTimeout(timer);
      limit = silence;
      timer = setTimeout(() => silent.abort(), limit);
      return await use(response, () => timer.refresh());
    } catch (error) {
      if (silent.signal.aborted) throw new Silence(`no answer for ${limit / 1000} s`);
      throw error;
    } finally {
      clearTimeout(timer);
      silent.abort(); // whatever is left of the connection
    }
  };
  return {
    json: (request) =>
      exchange(request, async (response, alive) => {
        const text = await readBody(response, alive);
        if (!isSuccess(response)) throw refusal(response, text);
        return JSON.parse(text) as unknown;
      }),
    lines: (request, { silence, onOpen, onLine }) => {
      const read = async (response: IncomingMessage, alive: () => void): Promise<void> => {
        if (!isSuccess(response)) throw refusal(response, await readBody(response, alive));
        onOpen();
        const split = lineSplitter();
        for await (const chunk of response) {
          alive();
          for (const line of split(chunk as Buffer)) onLine(line);
        }
      };
      return exchange(request, read, silence);
    },
  };
}

function send(
  { server, request: options }: Access,
  userAgent: string,
  request: ApiRequest,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const url = new URL(server);
  url.pathname = url.pathname.replace(/\/$/, "") + request.path;
  url.search = new URLSearchParams(request.query).toString();
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  const headers = {
    ...options.headers,
    Accept: "application/json",
    "User-Agent": userAgent,
    ...(body === undefined
      ? {}
      : { "Content-Type": request.contentType ?? "application/json", "Content-Length": Buffer.byteLength(body) }),
  };
  const begin: typeof httpRequest = url.protocol === "http:" ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const all: RequestOptions = { ...options, method: request.method ?? "GET", headers, signal };
    const sent = begin(url, all, resolve);
    // A connection that idles for minutes is nobody's to drop: NAT and load balancers see it live.
    sent.once("socket", (socket) => socket.setKeepAlive(true, 30_000));
    sent.on("error", reject);
    sent.end(body);
  });
}

async function readBody(response: IncomingMessage, alive: () => void): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    alive();
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > largestBody) throw new RangeError(`an answer of more than ${largestBody} bytes`);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

function refusal(response: IncomingMessage, text: string): ApiError {
  const status = response.statusCode ?? 0;
  const seconds = Number(response.headers["retry-after"]);
  const { reason, message } = statusOf(text);
  const said = message || `${status} ${response.statusMessage ?? ""}`.trim();
  return new ApiError(status, reason, said, seconds > 0 ? seconds * 1000 : 0);
}

/** A Status object as text; anything else may come from a proxy in between. */
function statusOf(text: string): { reason: string; message: string } {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: unknown; message?: unknown };
    return {
      reason: typeof reason === "string" ? reason : "",
      message: typeof message === "string" ? message.slice(0, 300) : "",
    };
  } catch {
    return { reason: "", message: "" };
  }
}
