import { test } from "uvu";
import * as assert from "uvu/assert";
import * as shape from "../../src/model/shape.js";

const { check } = shape;

/** What is said of a value, `path: why`. */
function said(of: shape.Shape<unknown>, value: unknown): string[] {
  const checked = check(of, value);
  return "value" in checked ? [] : checked.issues.map(({ path, why }) => `${path}: ${why}`);
}

const pod = shape.object({
  name: shape.text,
  host: shape.optional(shape.boolean),
  id: shape.optional(shape.integer(0, 9)),
  labels: shape.record,
  args: shape.list(shape.string),
  any: shape.anything,
});

test("what fits comes back, without fields that nobody asked for", () => {
  const value = { name: "a", host: true, id: 9, labels: { b: 7 }, args: ["c"], any: [null], novelty: 1 };
  const { novelty: _, ...asked } = value;
  assert.equal(check(pod, value), { value: asked });
});

test("absent and null are one", () => {
  const nothing = { host: undefined, id: undefined, labels: {}, args: [] };
  assert.equal(check(pod, { name: "a" }), { value: { name: "a", ...nothing, any: undefined } });
  const nulls = { name: "a", host: null, id: null, labels: null, args: null, any: null };
  assert.equal(check(pod, nulls), { value: { name: "a", ...nothing, any: null } });
});

test("what does not fit is told with its place, all of it, in the order of the fields", () => {
  const wrong = { name: "", host: "true", id: 10, labels: [], args: ["a", 1, {}], any: 1n };
  assert.equal(said(pod, wrong), [
    "name: must not be empty",
    "host: expected boolean, received string",
    "id: expected a whole number from 0 to 9",
    "labels: expected object, received array",
    "args.1: expected string, received number",
    "args.2: expected string, received object",
  ]);
  const checked = check(pod, wrong);
  assert.equal("issues" in checked && checked.issues.map(({ value }) => value), ["", "true", 10, [], 1, {}]);
});

test("a number that is no whole number in the range", () => {
  for (const value of [-1, 10, 1.5, Number.POSITIVE_INFINITY]) {
    assert.equal(said(shape.integer(0, 9), value), [": expected a whole number from 0 to 9"]);
  }
  assert.equal(said(shape.integer(0, 9), "7"), [": expected number, received string"]);
  assert.equal(said(shape.integer(0, 9), Number.NaN), [": expected number, received NaN"]);
});

test("of something that is not an object, only that is told", () => {
  const outer = shape.object({ inner: pod });
  assert.equal(said(outer, {}), ["inner: expected object, received undefined"]);
  assert.equal(said(outer, { inner: [] }), ["inner: expected object, received array"]);
  assert.equal(said(outer, { inner: { args: 7 } }), [
    "inner.name: expected string, received undefined",
    "inner.args: expected array, received number",
  ]);
  for (const [value, type] of [
    [null, "null"],
    ["Pod", "string"],
    [() => 1, "function"],
  ] as const) {
    assert.equal(said(outer, value), [`: expected object, received ${type}`]);
  }
});

test("a long list of wrong values does not become a long list of issues", () => {
  const checked = check(shape.list(shape.text), new Array(100_000).fill(7));
  assert.ok("issues" in checked && checked.issues.length <= 100);
});

test("a list with holes", () => {
  assert.equal(said(shape.list(shape.text), new Array(2)), [
    "0: expected string, received undefined",
    "1: expected string, received undefined",
  ]);
});

test.run();
