import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Sidecar, sidecarName } from "../../src/model/sidecar.js";
import { indexSidecars, selectSidecar } from "../../src/policy/sidecarSelect.js";
import { sidecar } from "./kit.js";

interface One {
  readonly namespace?: string;
  readonly created?: number;
  readonly labels?: Record<string, string>;
}
const one = (name: string, { namespace = "ns", created, labels }: One = {}): Sidecar => ({
  ...sidecar("{outboundTrafficPolicy: {}}"),
  namespace,
  name,
  created,
  selector: labels === undefined ? undefined : new Map(Object.entries(labels)),
});
const select = (
  all: readonly Sidecar[],
  labels: Record<string, string> = {},
  namespace = "ns",
  root = "istio-system",
) => {
  const found = selectSidecar(indexSidecars(all), { namespace, labels: new Map(Object.entries(labels)) }, root);
  return found && sidecarName(found);
};

test("none, another namespace's, the namespace's", () => {
  assert.is(select([]), undefined);
  assert.is(select([one("a", { namespace: "other" })]), undefined);
  assert.is(select([one("a", { namespace: "other" }), one("b")]), "ns/b");
});

test("one whose selector matches comes before one without", () => {
  const all = [one("all", { created: 1 }), one("web", { created: 2, labels: { app: "web" } })];
  assert.is(select(all, { app: "web", version: "v1" }), "ns/web");
  assert.is(select(all, { app: "db" }), "ns/all");
  assert.is(select(all), "ns/all");
});

test("every label must match", () => {
  const all = [one("web", { labels: { app: "web", version: "v2" } })];
  assert.is(select(all, { app: "web" }), undefined);
  assert.is(select(all, { app: "web", version: "v1" }), undefined);
  assert.is(select(all, { app: "web", version: "v2", more: "x" }), "ns/web");
  assert.is(select([one("empty", { labels: { app: "" } })], {}), undefined, "an empty label is not an absent one");
});

test("a selector without labels is one, and matches every pod", () => {
  assert.is(select([one("a", { created: 1 }), one("z", { created: 9, labels: {} })]), "ns/z");
  assert.is(select([one("z", { namespace: "istio-system", labels: {} })]), undefined, "in the root it is none for all");
});

test("the oldest wins, then the first by name; one without a time is the oldest", () => {
  assert.is(select([one("a", { created: 5 }), one("b", { created: 4 })]), "ns/b");
  assert.is(select([one("b", { created: 5 }), one("a", { created: 5 })]), "ns/a");
  assert.is(select([one("a", { created: 0 }), one("b")]), "ns/b");
});

test("the root namespace's is for those that have none, and for its own pods", () => {
  const root = one("root", { namespace: "istio-system" });
  const picky = one("picky", { namespace: "istio-system", labels: { app: "web" } });
  assert.is(select([root, picky], { app: "web" }), "istio-system/root");
  assert.is(select([root, one("mine")]), "ns/mine");
  assert.is(select([root, one("web", { labels: { app: "web" } })]), "istio-system/root");
  assert.is(select([root, picky], { app: "web" }, "istio-system"), "istio-system/picky");
  assert.is(select([root], {}, "ns", "mesh-root"), undefined);
  assert.is(select([one("other", { namespace: "mesh-root" }), root], {}, "ns", "mesh-root"), "mesh-root/other");
});

test("the order of documents changes nothing", () => {
  const labels = fc.dictionary(fc.constantFrom("app", "v"), fc.constantFrom("1", "2"));
  const any = fc
    .uniqueArray(
      fc.record({
        name: fc.constantFrom("a", "b", "c", "d"),
        namespace: fc.constantFrom("ns", "istio-system", "other"),
        created: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
        labels: fc.option(labels, { nil: undefined }),
      }),
      { selector: ({ namespace, name }) => `${namespace}/${name}`, maxLength: 8 },
    )
    .map((all) =>
      all.map(({ name, namespace, created, labels: selector }) => ({
        ...one(name, { namespace }),
        created,
        selector: selector && new Map(Object.entries(selector)),
      })),
    );
  const pair = any.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(pair, labels, ([all, shuffled], pod) => assert.is(select(shuffled, pod), select(all, pod))),
    { numRuns: 1000 },
  );
});

test.run();
