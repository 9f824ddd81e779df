import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import type { Policy } from "../../src/model/policy.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { canonicalText } from "../../src/policy/policyId.js";
import type { Settings } from "../../src/policy/settings.js";
import { fastest } from "../fastest.js";
import { anySettings } from "./arbitrary.js";
import { defaults, ranges } from "./kit.js";

const compile = (settings: Partial<Settings> = {}): Policy => compilePolicy({ ...defaults, ...settings });
const shown = (policy: Policy): string[] =>
  policy.ranges.map((rule) => `${rule.action === "bypass" ? "-" : "+"}${formatPrefix(rule.prefix)}`);

test("Istio's defaults", () => {
  const policy = compile();
  assert.equal(policy.ports, [
    { direction: "inbound", port: 15008, action: "bypass", reason: "tunnel-port" },
    { direction: "inbound", port: 15020, action: "bypass", reason: "excluded-port" },
    { direction: "inbound", port: 15021, action: "bypass", reason: "excluded-port" },
    { direction: "inbound", port: 15090, action: "bypass", reason: "excluded-port" },
    { direction: "outbound", port: 15020, action: "bypass", reason: "excluded-port" },
  ]);
  assert.equal(policy.ranges, []);
  assert.equal([policy.captureOtherOutbound, policy.captureOtherInbound, policy.keepLocal], [true, true, false]);
});

test("first match becomes longest prefix", () => {
  const table: [string, string, string[]][] = [
    ["10.0.0.0/8", "10.1.0.0/16", ["+10.0.0.0/8", "-10.1.0.0/16"]],
    ["10.1.0.0/16", "10.0.0.0/8", ["-10.0.0.0/8"]],
    ["10.0.0.0/8", "10.0.0.0/8", ["-10.0.0.0/8"]],
    ["10.0.0.0/8,10.1.2.0/24", "10.1.0.0/16", ["+10.0.0.0/8", "-10.1.0.0/16"]],
    ["10.0.0.0/8,10.1.0.0/16,10.0.0.1/8", "", ["+10.0.0.0/8"]],
    ["", "10.0.0.0/8,10.1.0.0/16", ["-10.0.0.0/8"]],
    ["0.0.0.0/0,::/0", "10.0.0.0/8,::1/128", ["+0.0.0.0/0", "-10.0.0.0/8", "+::/0", "-::1/128"]],
    ["10.0.1.0/24", "10.0.0.0/24,10.0.2.0/24", ["-10.0.0.0/24", "+10.0.1.0/24", "-10.0.2.0/24"]],
    ["::ffff:10.0.0.0/104", "10.0.0.0/8", ["-10.0.0.0/8", "+::ffff:a00:0/104"]],
  ];
  for (const [include, exclude, expected] of table) {
    const policy = compile({ includeOutboundRanges: ranges(include), excludeOutboundRanges: ranges(exclude) });
    assert.equal(shown(policy), expected, `${include} without ${exclude}`);
  }
});

test("a port has one rule: exclude before include, inbound a list ignores excludes, 15008 is never captured", () => {
  const policy = compile({
    includeOutboundPorts: [443, 80, 443],
    excludeOutboundPorts: [80, 22],
    includeInboundPorts: [9000, 15008],
    excludeInboundPorts: [9000],
  });
  assert.equal(
    policy.ports.map((rule) => `${rule.direction} ${rule.port} ${rule.action} ${rule.reason}`),
    [
      "inbound 9000 redirect included-port",
      "inbound 15008 bypass tunnel-port",
      "outbound 22 bypass excluded-port",
      "outbound 80 bypass excluded-port",
      "outbound 443 redirect included-port",
    ],
  );
  assert.is(policy.captureOtherInbound, false);
  assert.equal(compile({ includeInboundPorts: [], excludeOutboundPorts: [] }).ports, []);
});

test("an included loopback address keeps local destinations, an excluded one does not", () => {
  assert.is(compile({ includeOutboundRanges: ranges("10.0.0.0/8,127.0.0.1/24") }).keepLocal, true);
  assert.is(compile({ includeOutboundRanges: ranges("::1/128") }).keepLocal, true);
  assert.is(
    compile({ includeOutboundRanges: ranges("127.0.0.1/8"), excludeOutboundRanges: ranges("127.0.0.0/8") }).keepLocal,
    true,
  );
  assert.is(compile({ includeOutboundRanges: ranges("0.0.0.0/0,::/0") }).keepLocal, false);
  assert.is(compile({ excludeOutboundRanges: ranges("127.0.0.0/8") }).keepLocal, false);
});

const shuffled = (settings: Settings): fc.Arbitrary<Settings> => {
  const shuffle = <T>(items: readonly T[]): fc.Arbitrary<T[]> =>
    fc.shuffledSubarray([...items, ...items], { minLength: items.length * 2, maxLength: items.length * 2 });
  const orStar = <T>(items: "*" | readonly T[]) => (items === "*" ? fc.constant("*" as const) : shuffle(items));
  return fc.record({
    includeOutboundRanges: orStar(settings.includeOutboundRanges),
    excludeOutboundRanges: shuffle(settings.excludeOutboundRanges),
    includeOutboundPorts: shuffle(settings.includeOutboundPorts),
    excludeOutboundPorts: shuffle(settings.excludeOutboundPorts),
    includeInboundPorts: orStar(settings.includeInboundPorts),
    excludeInboundPorts: shuffle(settings.excludeInboundPorts),
    proxyUid: fc.constant(settings.proxyUid),
    proxyGid: fc.constant(settings.proxyGid),
    outboundPort: fc.constant(settings.outboundPort),
    inboundPort: fc.constant(settings.inboundPort),
    ownerGroups: orStar(settings.ownerGroups),
    ownerGroupsExcluded: shuffle(settings.ownerGroupsExcluded),
    dnsCapture: fc.constant(settings.dnsCapture),
    dualStack: fc.constant(settings.dualStack),
    excludeInterfaces: shuffle(settings.excludeInterfaces),
    loopback: fc.constant(settings.loopback),
  });
};

test("the order of items and their repetition change nothing", () => {
  const pair = anySettings.chain((settings) => fc.tuple(fc.constant(settings), shuffled(settings)));
  fc.assert(
    fc.property(pair, ([a, b]) => assert.equal(compilePolicy(b), compilePolicy(a))),
    { numRuns: 1000 },
  );
});

test("the id changes if and only if the content changes", () => {
  fc.assert(
    fc.property(anySettings, anySettings, (a, b) => {
      const { id: idA, ...contentA } = compilePolicy(a);
      const { id: idB, ...contentB } = compilePolicy(b);
      const text = (content: object): string =>
        JSON.stringify(content, (_, value) => (value instanceof Uint8Array ? [...value] : value));
      assert.is(idA === idB, text(contentA) === text(contentB));
      assert.ok(idA > 0n && idA < 2n ** 64n);
    }),
    { numRuns: 1000 },
  );
});

test("each field alone makes another policy", () => {
  const others: Partial<Settings>[] = [
    { proxyUid: 1 },
    { proxyGid: 1 },
    { outboundPort: 1 },
    { inboundPort: 1 },
    { includeOutboundRanges: [] },
    { includeOutboundRanges: ranges("127.0.0.1/32") },
    { excludeOutboundRanges: ranges("10.0.0.0/8") },
    { excludeOutboundRanges: ranges("10.0.0.0/9") },
    { includeOutboundPorts: [1] },
    { excludeOutboundPorts: [1] },
    { includeInboundPorts: [] },
    { excludeInboundPorts: [1] },
    { loopback: ranges("127.0.0.0/8")[0]?.prefix ?? defaults.loopback },
  ];
  const ids = [compile(), ...others.map(compile)].map((policy) => policy.id);
  assert.is(new Set(ids).size, ids.length);
});

test("the id is the same on every node: a known one", () => {
  const policy = compile({ excludeOutboundRanges: ranges("10.0.0.0/8") });
  assert.is(
    canonicalText(policy),
    [
      "shunt policy 2",
      "proxy 1337 1337",
      "to 15001 15006",
      "other true true",
      "local false",
      "loopback 4 7f000001000000000000000000000000/32",
      "owners all",
      "dns off",
      "port inbound 15008 bypass tunnel-port",
      "port inbound 15020 bypass excluded-port",
      "port inbound 15021 bypass excluded-port",
      "port inbound 15090 bypass excluded-port",
      "port outbound 15020 bypass excluded-port",
      "range 4 0a000000000000000000000000000000/8 bypass excluded-range",
    ].join("\n"),
  );
  assert.is(policy.id.toString(16), "727db90e46de8c82");
});

test("ranges are sorted, each prefix once, and no rule lies in one that says the same", () => {
  fc.assert(
    fc.property(anySettings, (settings) => {
      const { ranges: rules } = compilePolicy(settings);
      const keys = rules.map(({ prefix }) =>
        [
          String(prefix.address.family),
          Buffer.from(prefix.address.bytes).toString("hex"),
          String(prefix.length).padStart(3, "0"),
        ].join(" "),
      );
      assert.equal(keys, [...new Set(keys)].sort());
    }),
    { numRuns: 1000 },
  );
});

test("10,000 ranges take less than 50 ms", async () => {
  const many = (count: number, length: number) =>
    ranges(
      Array.from({ length: count }, (_, i) => `10.${i >> 8}.${i & 255}.0/${length}`)
        .toReversed()
        .join(","),
    );
  const settings = {
    includeOutboundRanges: [...many(5000, 24), ...ranges("10.0.0.0/8")],
    excludeOutboundRanges: many(5000, 25),
  };
  const best = await fastest(50, () => assert.is(compile(settings).ranges.length, 5001));
  assert.ok(best < 50, `${best} ms`);
});

test.run();
