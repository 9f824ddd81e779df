import { test } from "uvu";
import * as assert from "uvu/assert";
import { fieldOf, shapeReader } from "../../src/model/documentShape.js";

function reader() {
  const refused: string[] = [];
  return { read: shapeReader((path, _, why) => refused.push(`${path}: ${why}`)), refused };
}

test("absent and null are one, and no mistake", () => {
  const { read, refused } = reader();
  for (const value of [undefined, null]) {
    assert.is(read.record(value, "a"), undefined);
    assert.equal(read.list(value, "a"), []);
    assert.is(read.text(value, "a"), "");
    assert.is(read.integer(value, "a"), undefined);
    assert.is(read.flag(value, "a"), false);
    assert.is(read.choice(value, "a", ["x"]), undefined);
    assert.equal(read.texts(value, "a"), new Map());
  }
  assert.equal(refused, []);
});

test("what has the type comes back", () => {
  const { read, refused } = reader();
  assert.equal(read.record({ a: 1 }, ""), { a: 1 });
  assert.equal(read.list([1, "b"], ""), [1, "b"]);
  assert.is(read.text("t", ""), "t");
  assert.is(read.integer(-5, ""), -5);
  assert.is(read.flag(true, ""), true);
  assert.is(read.choice("x", "", ["x", "y"]), "x");
  assert.equal(read.texts({ a: "b" }, ""), new Map([["a", "b"]]));
  assert.equal(refused, []);
});

test("what has another is refused, with the path and both types", () => {
  const { read, refused } = reader();
  read.record([], "a");
  read.list("b", "a.b");
  read.text(5, "c");
  read.integer(1.5, "d");
  read.flag("yes", "e");
  read.choice("z", "f", ["x", "y"]);
  read.choice(1, "g", ["x"]);
  read.texts({ k: 1, l: "fine" }, "h");
  assert.equal(refused, [
    "a: must be a mapping, not a list",
    "a.b: must be a list, not a string",
    "c: must be text, not a number",
    "d: must be a whole number, not a number",
    "e: must be true or false, not a string",
    "f: must be one of x, y",
    "g: must be one of x, not a number",
    "h.k: must be text: put it in quotes",
  ]);
});

test("only the document's own keys are fields", () => {
  assert.is(fieldOf({}, "constructor"), undefined);
  assert.is(fieldOf("text", "length"), undefined);
  assert.is(fieldOf(null, "a"), undefined);
  assert.is(fieldOf({ a: 1 }, "a"), 1);
});

test.run();
