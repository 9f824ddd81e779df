import { test } from "uvu";
import * as assert from "uvu/assert";
import { makeBackoff } from "../../../src/source/kubernetes/backoff.js";

const waits = (random: number, count: number): number[] => {
  const backoff = makeBackoff({ first: 100, longest: 1000, random: () => random });
  return Array.from({ length: count }, () => backoff.next());
};

test("each wait is twice the last, up to the longest", () => {
  assert.equal(waits(1, 6), [100, 200, 400, 800, 1000, 1000]);
});

test("half of each is left to chance", () => {
  assert.equal(waits(0, 6), [50, 100, 200, 400, 500, 500]);
});

test("a success begins anew", () => {
  const backoff = makeBackoff({ first: 100, longest: 1000, random: () => 1 });
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.is(backoff.next(), 100);
});

test("what the server asks for is a least", () => {
  const backoff = makeBackoff({ first: 100, longest: 1000, random: () => 0 });
  assert.is(backoff.next(5000), 5050);
});

test.run();
