/** Edges of ranges, by examples. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { contains, edges, isDestination } from "./ranges.js";

test("a range has its first and last address, and those just outside", () => {
  assert.equal(edges("10.1.0.0/16"), ["10.0.255.255", "10.1.0.0", "10.1.255.255", "10.2.0.0"]);
  assert.equal(edges("9.9.9.9/32"), ["9.9.9.8", "9.9.9.9", "9.9.9.10"]);
  assert.equal(edges("2001:db8::/32").slice(0, 2), ["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::"]);
});

test("host bits count for nothing", () => {
  assert.equal(edges("10.1.2.3/16"), edges("10.1.0.0/16"));
});

test("nobody can be at a broadcast, multicast or unspecified address", () => {
  assert.equal(edges("0.0.0.0/0"), []);
  assert.equal(edges("127.0.0.0/8"), ["126.255.255.255", "127.0.0.1", "127.255.255.254", "128.0.0.0"]);
  assert.not(isDestination("224.0.0.1"));
  assert.not(isDestination("fe80::1"));
});

test("an address is in ranges of its own family only; a v4-mapped range is IPv6", () => {
  assert.ok(contains("0.0.0.0/0", "1.2.3.4"));
  assert.not(contains("::/0", "1.2.3.4"));
  assert.not(contains("0.0.0.0/0", "::1"));
  assert.not(contains("::ffff:10.0.0.0/104", "10.0.0.1"));
  assert.equal(edges("::ffff:10.0.0.0/104"), []);
});

test.run();
