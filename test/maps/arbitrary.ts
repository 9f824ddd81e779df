/** States to diff, for fast-check. Few ids, so that pods and policies meet often. */
import fc from "fast-check";
import type { PodState, Want } from "../../src/maps/state.js";
import { addressFromBytes, maskAddress } from "../../src/model/address.js";
import type { DnsCapture, Owners, Policy, PortRule, RangeRule } from "../../src/model/policy.js";

export const addressArbitrary = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(addressFromBytes);

const action = fc.constantFrom("bypass" as const, "redirect" as const);
const portArbitrary: fc.Arbitrary<PortRule> = fc.record({
  direction: fc.constantFrom("outbound" as const, "inbound" as const),
  port: fc.integer({ min: 0, max: 65535 }),
  action,
  reason: fc.constantFrom("excluded-port" as const, "included-port" as const),
});
const rangeArbitrary: fc.Arbitrary<RangeRule> = fc.record({
  prefix: fc
    .tuple(addressArbitrary, fc.nat(128))
    .map(([address, length]) => maskAddress(address, Math.min(length, address.family === 4 ? 32 : 128))),
  action,
  reason: fc.constantFrom("excluded-range" as const, "included-range" as const),
});

const rangeText = ({ prefix }: RangeRule): string =>
  `${prefix.address.family} ${prefix.address.bytes.join(".")}/${prefix.length}`;

export function policyArbitrary(id: bigint): fc.Arbitrary<Policy> {
  return fc.record({
    id: fc.constant(id),
    proxyUid: fc.nat(70000),
    proxyGid: fc.nat(70000),
    outboundPort: fc.constant(15001),
    inboundPort: fc.constant(15006),
    captureOtherOutbound: fc.boolean(),
    sidecarNone: fc.boolean(),
    captureOtherInbound: fc.boolean(),
    keepLocal: fc.boolean(),
    owners: fc.constantFrom<Owners>(
      { mode: "all", gids: [] },
      { mode: "included", gids: [] },
      { mode: "included", gids: [0, 7] },
      { mode: "excluded", gids: [7] },
    ),
    dns: fc.constantFrom<DnsCapture>("off", "all", "resolv-conf"),
    routes: fc
      .uniqueArray(rangeArbitrary, { selector: rangeText, maxLength: 3 })
      .map((ranges) => ranges.map(({ prefix, action }) => ({ prefix, excluded: action === "bypass" }))),
    loopback: fc.constant(maskAddress(addressFromBytes(Uint8Array.of(127, 0, 0, 1)), 32)),
    ports: fc.uniqueArray(portArbitrary, { selector: (port) => `${port.direction} ${port.port}`, maxLength: 5 }),
    ranges: fc.uniqueArray(rangeArbitrary, { selector: rangeText, maxLength: 5 }),
  });
}

function podArbitrary(cgroupId: bigint): fc.Arbitrary<PodState> {
  return fc.record({
    cgroupId: fc.constant(cgroupId),
    policy: fc.bigInt({ min: 1n, max: 6n }),
    netnsCookie: fc.bigInt({ min: 0n, max: 3n }),
    proxyCgroupId: fc.bigInt({ min: 0n, max: 3n }),
    proxyCgroupOnly: fc.boolean(),
    captureIpv6: fc.boolean(),
    uidBase: fc.nat(3),
    gidBase: fc.nat(3),
    ipv4: fc.option(fc.constant(addressFromBytes(Uint8Array.of(10, 0, 0, 1))), { nil: undefined }),
    ipv6: fc.constant(undefined),
    localAddresses: fc.uniqueArray(addressArbitrary, { selector: (a) => a.bytes.join(), maxLength: 3 }),
    dnsServers: fc.uniqueArray(addressArbitrary, { selector: (a) => a.bytes.join(), maxLength: 2 }),
    excludedInterfaces: fc.uniqueArray(fc.nat(3), { maxLength: 2 }),
  });
}

/** Policies are content-addressed: the same id is the same policy in every state of one run. */
export function wantsArbitrary(count: number): fc.Arbitrary<Want[]> {
  const ids = [1n, 2n, 3n, 4n, 5n, 6n];
  const library = fc.tuple(...ids.map(policyArbitrary));
  const known = [101n, 102n, 103n, 104n, 105n];
  const podSets = fc.array(
    fc
      .tuple(fc.subarray(known), fc.subarray(known))
      .chain(([pods, others]) =>
        fc.tuple(fc.tuple(...pods.map(podArbitrary)), fc.constant(others.filter((id) => !pods.includes(id)))),
      ),
    {
      minLength: count,
      maxLength: count,
    },
  );
  return fc.tuple(library, podSets).map(([policies, sets]) =>
    sets.map(([pods, outside]) => ({
      outside: new Set(outside),
      pods: new Map(pods.map((pod) => [pod.cgroupId, pod])),
      policies: new Map(
        policies.filter(({ id }) => pods.some((pod) => pod.policy === id)).map((policy) => [policy.id, policy]),
      ),
    })),
  );
}
