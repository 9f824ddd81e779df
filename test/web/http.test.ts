/** The server, over real sockets. */
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type HttpOptions, type HttpServer, serveHttp } from "../../src/web/http.js";

type Errors = string[];

function withServer(
  use: (server: HttpServer, errors: Errors) => Promise<void>,
  changes: Partial<HttpOptions> = {},
): () => Promise<void> {
  return async () => {
    const errors: Errors = [];
    const server = await serveHttp({
      host: "127.0.0.1",
      port: 0,
      routes: {
        "/metrics": async () => ({ type: "text/x", body: "ä 1\n" }),
        "/readyz": () => ({ status: 503, body: "not ready\n" }),
        "/broken": () => {
          throw new Error("the map is closed");
        },
      },
      onError: (path, error) => errors.push(`${path}: ${error.message}`),
      ...changes,
    });
    try {
      await use(server, errors);
    } finally {
      await server.close();
    }
  };
}

test(
  "answers with status, type and length",
  withServer(async ({ address }) => {
    const metrics = await fetch(`http://${address}/metrics?x=1`);
    assert.is(metrics.status, 200);
    assert.is(metrics.headers.get("content-type"), "text/x");
    assert.is(metrics.headers.get("content-length"), "5");
    assert.is(await metrics.text(), "ä 1\n");
    const ready = await fetch(`http://${address}/readyz`);
    assert.is(ready.status, 503);
    assert.is(await ready.text(), "not ready\n");
    assert.is(ready.headers.get("content-type"), "text/plain; charset=utf-8");
  }),
);

test(
  "/ is a line of links, other paths are not there",
  withServer(async ({ address }) => {
    const root = await (await fetch(`http://${address}/`)).text();
    assert.is(
      root,
      '<!doctype html><title>shunt</title><a href="/metrics">/metrics</a> <a href="/readyz">/readyz</a> <a href="/broken">/broken</a>\n',
    );
    for (const path of ["/metrics/", "/nothing", "/constructor", "//metrics"]) {
      assert.is((await fetch(`http://${address}${path}`)).status, 404, path);
    }
  }),
);

test(
  "HEAD has no body, everything but GET and HEAD is refused",
  withServer(async ({ address }) => {
    const head = await fetch(`http://${address}/metrics`, { method: "HEAD" });
    assert.is(head.status, 200);
    assert.is(head.headers.get("content-length"), "5");
    assert.is(await head.text(), "");
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const refused = await fetch(`http://${address}/metrics`, { method });
      assert.is(refused.status, 405, method);
      assert.is(refused.headers.get("allow"), "GET, HEAD");
    }
  }),
);

test(
  "a route that throws is a 500 without details, and is reported",
  withServer(async ({ address }, errors) => {
    const answer = await fetch(`http://${address}/broken`);
    assert.is(answer.status, 500);
    assert.is(await answer.text(), "failed: the agent's log says why\n");
    assert.equal(errors, ["/broken: the map is closed"]);
    assert.is((await fetch(`http://${address}/metrics`)).status, 200);
  }),
);

test("close() ends connections that are kept open, idle or in the middle of a request, and frees the port", async () => {
  let reached = (): void => {};
  const asked = new Promise<void>((resolve) => {
    reached = resolve;
  });
  let port = 0;
  await withServer(
    async (server) => {
      port = Number(server.address.split(":")[1]);
      const idle = connect(port, "127.0.0.1").on("error", () => {});
      await once(idle, "connect");
      const slow = request({ host: "127.0.0.1", port, path: "/slow" }).on("error", () => {});
      slow.end();
      await asked;
      // Not once(): a connection that is cut ends with an error first.
      const ends = Promise.all([idle, slow].map((each) => new Promise((resolve) => each.on("close", resolve))));
      const begin = Date.now();
      await server.close();
      await ends;
      assert.ok(Date.now() - begin < 15_000);
    },
    {
      routes: {
        "/slow": () => {
          reached();
          return new Promise(() => {});
        },
      },
    },
  )();
  await withServer(async ({ address }) => assert.is(address, `127.0.0.1:${port}`), { port })();
});

test(
  "a port that is taken: the error names address and flag",
  withServer(async ({ address }) => {
    const port = Number(address.split(":")[1]);
    const error = await serveHttp({ host: "127.0.0.1", port, routes: {}, onError() {} }).catch((why: Error) => why);
    assert.is(
      (error as Error).message,
      `cannot listen on 127.0.0.1:${port}: another process listens there. Choose another address with --listen, or --listen=off.`,
    );
  }),
);

test("an address that is not the machine's: the error names it", async () => {
  const error = await serveHttp({ host: "203.0.113.9", port: 0, routes: {}, onError() {} }).catch((why: Error) => why);
  assert.match((error as Error).message, /^cannot listen on 203\.0\.113\.9:0: .*EADDRNOTAVAIL.*--listen/);
});

test(
  "IPv6, with brackets",
  withServer(
    async ({ address }) => {
      assert.match(address, /^\[::1\]:\d+$/);
      assert.is((await fetch(`http://${address}/metrics`)).status, 200);
    },
    { host: "::1" },
  ),
);

test(
  "without a host, on every address",
  withServer(
    async ({ address }) => {
      assert.match(address, /^:\d+$/);
      for (const host of ["127.0.0.1", "127.0.0.2"]) {
        assert.is((await fetch(`http://${host}${address}/metrics`)).status, 200);
      }
    },
    { host: undefined },
  ),
);

test.run();
