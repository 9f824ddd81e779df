/** What `npm run build` leaves in dist/: what is loaded only when it is needed is not part of the bundle. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { artifact } from "../../src/kernel/artifact.js";

const path = artifact("shunt.js");
const text = readFileSync(path, "utf8");
const load = createRequire(path);

test("what only a cluster or a terminal needs lies beside the bundle, and not in it", () => {
  const beside = [...text.matchAll(/\brequire\("(\.\/[^"]+)"\)/g)].map(([, name]) => name ?? "");
  assert.equal(beside.sort(), ["./kubeconfig.js", "./pretty.js"]);
  for (const name of beside) assert.ok(existsSync(load.resolve(name)), name);
  const inside = new Set([...text.matchAll(/^\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)/gm)].map(([, name]) => name));
  assert.ok(inside.has("pino"), "as esbuild writes it");
  for (const name of ["@kubernetes/client-node", "pino-pretty"]) assert.not.ok(inside.has(name), name);
});

test("and it is what the agent asks for", async () => {
  const { KubeConfig } = load("./kubeconfig.js") as typeof import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  const token = JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", status: { token: "made" } });
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "echo", args: [token] };
  config.loadFromOptions({
    clusters: [{ name: "here", server: "https://127.0.0.1", skipTLSVerify: false }],
    users: [{ name: "me", exec }],
    contexts: [{ name: "here", cluster: "here", user: "me" }],
    currentContext: "here",
  });
  const request = { headers: {} as Record<string, string> };
  await config.applyToHTTPSOptions(request);
  assert.equal(request.headers, { Authorization: "Bearer made" });
  assert.type(load("./pretty.js"), "function");
});

test.run();
