/** Settings and sockets for fast-check: few addresses, ports and ids, so that they meet, nest and touch. */
import fc from "fast-check";
import type { Address } from "../../src/model/address.js";
import { captureModes, outboundModes, type Sidecar } from "../../src/model/sidecar.js";
import type { OutboundSocket, PodFacts } from "../../src/policy/decide.js";
import type { Settings } from "../../src/policy/settings.js";
import { parseRange, type Range } from "../../src/policy/values.js";
import { address, prefix } from "./kit.js";

// biome-ignore format: as many as fit on a line
const addresses4 = [
  "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.127", "10.0.0.128", "10.0.1.0", "10.255.255.255", "11.0.0.0",
  "9.255.255.255", "0.0.0.0", "0.0.0.1", "255.255.255.255", "126.255.255.255", "127.0.0.0", "127.0.0.1", "127.0.0.2",
  "127.0.0.6", "127.255.255.255", "128.0.0.0", "10.9.9.9", "192.168.0.7",
];
// biome-ignore format: as many as fit on a line
const addresses6 = [
  "::", "::1", "::2", "::6", "::7", "fd00::", "fd00::1", "fd00::2", "fd00:0:0:1::", "fdff:ffff::1", "fe80::1", "2001:db8::1",
  "::a00:1", "7f00::", "a00:1::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];
const own: readonly Address[] = ["10.9.9.9", "192.168.0.7", "fd00::2", "fe80::1"].map(address);

const anyAddress = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...addresses4).map(address) },
  { weight: 6, arbitrary: fc.constantFrom(...addresses6).map(address) },
  { weight: 1, arbitrary: fc.ipV4().map(address) },
  { weight: 1, arbitrary: fc.ipV6().map(address) },
);
const lengths4 = fc.constantFrom(0, 1, 7, 8, 9, 16, 24, 25, 30, 31, 32);
const lengths6 = fc.constantFrom(0, 1, 8, 16, 63, 64, 65, 95, 96, 104, 120, 126, 127, 128);
const mapped = fc.constantFrom("::ffff:10.0.0.0", "::ffff:127.0.0.1", "::ffff:0:0");
const anyRange: fc.Arbitrary<Range> = fc
  .oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom(...addresses4), lengths4) },
    { weight: 5, arbitrary: fc.tuple(fc.constantFrom(...addresses6), lengths6) },
    { weight: 1, arbitrary: fc.tuple(mapped, lengths6) },
  )
  .map(([text, length]) => {
    const parsed = parseRange(`${text}/${length}`);
    if ("why" in parsed) throw new Error(parsed.why);
    return parsed.value;
  });
const someRanges = fc.array(anyRange, { maxLength: 8 });

export const anyPort = fc.constantFrom(0, 1, 53, 80, 443, 8080, 15001, 15006, 15008, 15020, 15021, 15090, 65535);
const somePorts = fc.array(anyPort, { maxLength: 5 });
const id = fc.constantFrom(0, 1, 1000, 1337, 2 ** 31 - 1);

export const anySettings: fc.Arbitrary<Settings> = fc.record({
  includeOutboundRanges: fc.oneof(fc.constant("*" as const), someRanges, someRanges),
  excludeOutboundRanges: someRanges,
  includeOutboundPorts: somePorts,
  excludeOutboundPorts: somePorts,
  includeInboundPorts: fc.oneof(fc.constant("*" as const), somePorts),
  excludeInboundPorts: somePorts,
  proxyUid: fc.constantFrom(1337, 1000),
  proxyGid: fc.constantFrom(1337, 1000),
  outboundPort: fc.constantFrom(15001, 1),
  inboundPort: fc.constantFrom(15006, 2),
  ownerGroups: fc.oneof(
    { weight: 4, arbitrary: fc.constant("*" as const) },
    { weight: 1, arbitrary: fc.array(id, { maxLength: 3 }) },
  ),
  ownerGroupsExcluded: fc.oneof(
    { weight: 4, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.array(id, { maxLength: 3 }) },
  ),
  dnsCapture: fc.boolean(),
  dualStack: fc.boolean(),
  excludeInterfaces: fc.constant<string[]>([]),
  loopback: fc.constantFrom("127.0.0.1/32", "127.0.0.0/8", "127.0.0.0/31", "127.255.0.0/16").map(prefix),
});

const mode = fc.constantFrom(...captureModes);
const policyOfSidecar = fc.oneof(
  fc.record({ mode: fc.constantFrom(...outboundModes), egressProxy: fc.constant(undefined) }),
  fc.record({ mode: fc.constant("ALLOW_ANY" as const), egressProxy: fc.constant("egress.example") }),
);

/** As one is once it has been checked: each port once, the listener without a port last. */
export const anySidecar: fc.Arbitrary<Sidecar> = fc
  .record({
    ingress: fc.uniqueArray(fc.record({ port: anyPort, captureMode: mode }), { selector: ({ port }) => port }),
    egress: fc.uniqueArray(fc.record({ port: anyPort, captureMode: mode }), { selector: ({ port }) => port }),
    rest: fc.option(mode, { nil: undefined }),
    outboundTrafficPolicy: fc.option(policyOfSidecar, { nil: undefined }),
  })
  .map(({ ingress, egress, rest, outboundTrafficPolicy }) => {
    const others = rest === undefined ? [] : [{ port: undefined, captureMode: rest }];
    return {
      namespace: "ns",
      name: "s",
      created: undefined,
      selector: undefined,
      ingress: ingress
        .filter(({ port }) => port !== 0)
        .map((listener) => ({ ...listener, bind: "", defaultEndpoint: "" })),
      egress: [...egress, ...others].map((listener) => ({
        ...listener,
        bind: listener.port === 0 ? "unix:///a" : "",
        hosts: ["*/*"],
      })),
      outboundTrafficPolicy,
      where: "s.yaml:1",
    };
  });

/** Of one family, as the kernel has it: what is bound and what is asked for. */
export const anySocket: fc.Arbitrary<OutboundSocket> = fc
  .record({
    protocol: fc.constantFrom("tcp", "tcp", "tcp", "udp"),
    source: fc.option(fc.constantFrom("10.9.9.9", "127.0.0.6", "0.0.0.0", "fd00::2", "::6", "::"), { nil: undefined }),
    destination: anyAddress,
    port: fc.oneof({ weight: 5, arbitrary: anyPort }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 65535 }) }),
    uid: id,
    gid: id,
    isProxyCgroup: fc.oneof(fc.constant(false), fc.constant(false), fc.boolean()),
  } as const)
  .map(({ source, ...socket }) => {
    const bound = source === undefined ? undefined : address(source);
    return { ...socket, source: bound?.family === socket.destination.family ? bound : undefined };
  });

export const anyPod: fc.Arbitrary<PodFacts> = fc.record({
  localAddresses: fc.subarray([...own]),
  dnsServers: fc.array(anyAddress, { maxLength: 3 }),
  captureIpv6: fc.oneof(fc.constant(true), fc.constant(true), fc.boolean()),
});
