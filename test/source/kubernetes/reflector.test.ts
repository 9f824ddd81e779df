/** What neither the double nor a real server does on demand; the rest is in source.test.ts. */
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ApiError, type ApiRequest, type LineReader, Silence } from "../../../src/source/kubernetes/client.js";
import { openReflector, type Reflector } from "../../../src/source/kubernetes/reflector.js";
import { type FakeClient, fakeClient } from "./fakeClient.js";
import { quick, until } from "./kit.js";

const object = (name: string, version: number, uid = name) => ({
  metadata: { uid, name, namespace: "", resourceVersion: `${version}` },
});
const page = (version: number, ...items: readonly object[]) => ({ metadata: { resourceVersion: `${version}` }, items });
const event = (type: string, what: object): string => JSON.stringify({ type, object: what });

/** Waits as a watch does in which nothing happens. */
const quiet = ({ signal }: ApiRequest): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });

type Watch = (reader: LineReader, request: ApiRequest, count: number) => Promise<void>;

async function withReflector(
  list: (request: ApiRequest) => unknown,
  watch: Watch,
  use: (reflector: Reflector<string>, client: FakeClient, troubles: readonly string[]) => Promise<void>,
  locate: () => string | undefined = () => "/things",
  goneAfter = 60,
): Promise<void> {
  let watches = 0;
  let last = "";
  const client = fakeClient(list, (reader, request) => watch(reader, request, ++watches));
  const troubles: string[] = [];
  const reflector = openReflector({
    client,
    locate: async () => locate(),
    query: { fieldSelector: "a=b" },
    read: (_document, { name }) => name,
    onChange() {
      const now = reflector.trouble;
      if (now !== "" && now !== last) troubles.push(now);
      last = now;
    },
    times: { ...quick, firstRetry: 2, longestRetry: 10, longestLook: 10, goneAfter },
  });
  try {
    await use(reflector, client, troubles);
  } finally {
    reflector.close();
  }
}
const all = (reflector: Reflector<string>): string[] => [...reflector.items.values()].sort();
const watchesOf = ({ requests }: FakeClient) => requests.flatMap(({ query }) => (query?.["watch"] ? [query] : []));

test("a list, then a watch from its version, with bookmarks and an end", () =>
  withReflector(
    () => page(7, object("a", 5)),
    (_reader, request) => quiet(request),
    async (reflector, client) => {
      await until(() => client.requests.length === 2);
      assert.equal(client.requests[0]?.query, { fieldSelector: "a=b", limit: "250" });
      const { timeoutSeconds, ...query } = watchesOf(client)[0] ?? {};
      const wanted = { fieldSelector: "a=b", watch: "true", allowWatchBookmarks: "true", resourceVersion: "7" };
      assert.equal(query, wanted);
      assert.ok(Number(timeoutSeconds) >= 300 && Number(timeoutSeconds) <= 600);
      assert.equal(all(reflector), ["a"]);
    },
  ));

test("a watch in which nothing happens is asked again from the last bookmark, and nothing is wrong", () =>
  withReflector(
    () => page(7, object("a", 5)),
    async (reader, request, count) => {
      reader.onOpen();
      if (count > 3) return await quiet(request);
      reader.onLine(event("BOOKMARK", { metadata: { resourceVersion: `${100 + count}` } }));
      throw new Silence("no answer for 1 s");
    },
    async (reflector, client, troubles) => {
      await until(() => watchesOf(client).length === 4);
      const versions = watchesOf(client).map((query) => query["resourceVersion"]);
      assert.equal(versions, ["7", "101", "102", "103"]);
      assert.equal(client.requests.length, 5, "one list");
      assert.equal(troubles, []);
      assert.equal(all(reflector), ["a"]);
    },
  ));

test("a server that says nothing at all is in trouble", () =>
  withReflector(
    () => page(7),
    async (reader, request, count) => {
      if (count === 1) throw new Silence("no answer for 5 s");
      reader.onOpen();
      await quiet(request);
    },
    async (reflector, client, troubles) => {
      await until(() => watchesOf(client).length === 2 && reflector.trouble === "");
      assert.equal(troubles, ["no answer for 5 s"]);
    },
  ));

test("what is not of the API's form is an error, and what is known stays", () =>
  withReflector(
    () => page(7, object("a", 5)),
    async (reader, request, count) => {
      reader.onOpen();
      if (count === 1) reader.onLine("<html>");
      if (count === 2) reader.onLine(event("ADDED", { nothing: true }));
      if (count === 3) reader.onLine(event("ERROR", { code: 500, message: "etcd is sad" }));
      await quiet(request);
    },
    async (reflector, client, troubles) => {
      await until(() => watchesOf(client).length === 4);
      assert.is(troubles.length, 3);
      assert.match(troubles[1] ?? "", "the watch sent ADDED without metadata");
      assert.is(troubles[2], "etcd is sad");
      assert.equal(all(reflector), ["a"]);
    },
  ));

test("an answer that is no list is not taken for an empty one", () => {
  let lists = 0;
  return withReflector(
    () => (++lists === 1 ? { hello: "world" } : page(7, object("a", 5))),
    (_reader, request) => quiet(request),
    async (reflector, _client, troubles) => {
      await until(() => reflector.synced);
      assert.equal(troubles, ["the answer is not a list"]);
      assert.equal(all(reflector), ["a"]);
    },
  );
});

test("a page whose list has expired: the whole list again, and nothing is lost meanwhile", () => {
  let lists = 0;
  return withReflector(
    ({ query }) => {
      lists++;
      if (query?.["continue"] !== undefined && lists === 4) throw new ApiError(410, "Expired", "too old");
      const first = { ...page(7, object("a", 5)), metadata: { resourceVersion: "7", continue: "more" } };
      return query?.["continue"] === undefined ? first : page(8, object("b", 6));
    },
    async (reader, request, count) => {
      reader.onOpen();
      if (count === 1) reader.onLine(event("ERROR", { code: 410, reason: "Expired", message: "too old" }));
      await quiet(request);
    },
    async (reflector, client, troubles) => {
      await until(() => watchesOf(client).length === 2);
      assert.is(lists, 6, "two pages, two of which the second failed, two");
      assert.equal(all(reflector), ["a", "b"]);
      assert.equal(troubles, []);
    },
  );
});

test("the same name twice is two objects; an event of a version that is known changes nothing", () =>
  withReflector(
    () => page(7, object("a", 5)),
    async (reader, request) => {
      reader.onLine(event("MODIFIED", object("a", 5)));
      reader.onLine(event("DELETED", object("a", 8)));
      reader.onLine(event("ADDED", object("a", 9, "other")));
      reader.onLine(event("DELETED", object("a", 8)));
      await quiet(request);
    },
    async (reflector) => {
      await until(() => reflector.items.has("other"));
      assert.equal([...reflector.items], [["other", "a"]]);
    },
  ));

test("a kind that the server does not know for a moment is not gone; one that it does not know for long is", async () => {
  let served = true;
  let looks = 0;
  await withReflector(
    () => {
      if (!served) throw new ApiError(404, "NotFound", "no such kind");
      return page(7, object("a", 5));
    },
    async (reader, request) => {
      reader.onOpen();
      if (served) await sleep(5, undefined, { signal: request.signal });
      else throw new ApiError(404, "NotFound", "no such kind");
    },
    async (reflector) => {
      await until(() => reflector.synced);
      served = false;
      const since = looks;
      await until(() => looks > since + 1);
      assert.equal(all(reflector), ["a"]);
      await until(() => reflector.items.size === 0);
      assert.ok(reflector.synced);
      served = true;
      await until(() => reflector.items.size === 1);
    },
    () => {
      looks++;
      return served ? "/things" : undefined;
    },
    3000, // much more than two looks take
  );
});

test.run();
