import { isIP } from "node:net";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseIpv4Bytes, parseIpv6Bytes } from "../../src/model/addressText.js";

/** Texts that are addresses, and texts that nearly are. */
const near = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef:.:.::"), maxLength: 24 }),
  fc.tuple(fc.ipV6(), fc.nat({ max: 40 }), fc.constantFrom("", ":", "::", ".", "0", "g")).map(([text, at, add]) => {
    return text.slice(0, at) + add + text.slice(at);
  }),
);

test("what node:net takes for an address, and nothing else, is one", () => {
  fc.assert(
    fc.property(near, (text) => {
      const family = isIP(text);
      assert.is(parseIpv4Bytes(text) !== undefined, family === 4, text);
      assert.is(parseIpv6Bytes(text) !== undefined, family === 6, text);
    }),
    { numRuns: 5000 },
  );
});

test("groups, the gap and the IPv4 tail stand where they belong", () => {
  const hex = (text: string): string => Buffer.from(parseIpv6Bytes(text) ?? []).toString("hex");
  assert.is(hex("::"), "0".repeat(32));
  assert.is(hex("1::"), `0001${"0".repeat(28)}`);
  assert.is(hex("2001:db8::1"), "20010db8000000000000000000000001");
  assert.is(hex("1:2:3:4:5:6:7:8"), "00010002000300040005000600070008");
  assert.is(hex("::ffff:10.1.2.3"), "00000000000000000000ffff0a010203");
  assert.is(hex("::10.1.2.3"), "0000000000000000000000000a010203");
  assert.is(hex("1:2:3:4:5:6:10.1.2.3"), "0001000200030004000500060a010203");
});

test("a zone, octal and a tail in the middle are refused", () => {
  for (const text of ["fe80::1%eth0", "::ffff:010.0.0.1", "10.0.0.1::", "::10.0.0.1:1", "1:2:3:4:5:6:7:10.0.0.1"]) {
    assert.is(parseIpv6Bytes(text), undefined, text);
  }
  for (const text of ["010.0.0.1", "10.1", "1.2.3.4.5", "1.2.3.", "1.2.3.256", "0x1.2.3.4", " 1.2.3.4"]) {
    assert.is(parseIpv4Bytes(text), undefined, text);
  }
});

test.run();
