/** What a command asks of the agent that runs, over its control socket. */
import { type IncomingMessage, request } from "node:http";
import { NodeError, UsageError } from "../errors.js";

/** Where the agent listens unless `--control` says otherwise. */
export const defaultControl = "/run/shunt/agent.sock";

/** Bytes of a path that bind() and connect() take: sun_path without its NUL. Node cuts a longer one without a word. */
export const longestPath = 107;

/** That no agent answers is an outcome: whoever asks may have the pins to read instead. */
export type NoAgent = { readonly agent: false /** In a sentence's words. */; readonly why: string };
export type Asked = NoAgent | { readonly agent: true; readonly pid: number | undefined; readonly body: unknown };
export type FlowLines =
  | NoAgent
  | {
      readonly agent: true;
      readonly pid: number | undefined;
      /** JSON, one a flow or a loss. Ends when the agent does, or with the signal; never throws for either. */
      readonly lines: AsyncIterable<string>;
    };

/** The agent is there, and what it says is no answer. */
export class AgentError extends Error {}

/** @throws UsageError if no socket can have this path. */
export function checkPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > longestPath)
    throw new UsageError(`--control ${path}: ${bytes} bytes; the path of a socket has at most ${longestPath}`);
}

interface Response {
  readonly response: IncomingMessage;
  readonly pid: number | undefined;
}

/** @returns the answer's head. @throws NodeError without the permission, AgentError after `timeout` ms of silence. */
function open(
  path: string,
  target: string,
  options: { readonly timeout: number; readonly signal?: AbortSignal },
): Promise<NoAgent | Response> {
  checkPath(path);
  return new Promise((resolve, reject) => {
    const { timeout, signal } = options;
    const asked = request({ socketPath: path, path: target, agent: false, ...(signal && { signal }) });
    const timer = setTimeout(() => {
      asked.destroy(new AgentError(`the agent at ${path} does not answer: nothing in ${timeout} ms`));
    }, timeout);
    asked.once("response", (response: IncomingMessage) => {
      clearTimeout(timer);
      const pid = Number(response.headers["shunt-pid"]);
      resolve({ response, pid: Number.isInteger(pid) && pid > 0 ? pid : undefined });
    });
    // Also after the answer's head: what cuts the body short shows there.
    asked.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (error.code === "ENOENT" || error.code === "ENOTDIR") resolve({ agent: false, why: `nothing is at ${path}` });
      else if (error.code === "ECONNREFUSED") resolve({ agent: false, why: `nobody listens at ${path}` });
      else if (error.code === "EACCES" || error.code === "EPERM")
        reject(new NodeError(`the agent's control socket ${path} is its owner's alone: run this as root`));
      else if (error instanceof AgentError || error.name === "AbortError") reject(error);
      else reject(new AgentError(`the agent at ${path} broke off: ${error.message}`));
    });
    asked.end();
  });
}

async function text(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * One question, such as `/status`.
 * @param timeout ms until the answer begins.
 * @throws NodeError without the permission to ask; AgentError if what answers is not an agent, refuses or is silent.
 */
export async function askAgent(path: string, target: string, timeout = 15_000): Promise<Asked> {
  const opened = await open(path, target, { timeout });
  if ("agent" in opened) return opened;
  const { response, pid } = opened;
  let body: string;
  try {
    body = await text(response);
  } catch {
    throw new AgentError(`the agent at ${path} ended while it answered`);
  }
  if (response.statusCode !== 200) throw new AgentError(`the agent at ${path} refuses: ${body.trim()}`);
  try {
    return { agent: true, pid, body: JSON.parse(body) as unknown };
  } catch {
    throw new AgentError(`what answers at ${path} is not an agent of shunt`);
  }
}

async function* splitLines(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  try {
    response.setEncoding("utf8");
    for await (const chunk of response) {
      const parts = (rest + (chunk as string)).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } catch {
    // The agent ended, or the signal came. Half a line is none.
  }
}

/** @param query as in {@link readFlowQuery}. @param signal ends the stream. @throws as {@link askAgent}. */
export async function openFlows(path: string, query: URLSearchParams, signal: AbortSignal): Promise<FlowLines> {
  const opened = await open(path, `/flows?${query}`, { timeout: 15_000, signal });
  if ("agent" in opened) return opened;
  const { response, pid } = opened;
  if (response.statusCode !== 200)
    throw new AgentError(`the agent at ${path} refuses: ${(await text(response)).trim()}`);
  return { agent: true, pid, lines: splitLines(response) };
}
