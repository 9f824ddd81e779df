import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Problem } from "../../../src/model/problem.js";
import { ApiError } from "../../../src/source/kubernetes/client.js";
import { type EventOptions, type EventReporter, eventOf, openEvents } from "../../../src/source/kubernetes/events.js";
import { type FakeClient, fakeClient } from "./fakeClient.js";
import { until } from "./kit.js";

const object = (name: string) => ({ apiVersion: "v1", kind: "Pod", namespace: "shop", name, uid: `uid-${name}` });
const problem = (name: string, value = "80,"): Problem => ({
  kind: "annotation",
  where: "",
  pod: `shop/${name}`,
  key: "excludeOutboundPorts",
  value,
  why: "an empty item",
});

async function withEvents(
  answer: Parameters<typeof fakeClient>[0],
  limits: EventOptions["limits"],
  use: (events: EventReporter, client: FakeClient, refused: readonly string[]) => Promise<void>,
): Promise<void> {
  const client = fakeClient(answer);
  const refused: string[] = [];
  const events = openEvents({
    client,
    node: "here",
    find: ({ pod }) => (pod === "" ? undefined : object(pod.slice("shop/".length))),
    onRefused: (why) => refused.push(why),
    ...(limits === undefined ? {} : { limits }),
  });
  try {
    await use(events, client, refused);
  } finally {
    events.close();
  }
}

test("an Event says what, why, of which pod, and who says so", () => {
  const event = eventOf(problem("a"), object("a"), "here", new Date("2026-01-02T03:04:05.678Z"));
  const { metadata, ...rest } = event as { metadata: { name: string; namespace: string } };
  assert.match(metadata.name, /^a\.[0-9a-f]{16}$/);
  assert.is(metadata.namespace, "shop");
  assert.equal(rest, {
    apiVersion: "v1",
    kind: "Event",
    involvedObject: object("a"),
    type: "Warning",
    reason: "BadAnnotation",
    message: 'excludeOutboundPorts="80,": an empty item',
    source: { component: "shunt", host: "here" },
    reportingComponent: "shunt.dev/agent",
    reportingInstance: "here",
    firstTimestamp: "2026-01-02T03:04:05Z",
    lastTimestamp: "2026-01-02T03:04:05Z",
    count: 1,
  });
});

const many = { burst: 100, interval: 1000, renewal: 60_000 };

test("each problem is told once, while it stands and when it comes back; one without an object never", () =>
  withEvents(
    () => ({}),
    many,
    async (events, client) => {
      const nobody = { ...problem("x"), pod: "" };
      events.update([problem("a"), problem("b"), nobody]);
      events.update([problem("a"), problem("b"), nobody]);
      await until(() => client.requests.length === 2);
      events.update([]);
      events.update([problem("a"), problem("a", "81,")]);
      await until(() => client.requests.length === 3);
      await sleep(20);
      assert.is(client.requests.length, 3);
      assert.is(client.requests[0]?.path, "/api/v1/namespaces/shop/events");
    },
  ));

test("one that stands is told again after the server forgot it", () =>
  withEvents(
    () => ({}),
    { ...many, renewal: 30 },
    async (events, client) => {
      // What renews does not keep a process alive; this does.
      const alive = setInterval(() => {}, 1000);
      events.update([problem("a")]);
      await until(() => client.requests.length >= 3);
      clearInterval(alive);
    },
  ));

test("more than the burst wait for their turn", () =>
  withEvents(
    () => ({}),
    { burst: 2, interval: 40, renewal: 60_000 },
    async (events, client) => {
      const begin = performance.now();
      events.update(["a", "b", "c", "d"].map((name) => problem(name)));
      await until(() => client.requests.length === 4);
      assert.ok(performance.now() - begin >= 75, "two at once, two more in 40 ms each");
    },
  ));

test("a server that is away is asked again; a refusal stays one, and one that is there already is no refusal", () =>
  withEvents(
    (_request, count) => {
      if (count === 1) throw new Error("connect ECONNREFUSED");
      if (count === 2) throw new ApiError(403, "Forbidden", "events is forbidden");
      if (count === 3) throw new ApiError(409, "AlreadyExists", "it is there");
      return {};
    },
    many,
    async (events, client, refused) => {
      events.update([problem("a"), problem("b"), problem("c")]);
      await until(() => client.requests.length === 4);
      await sleep(20);
      assert.is(client.requests.length, 4);
      assert.equal(refused, ["events is forbidden"]);
    },
  ));

test.run();
