import { test } from "uvu";
import * as assert from "uvu/assert";
import { ApiError } from "../../../src/source/kubernetes/client.js";
import { removeTaint, taintKey } from "../../../src/source/kubernetes/taint.js";
import { fakeClient } from "./fakeClient.js";

const other = { key: "other", effect: "NoSchedule" };
const ours = { key: taintKey, effect: "NoSchedule" };
const node = (...taints: readonly object[]) => ({ spec: { taints } });

async function remove(answer: Parameters<typeof fakeClient>[0]) {
  const client = fakeClient(answer);
  const said: string[] = [];
  await removeTaint({
    client,
    node: "a b",
    signal: new AbortController().signal,
    onRemoved: () => said.push("removed"),
    onTrouble: (why) => said.push(why),
    times: { first: 1, longest: 2, silence: 1000 },
  });
  return { said, requests: client.requests };
}

test("ours goes, with either effect, and nobody else's", async () => {
  const taints = node(ours, other, { ...ours, effect: "NoExecute" });
  const { said, requests } = await remove(({ method }) => (method === undefined ? taints : {}));
  assert.equal(said, ["removed"]);
  assert.is(requests[1]?.path, "/api/v1/nodes/a%20b");
  assert.is(requests[1]?.contentType, "application/json-patch+json");
  assert.equal(requests[1]?.body, [
    { op: "test", path: "/spec/taints/2/key", value: taintKey },
    { op: "remove", path: "/spec/taints/2" },
    { op: "test", path: "/spec/taints/0/key", value: taintKey },
    { op: "remove", path: "/spec/taints/0" },
  ]);
});

test("a node without it is read once and left alone", async () => {
  for (const without of [node(), node(other), {}]) {
    const { said, requests } = await remove(() => without);
    assert.equal([said, requests.length], [[], 1]);
  }
});

test("a list that changed meanwhile is read again; a refusal is said once", async () => {
  const { said, requests } = await remove((_request, count) => {
    if (count <= 2) throw new ApiError(403, "Forbidden", "nodes is forbidden");
    if (count === 3) return node(ours);
    if (count === 4) throw new ApiError(422, "Invalid", "test failed");
    return count === 5 ? node(other, ours) : {};
  });
  assert.equal(said, ["nodes is forbidden", "removed"]);
  assert.is(requests.length, 6);
});

test.run();
