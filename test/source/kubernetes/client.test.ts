import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ApiError, type Client, openClient } from "../../../src/source/kubernetes/client.js";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function withServer(answer: Answer, use: (client: Client) => Promise<void>): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const request = { headers: { Authorization: "Bearer t" } };
  try {
    await use(openClient(async () => ({ server: new URL(`http://127.0.0.1:${port}`), request }), "shunt/9"));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
const signal = new AbortController().signal;
const get = { path: "/api", silence: 60_000, signal };
const reader = { silence: 60_000, onOpen() {}, onLine() {} };
const refused = async (promise: Promise<unknown>): Promise<ApiError> =>
  await promise.then(
    () => assert.unreachable() as never,
    (error: ApiError) => error,
  );

test("what is sent", () =>
  withServer(
    async (request, response) => {
      const { method, url, headers } = request;
      let body = "";
      for await (const chunk of request) body += String(chunk);
      response.end(JSON.stringify({ method, url, body, agent: headers["user-agent"], who: headers.authorization }));
    },
    async (client) => {
      const who = { agent: "shunt/9", who: "Bearer t" };
      const query = { fieldSelector: "spec.nodeName=a", limit: "5" };
      const url = "/api?fieldSelector=spec.nodeName%3Da&limit=5";
      assert.equal(await client.json({ ...get, query }), { method: "GET", url, body: "", ...who });
      const sent = await client.json({ ...get, method: "POST", body: { a: "ü" } });
      assert.equal(sent, { method: "POST", url: "/api", body: '{"a":"ü"}', ...who });
    },
  ));

test("a refusal tells the server's words, reason and wish", () =>
  withServer(
    (request, response) => {
      if (request.url === "/proxy") response.writeHead(502).end("<html>");
      else if (request.url === "/nonsense") response.end("<html>");
      else {
        response.writeHead(429, { "Retry-After": "3" });
        response.end(JSON.stringify({ kind: "Status", reason: "TooManyRequests", message: "later" }));
      }
    },
    async (client) => {
      const error = await refused(client.json(get));
      assert.equal(
        [error.status, error.reason, error.message, error.retryAfter],
        [429, "TooManyRequests", "later", 3000],
      );
      const lines = await refused(client.lines(get, reader));
      assert.is(lines.status, 429);
      const proxy = await refused(client.json({ ...get, path: "/proxy" }));
      assert.equal([proxy.status, proxy.message, proxy.retryAfter], [502, "502 Bad Gateway", 0]);
      assert.instance(await refused(client.json({ ...get, path: "/nonsense" })), SyntaxError);
    },
  ));

test("silence ends a request: before the answer, within it, and between lines", () =>
  withServer(
    (request, response) => {
      if (request.url === "/never") return;
      response.write(request.url === "/lines" ? '{"a":1}\n{"b"' : '{"a"');
    },
    async (client) => {
      const silent = { ...get, silence: 50 };
      assert.match((await refused(client.json({ ...silent, path: "/never" }))).message, "no answer for 0.05 s");
      assert.match((await refused(client.json({ ...silent, path: "/half" }))).message, "no answer for 0.05 s");
      const seen: string[] = [];
      let opened = 0;
      const onOpen = (): void => {
        opened++;
      };
      const reading = client.lines(
        { ...get, path: "/lines" },
        { silence: 2000, onOpen, onLine: (line) => seen.push(line) },
      );
      assert.match((await refused(reading)).message, "no answer for 2 s");
      assert.equal([seen, opened], [['{"a":1}'], 1]);
    },
  ));

test("lines end with the answer; a connection that breaks is an error", () =>
  withServer(
    (request, response) => {
      response.write("1\n2\n");
      if (request.url === "/end") response.end();
      else setTimeout(() => response.destroy(), 10);
    },
    async (client) => {
      const seen: string[] = [];
      await client.lines({ ...get, path: "/end" }, { ...reader, onLine: (line) => seen.push(line) });
      assert.equal(seen, ["1", "2"]);
      await refused(client.lines({ ...get, path: "/break" }, reader));
    },
  ));

test("a request that is called off", () =>
  withServer(
    () => {},
    async (client) => {
      const ended = new AbortController();
      const asking = client.json({ ...get, signal: ended.signal });
      ended.abort();
      assert.is((await refused(asking)).name, "AbortError");
    },
  ));

test.run();
