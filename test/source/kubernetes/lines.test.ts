import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { lineSplitter } from "../../../src/source/kubernetes/lines.js";

test("however the bytes are cut, the lines are the same", () => {
  const line = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/[\r\n]/.test(text));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(40)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""));
      const split = lineSplitter();
      const found: string[] = [];
      let at = 0;
      for (const size of [...cuts, bytes.length]) {
        found.push(...split(bytes.subarray(at, at + size)));
        at += size;
      }
      assert.equal(found, lines);
    }),
  );
});

test("a line that does not end is not given, empty ones neither, and an endless one is refused", () => {
  const split = lineSplitter(10);
  assert.equal(split(Buffer.from("\n\na\nbcd")), ["a"]);
  assert.throws(() => split(Buffer.from("efghijkl")), /more than 10 characters/);
});

test.run();
