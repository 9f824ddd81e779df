import { test } from "uvu";
import * as assert from "uvu/assert";
import { capturesIpv6, namesPod } from "../../src/policy/family.js";
import { address } from "../samples.js";

const captures = (dualStack: boolean, ...addresses: string[]): boolean =>
  capturesIpv6(addresses.map(address), dualStack);

test("IPv6 is captured where it comes first; with dual stack, where there is any", () => {
  assert.is(captures(false, "fd00::1", "10.0.0.1"), true);
  assert.is(captures(false, "10.0.0.1", "fd00::1"), false);
  assert.is(captures(true, "10.0.0.1", "fd00::1"), true);
  assert.is(captures(true, "10.0.0.1"), false);
});

test("link-local addresses and ::6 say nothing of it; no address at all captures it", () => {
  for (const text of ["fe80::1", "169.254.1.1", "::6"]) assert.not.ok(namesPod(address(text)), text);
  assert.is(captures(false, "::6", "fe80::1", "10.0.0.1"), false);
  assert.is(captures(true, "10.0.0.1", "::6", "fe80::1"), false);
  assert.is(captures(false, "fe80::1"), true);
  assert.is(captures(false), true);
});

test.run();
