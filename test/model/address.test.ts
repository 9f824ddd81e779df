import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Address,
  addressFromBytes,
  contains,
  formatAddress,
  formatPrefix,
  maskAddress,
  parseAddress,
} from "../../src/model/address.js";

const anyAddress: fc.Arbitrary<Address> = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(addressFromBytes);

test("what is formatted is parsed back", () => {
  fc.assert(fc.property(anyAddress, (address) => assert.equal(parseAddress(formatAddress(address)), address)));
});

test("a v4-mapped address is IPv4", () => {
  assert.equal(parseAddress("::ffff:10.0.0.1"), parseAddress("10.0.0.1"));
  assert.equal(parseAddress("::FFFF:a00:1"), parseAddress("10.0.0.1"));
  assert.is(parseAddress("::10.0.0.1")?.family, 6);
});

test("an address has 4 or 16 bytes", () => {
  for (const length of [0, 3, 5, 15, 17]) assert.throws(() => addressFromBytes(new Uint8Array(length)), RangeError);
});

test("a masked address lies in its own prefix, and masking again changes nothing", () => {
  fc.assert(
    fc.property(anyAddress, fc.nat({ max: 128 }), (address, bits) => {
      const whole = address.family === 4 ? 32 : 128;
      const prefix = maskAddress(address, Math.min(bits, whole));
      assert.ok(contains(prefix, { address, length: whole }));
      assert.equal(maskAddress(prefix.address, prefix.length), prefix);
    }),
  );
});

test("families never match each other", () => {
  const all6 = { address: addressFromBytes(new Uint8Array(16)), length: 0 };
  const all4 = { address: addressFromBytes(new Uint8Array(4)), length: 0 };
  assert.not(contains(all6, all4));
  assert.not(contains(all4, all6));
});

test("prefixes are written in RFC 5952 form", () => {
  const address = parseAddress("2001:DB8:0:0:1::1") as Address;
  assert.is(formatPrefix(maskAddress(address, 96)), "2001:db8:0:0:1::/96");
});

test.run();
