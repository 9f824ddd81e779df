import { test } from "uvu";
import * as assert from "uvu/assert";
import { isDnsLabel, refuseFqdn, refuseWildcardName } from "../../src/model/dnsName.js";

test("labels", () => {
  for (const text of ["a", "A1", "a-b", "0", "a".repeat(63)]) assert.ok(isDnsLabel(text), text);
  for (const text of ["", "-a", "a-", "a.b", "a_b", "ä", "a\n", "a".repeat(64)]) assert.not.ok(isDnsLabel(text), text);
});

test("fully qualified names", () => {
  for (const text of ["a", "a.b", "a.b.", "1.a", "localhost"]) assert.is(refuseFqdn(text), undefined, text);
  for (const text of ["", ".", "a..b", "*.b", "a.1", "a.b-", "a b"]) assert.type(refuseFqdn(text), "string", text);
});

test("a wildcard is the whole first label", () => {
  for (const text of ["*", "*.", "*.com", "*.a.b", "a.b"]) assert.is(refuseWildcardName(text), undefined, text);
  for (const text of ["", "**", "a.*", "*a.b", "*-a.b", "*.*", "*.1", "a*"])
    assert.type(refuseWildcardName(text), "string", text);
});

test.run();
