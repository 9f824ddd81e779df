import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Status } from "../../src/model/status.js";
import { agentRoutes } from "../../src/web/routes.js";
import { status } from "../metrics/kit.js";

const metrics = { contentType: "text/plain; version=0.0.4", scrape: async () => "a 1\n" };
const ask = async (path: string, said: Status | undefined) => agentRoutes({ metrics, status: () => said })[path]?.();

test("metrics, with their type", async () => {
  assert.equal(await ask("/metrics", undefined), { type: "text/plain; version=0.0.4", body: "a 1\n" });
});

test("healthy from the start, ready when pods are steered, and in words why not", async () => {
  assert.equal(await ask("/healthz", undefined), { body: "ok\n" });
  assert.equal(await ask("/readyz", undefined), { status: 503, body: "not ready: the programs are being loaded\n" });
  assert.equal(await ask("/readyz", status({ ready: false })), {
    status: 503,
    body: "not ready: manifests /pods is being read: the programs are not attached yet\n",
  });
  assert.equal(await ask("/readyz", status()), { body: "ready\n" });
});

test("a source that cannot be read later does not take readiness away: pods keep what they have", async () => {
  const source = { name: "manifests /pods", synced: false, lastEvent: 0 };
  assert.equal(await ask("/readyz", status({ source })), { body: "ready\n" });
});

test.run();
