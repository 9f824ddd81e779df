import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import {
  type Parsed,
  parseBool,
  parsePorts,
  parsePortsOrStar,
  parseRanges,
  trimSpace,
} from "../../src/policy/values.js";

function refused(parsed: Parsed<unknown>, item: string, why: RegExp): void {
  if (!("why" in parsed)) throw new Error(`${item} was accepted: ${JSON.stringify(parsed.value)}`);
  assert.is(parsed.item, item);
  assert.match(parsed.why, why);
}

const goodPorts: [string, number[]][] = [
  ["", []],
  ["   ", []],
  ["80", [80]],
  ["0", [0]],
  ["65535", [65535]],
  ["007", [7]],
  ["000000000000000000000080", [80]],
  [" 443 ", [443]],
  ["80, 443", [80, 443]],
  ["80 ,443,\t8080\n", [80, 443, 8080]],
  ["\u008580\u00a0", [80]],
  ["80,80,80", [80, 80, 80]],
];

const badPorts: [string, string, RegExp][] = [
  ["80,", "", /empty item/],
  [",80", "", /empty item/],
  ["80,,90", "", /empty item/],
  [",", "", /empty item/],
  ["80-90", "80-90", /range of ports/],
  ["1,80:90", "80:90", /range of ports/],
  ["+1", "+1", /decimal digits/],
  ["-1", "-1", /decimal digits/],
  ["0x50", "0x50", /decimal digits/],
  ["0b1", "0b1", /decimal digits/],
  ["8_0", "8_0", /decimal digits/],
  ["1e3", "1e3", /decimal digits/],
  ["80.0", "80.0", /decimal digits/],
  ["http", "http", /decimal digits/],
  ["٣", "٣", /decimal digits/],
  ["\ufeff80", "\ufeff80", /decimal digits/],
  ["8 0", "8 0", /decimal digits/],
  ["1,65536", "65536", /at most 65535/],
  ["99999999999999999999999999", "99999999999999999999999999", /at most 65535/],
  ["*", "*", /not accepted/],
  ["80,*", "*", /decimal digits/],
];

test("ports are read as strconv.ParseUint reads them", () => {
  for (const [text, value] of goodPorts) {
    assert.equal(parsePorts(text), { value }, JSON.stringify(text));
    assert.equal(parsePortsOrStar(text), { value }, JSON.stringify(text));
  }
});

test("bad ports are refused with the item that is bad", () => {
  for (const [text, item, why] of badPorts) refused(parsePorts(text), item, why);
});

test("a star among ports is exactly a star", () => {
  assert.equal(parsePortsOrStar("*"), { value: "*" });
  refused(parsePortsOrStar(" *"), " *", /alone/);
  refused(parsePortsOrStar("*,80"), "*", /decimal digits/);
});

test("any list of ports is read back", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 65535 })), (ports) => {
      assert.equal(parsePorts(ports.join(" , ")), { value: ports });
    }),
  );
});

const goodRanges: [string, string[]][] = [
  ["", []],
  ["10.0.0.0/8", ["10.0.0.0/8"]],
  ["10.1.2.3/8", ["10.0.0.0/8"]],
  ["0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"]],
  ["10.0.0.1/32,2001:DB8::1/32", ["10.0.0.1/32", "2001:db8::/32"]],
  ["10.96.0.2/24,10.96.0.3/24", ["10.96.0.0/24", "10.96.0.0/24"]],
  ["::1/128", ["::1/128"]],
  ["::1.2.3.4/128", ["::102:304/128"]],
  ["1:2:3:4:5:6:7::/128", ["1:2:3:4:5:6:7:0/128"]],
];

const badRanges: [string, string, RegExp][] = [
  ["10.0.0.0/8, 11.0.0.0/8", " 11.0.0.0/8", /white space/],
  [" 10.0.0.0/8", " 10.0.0.0/8", /white space/],
  ["10.0.0.0/8\n", "10.0.0.0/8\n", /white space/],
  [" ", " ", /white space/],
  ["10.0.0.0/8,", "", /empty item/],
  [",", "", /empty item/],
  ["10.0.0.1", "10.0.0.1", /mask is missing/],
  ["::1", "::1", /mask is missing/],
  ["bad", "bad", /mask is missing/],
  ["fe80::1%eth0/64", "fe80::1%eth0/64", /zone/],
  ["10.0.0.0/33", "10.0.0.0/33", /0 to 32/],
  ["10.0.0.0/-1", "10.0.0.0/-1", /0 to 32/],
  ["10.0.0.0/+8", "10.0.0.0/+8", /0 to 32/],
  ["10.0.0.0/08", "10.0.0.0/08", /0 to 32/],
  ["10.0.0.0/", "10.0.0.0/", /0 to 32/],
  ["10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0", /0 to 32/],
  ["10.0.0.0/8/8", "10.0.0.0/8/8", /not an IPv4/],
  ["::/129", "::/129", /0 to 128/],
  ["010.0.0.0/8", "010.0.0.0/8", /not an IPv4/],
  ["0x0a.0.0.0/8", "0x0a.0.0.0/8", /not an IPv4/],
  ["10.0/8", "10.0/8", /not an IPv4/],
  ["10/8", "10/8", /not an IPv4/],
  ["256.0.0.0/8", "256.0.0.0/8", /not an IPv4/],
  ["10.0.0.0.0/8", "10.0.0.0.0/8", /not an IPv4/],
  ["1:2:3/32", "1:2:3/32", /not an IPv4/],
  ["1:2:3:4:5:6:7::8/32", "1:2:3:4:5:6:7::8/32", /not an IPv4/],
  [":::/0", ":::/0", /not an IPv4/],
  ["1::2::3/64", "1::2::3/64", /not an IPv4/],
  ["::12345/128", "::12345/128", /not an IPv4/],
  ["::ffff:010.0.0.1/128", "::ffff:010.0.0.1/128", /not an IPv4/],
  ["[::1]/128", "[::1]/128", /not an IPv4/],
  ["example.com/8", "example.com/8", /not an IPv4/],
];

test("ranges are read as netip.ParsePrefix reads them, host bits masked off", () => {
  for (const [text, expected] of goodRanges) {
    const parsed = parseRanges(text, { star: false });
    if ("why" in parsed) return assert.unreachable(`${text}: ${parsed.why}`);
    assert.equal(
      parsed.value.map((range) => formatPrefix(range.prefix)),
      expected,
      text,
    );
  }
});

test("bad ranges are refused with the item that is bad", () => {
  for (const [text, item, why] of badRanges) {
    refused(parseRanges(text, { star: false }), item, why);
    refused(parseRanges(text, { star: true }), item, why);
  }
});

test("a star is all ranges, but not in excludes and not among others", () => {
  assert.equal(parseRanges("*", { star: true }), { value: "*" });
  refused(parseRanges("*", { star: false }), "*", /not accepted/);
  refused(parseRanges("*,10.0.0.0/8", { star: true }), "*", /alone/);
  refused(parseRanges(" *", { star: true }), " *", /alone/);
});

test("an IPv4-in-IPv6 prefix stays IPv6", () => {
  const parsed = parseRanges("::ffff:10.0.0.0/104", { star: false });
  if ("why" in parsed) return assert.unreachable(parsed.why);
  const [range] = parsed.value;
  assert.is(range?.prefix.address.family, 6);
  assert.is(range?.prefix.length, 104);
  assert.equal([...(range?.prefix.address.bytes ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0]);
});

test("loopback is seen before the host bits are masked off", () => {
  const loopback = (text: string): boolean[] => {
    const parsed = parseRanges(text, { star: false });
    return "why" in parsed ? [] : parsed.value.map((range) => range.loopback);
  };
  assert.equal(loopback("127.0.0.0/8,127.9.9.9/0,::1/64,::ffff:127.0.0.1/104"), [true, true, true, true]);
  assert.equal(loopback("0.0.0.0/0,126.0.0.0/7,::/0,::2/128,::ffff:10.0.0.1/96,7f00::/8"), [
    false,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test("booleans are read as strconv.ParseBool reads them", () => {
  for (const text of ["1", "t", "T", "TRUE", "true", "True"]) assert.is(parseBool(text), true);
  for (const text of ["0", "f", "F", "FALSE", "false", "False"]) assert.is(parseBool(text), false);
  for (const text of ["", "yes", "no", "tRUE", " true", "disabled", "2"]) assert.is(parseBool(text), undefined);
});

test("no text makes a parser throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      parsePorts(text);
      parseRanges(text, { star: true });
      assert.is(trimSpace(trimSpace(text)), trimSpace(text));
    }),
  );
});

test.run();
