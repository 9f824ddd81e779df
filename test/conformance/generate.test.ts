/** The generator against every golden file of Istio. */
import { readdirSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readGoldens } from "./cases.js";
import { baseConfig } from "./config.js";
import { goldenText, restoreInput } from "./generate.js";

const goldens = readGoldens();

for (const { name, text, config, pod } of goldens) {
  test(`${name}: the rules are Istio's, line by line`, () => {
    assert.equal(goldenText(config, pod === undefined).split("\n"), text.split("\n"));
  });
}

test("every golden file has a case", () => {
  const files = readdirSync(new URL("istio/rules/", import.meta.url)).length;
  assert.is(new Set(goldens.map(({ text }) => text)).size, files);
});

test("an address of the other family is in the other family's rules only", () => {
  const config = { ...baseConfig, EnableIPv6: true, OutboundIPRangesInclude: "10.0.0.0/8,fd00::/8" };
  assert.match(restoreInput(config, 4), "-d 10.0.0.0/8 ");
  assert.not.match(restoreInput(config, 4), "fd00");
  assert.match(restoreInput(config, 6), "-d fd00::/8 ");
  assert.not.match(restoreInput(config, 6), "-d 10.");
});

test("without IPv6 nothing is written for it", () => {
  assert.is(restoreInput(baseConfig, 6), "");
});

test("a loopback range of either family lets local destinations go on", () => {
  const local = "-o lo -m owner ! --uid-owner 1337 -j RETURN";
  assert.match(restoreInput(baseConfig, 4), local);
  for (const range of ["127.0.0.0/8", "127.9.0.0/16", "::1/128", "::ffff:127.0.0.1/128"]) {
    assert.not.match(restoreInput({ ...baseConfig, OutboundIPRangesInclude: range }, 4), local, range);
  }
});

test("owner groups: the excluded ones one by one, or whoever is in none of the included ones", () => {
  const excluded = restoreInput({ ...baseConfig, OwnerGroupsExclude: "5,6" }, 4);
  assert.match(excluded, "-A ISTIO_OUTPUT -m owner --gid-owner 5 -j RETURN\n-A ISTIO_OUTPUT -m owner --gid-owner 6");
  assert.match(restoreInput({ ...baseConfig, OwnerGroupsInclude: "" }, 4), "-A ISTIO_OUTPUT -j RETURN\n");
});

test("DNS servers of one family say nothing about the other; without any, DNS is not captured", () => {
  const dns = { ...baseConfig, RedirectDNS: true, EnableIPv6: true };
  const config = { ...dns, DNSServersV4: ["10.96.0.10"] };
  assert.match(restoreInput(config, 4), "--dport 53 -d 10.96.0.10/32 -j REDIRECT");
  assert.not.match(restoreInput(config, 6), "-j REDIRECT --to-ports 15053");
  assert.is(restoreInput(dns, 4), restoreInput({ ...dns, RedirectDNS: false }, 4));
});

test.run();
