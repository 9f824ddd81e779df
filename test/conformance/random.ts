/** Random configurations and sockets from a seed: the same seed, the same run. */

import type { Subject } from "./compare.js";
import { baseConfig, type CaptureConfig } from "./config.js";
import { generatedRules } from "./iptables.js";
import { alwaysExcludedInbound, podOf } from "./manifest.js";
import { portsOfSidecars, randomSurroundings } from "./randomSidecar.js";
import type { Features } from "./scope.js";
import { below, list, pick, type Random } from "./seeded.js";
import type { Surroundings } from "./sidecar.js";
import { place } from "./site.js";
import type { Socket } from "./sockets.js";
import { destinationsOf, idsOf, inboundOf, kindsOf, portsOf, sourcesOf } from "./universe.js";

/** Ports that configurations name. Few, so that lists meet: an excluded port that is also included, and neighbours. */
const named = ["53", "80", "443", "3306", "4000", "4001", "8080", "9080", "9081", "15001", "15006", "15008", "15053"];
const port = (random: Random): string => pick(random, named);

/** Ranges that lie in one another, hold the pod, its second interface or its loopback, or have host bits. */
const special = {
  4: [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "127.0.0.0/8",
    "127.0.0.1/32",
    "127.9.0.0/16",
    "100.64.0.0/10",
    "198.51.100.0/25",
  ].concat(`${place.address}/32`, `${place.second}/24`),
  6: ["::/0", "::1/128", "2001:db8::/32", "2001:db8:51::/49", "::ffff:10.0.0.0/104", "fc00::/7"].concat(
    `${place.address6}/128`,
    `${place.second6}/64`,
  ),
} as const;

function range(random: Random): string {
  const four = random() < 0.6;
  if (random() < 0.25) return pick(random, special[four ? 4 : 6]);
  const part = (limit: number): number => below(random, limit);
  return four
    ? `${pick(random, [10, 172])}.${part(3)}.${part(3)}.${part(256)}/${8 + part(25)}`
    : `2001:db8:${part(3)}:${part(3)}::${part(3)}/${32 + part(97)}`;
}

const group = (random: Random): string => pick(random, ["202", "203", "1000", "1337", "0"]);

/** Everything that a pod can ask for. */
export function randomConfig(random: Random): CaptureConfig {
  const often = <T>(usual: T, share: number, otherwise: () => T): T => (random() < share ? usual : otherwise());
  const dns = random() < 0.4;
  const ids = often(["1337", "1337"], 0.8, () =>
    pick(random, [
      ["2001", "2002"],
      ["1337", "2002"],
      ["1", "1"],
    ]),
  );
  const excluded = list(random, 4, port);
  return {
    ...baseConfig,
    ProxyUID: ids[0] ?? "",
    ProxyGID: ids[1] ?? "",
    InboundPortsInclude: often("*", 0.5, () => list(random, 4, port)),
    InboundPortsExclude: [...(excluded === "" ? [] : [excluded]), ...alwaysExcludedInbound].join(),
    OutboundPortsInclude: often("", 0.5, () => list(random, 4, port)),
    OutboundPortsExclude: often("", 0.4, () => list(random, 4, port)),
    OutboundIPRangesInclude: often("*", 0.5, () => list(random, 6, range)),
    OutboundIPRangesExclude: list(random, 6, range),
    OwnerGroupsInclude: often("*", 0.75, () => list(random, 3, group)),
    OwnerGroupsExclude: often("", 0.75, () => list(random, 3, group)),
    ExcludeInterfaces: often("", 0.8, () => pick(random, [place.interface, "eth0", `eth0,${place.interface}`, "net7"])),
    HostIPv4LoopbackCidr: often(baseConfig.HostIPv4LoopbackCidr, 0.8, () =>
      pick(random, ["127.0.0.0/8", "127.0.0.0/30", "127.9.0.0/16", "127.0.0.2/32"]),
    ),
    RedirectDNS: dns,
    CaptureAllDNS: dns,
    EnableIPv6: random() < 0.6,
  };
}

/** The port that the proxy answers health checks on: excluded inbound as well, unless it is 0 or "". */
function withStatusPort(random: Random, config: CaptureConfig): Pick<Subject, "config" | "pod"> {
  const status = pick(random, ["", "", "0", "15020", "8080"]);
  const added = status === "" || status === "0" ? "" : `,${status}`;
  const pod = podOf(config);
  return {
    config: { ...config, InboundPortsExclude: config.InboundPortsExclude + added },
    pod: { ...pod, annotations: { ...pod.annotations, "status.sidecar.istio.io/port": status } },
  };
}

export function randomSubject(random: Random, name: string, on: Pick<Features, "sidecars">): Subject {
  const surroundings = randomSurroundings(random, named);
  const any = randomConfig(random);
  // A Sidecar has a say in what * captures alone, so most of them get that to decide.
  const star: CaptureConfig = {
    ...any,
    InboundPortsInclude: "*",
    OutboundIPRangesInclude: "*",
    OwnerGroupsInclude: "*",
  };
  const isPlain = surroundings.sidecars.length > 0 && random() < 0.8;
  const { config, pod } = withStatusPort(random, isPlain ? star : any);
  return { name, config, pod, rules: generatedRules(config), ...(on.sidecars ? { surroundings } : {}) };
}

export interface Choice {
  readonly count: number;
  readonly families: readonly (4 | 6)[];
}

/** Sockets out of those that the configuration makes interesting; one in five comes from outside. */
export function randomSockets(
  random: Random,
  config: CaptureConfig,
  { count, families }: Choice,
  around: Surroundings = { sidecars: [], mesh: undefined },
): Socket[] {
  const wanted = (address: string): boolean => families.includes(address.includes(":") ? 6 : 4);
  const ports = [...new Set([...portsOf(config), ...portsOfSidecars(around)])];
  const destinations = destinationsOf(config).filter(wanted);
  const ids = idsOf(config);
  const inbound = inboundOf(ports).filter(({ address }) => wanted(address));
  const telling = sidecarSockets(around, ports).filter(({ address }) => wanted(address));
  return Array.from({ length: count }, (): Socket => {
    if (telling.length > 0 && random() < 0.3) return pick(random, telling);
    if (random() < 0.2) return pick(random, inbound);
    const address = pick(random, destinations);
    const source = pick(random, sourcesOf(address));
    // Half of them TCP: UDP is steered at one port only.
    const kind = random() < 0.5 ? "tcp" : pick(random, kindsOf(address));
    return { direction: "outbound", kind, ...pick(random, ids), source, address, port: pick(random, ports) };
  });
}

/** Those that a Sidecar may have a say in: an application's that leave the pod, and what arrives; TCP. */
function sidecarSockets(around: Surroundings, ports: readonly number[]): Socket[] {
  if (around.sidecars.length === 0) return [];
  const app = { direction: "outbound", kind: "tcp", uid: 1000, gid: 1000, source: undefined } as const;
  const outside = ["203.0.113.9", "2001:db8:9::9"];
  const outbound = ports.flatMap((port) => outside.map((address): Socket => ({ ...app, address, port })));
  return [...outbound, ...inboundOf(portsOfSidecars(around)).filter(({ kind }) => kind === "tcp")];
}

/** Every port that a random configuration may name, and its neighbours. */
export const randomPorts: readonly number[] = portsOf({
  ...baseConfig,
  OutboundPortsInclude: [...named, ...alwaysExcludedInbound].join(),
});
