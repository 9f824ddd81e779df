import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { accessTo, isInCluster } from "../../../src/source/kubernetes/access.js";
import { openClient } from "../../../src/source/kubernetes/client.js";
import { openApiDouble } from "./apiDouble.js";
import { makeCertificate } from "./certificate.js";
import { kubeconfigText, scratch } from "./clusterBed.js";

const server = "https://127.0.0.1:1";

async function withFiles(use: (files: ReturnType<typeof scratch>) => Promise<void>): Promise<void> {
  const files = scratch();
  try {
    await use(files);
  } finally {
    files.remove();
  }
}
const authorization = async (access: ReturnType<typeof accessTo>): Promise<unknown> =>
  Reflect.get((await access()).request.headers ?? {}, "Authorization");

test("a token in a file is read anew each time, without its line feed", () =>
  withFiles(async (files) => {
    const tokenFile = files.write("token", "one\n");
    const access = accessTo(files.write("config", kubeconfigText({ server, tokenFile, cluster: {} })));
    assert.is(await authorization(access), "Bearer one");
    files.write("token", "two\n");
    assert.is(await authorization(access), "Bearer two");
    assert.is((await access()).server.href, `${server}/`);
  }));

test("a certificate authority that is replaced is read anew", () =>
  withFiles(async (files) => {
    const tokenFile = files.write("token", "one");
    const cluster = { "certificate-authority": files.write("ca", "first") };
    const access = accessTo(files.write("config", kubeconfigText({ server, tokenFile, cluster })));
    assert.is(`${(await access()).request.ca}`, "first");
    files.write("ca", "second");
    assert.is(`${(await access()).request.ca}`, "second");
  }));

test("in a pod: kubelet's files and environment, an IPv6 address too", () =>
  withFiles(async (files) => {
    const account = "var/run/secrets/kubernetes.io/serviceaccount";
    const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
    assert.not.ok(isInCluster(env, files.path("")), "no token");
    mkdirSync(files.path(account), { recursive: true });
    files.write(join(account, "token"), "mine");
    files.write(join(account, "ca.crt"), "authority");
    assert.ok(isInCluster(env, files.path("")));
    assert.not.ok(isInCluster({}, files.path("")), "no address");
    const before = { ...process.env };
    Object.assign(process.env, env);
    try {
      const access = accessTo(undefined, files.path(""));
      assert.is((await access()).server.href, "https://[fd00::1]/");
      assert.is(await authorization(access), "Bearer mine");
      assert.is(`${(await access()).request.ca}`, "authority");
    } finally {
      for (const name of Object.keys(env)) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  }));

test("a file that names no cluster, and one that is not there", () =>
  withFiles(async (files) => {
    const empty = files.write("config", "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n");
    const why = (path: string): Promise<string> =>
      accessTo(path)().then(
        () => "",
        (error: Error) => error.message,
      );
    assert.match(await why(empty), /names no cluster/);
    assert.match(await why("/nonexistent/config"), /ENOENT.*\/nonexistent\/config/);
  }));

/** A proxy in this process that leads to one place, whatever it is asked for. @param use gets its port and what it was asked for. */
async function withProxy(host: string, port: number, use: (port: number, asked: readonly string[]) => Promise<void>) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer().on("connect", (request, near: Socket) => {
    asked.push(request.url ?? "");
    const far = connect(port, host, () => near.write("HTTP/1.1 200 Connection established\r\n\r\n"));
    for (const socket of [near, far]) sockets.add(socket.on("error", () => {}));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  try {
    await use(portOf(proxy), asked);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  }
}
const portOf = (server: { address(): unknown }): number => (server.address() as { port: number }).port;
const get = (access: ReturnType<typeof accessTo>, path: string): Promise<unknown> =>
  openClient(access, "test").json({ path, silence: 30_000, signal: new AbortController().signal });

test("an IPv6 address, and through a proxy", () =>
  withFiles(async (files) => {
    const api = createServer((request, response) => response.end(JSON.stringify({ path: request.url })));
    await new Promise<void>((resolve) => api.listen(0, "::1", resolve));
    const tokenFile = files.write("token", "one");
    const at = (host: string, more: object): ReturnType<typeof accessTo> => {
      const cluster = { "insecure-skip-tls-verify": true, ...more };
      const server = `http://${host}:${portOf(api)}/prefix/`;
      return accessTo(files.write("config", kubeconfigText({ server, tokenFile, cluster })));
    };
    try {
      await withProxy("::1", portOf(api), async (port, asked) => {
        assert.equal(await get(at("[::1]", {}), "/version"), { path: "/prefix/version" });
        assert.equal(asked, []);
        const through = { "proxy-url": `http://127.0.0.1:${port}` };
        assert.equal(await get(at("api.example", through), "/version"), { path: "/prefix/version" });
        assert.equal(asked, [`api.example:${portOf(api)}`]);
      });
    } finally {
      await new Promise((resolve) => api.close(resolve));
    }
  }));

test("through the proxy that the environment names, to a server that has to prove who it is", () =>
  withFiles(async (files) => {
    const certificate = makeCertificate();
    const double = await openApiDouble({ bookmarks: 60_000, certificate });
    double.tokens.add("one");
    files.write("ours", certificate.cert);
    files.write("another", makeCertificate().cert);
    const at = (authority: string, env: NodeJS.ProcessEnv): ReturnType<typeof accessTo> => {
      const cluster = { "certificate-authority": files.path(authority) };
      const tokenFile = files.write("token", "one");
      return accessTo(
        files.write("config", kubeconfigText({ server: "https://api.example:6443", tokenFile, cluster })),
        "",
        env,
      );
    };
    try {
      await withProxy("127.0.0.1", double.port, async (port, asked) => {
        const env = { HTTPS_PROXY: `127.0.0.1:${port}` };
        const { items } = (await get(at("ours", env), "/api/v1/pods")) as { items: unknown };
        assert.equal(items, []);
        assert.equal(asked, ["api.example:6443"]);
        assert.equal(double.requests, ["GET /api/v1/pods"]);
        const why = await get(at("another", env), "/api/v1/pods").then(
          () => "",
          (error: Error) => error.message,
        );
        assert.match(why, "certificate");
        assert.is(double.requests.length, 1);
        const { server, request } = await at("ours", { ...env, NO_PROXY: ".example" })();
        assert.is(server.hostname, "api.example");
        assert.not.ok("proxy" in (request.agent as object));
      });
    } finally {
      await double.close();
    }
  }));

test.run();
