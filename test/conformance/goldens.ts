/** Istio's golden files as subjects of the comparison, and the few things that no pod can ask for. */
import { readGoldens } from "./cases.js";
import type { Subject } from "./compare.js";
import { type CaptureConfig, split } from "./config.js";
import { goldenRules } from "./iptables.js";
import { alwaysExcludedInbound, podOf } from "./manifest.js";
import type { Socket } from "./sockets.js";

/** A group that Istio's case calls by a name: a pod, and this machine, know numbers. */
const namedGroup = ["java", "203"] as const;

/** Where both sides are told something else than the file says. */
function rewritten(text: string, config: CaptureConfig): { text: string; config: CaptureConfig } {
  const number = (list: string): string => list.replace(...namedGroup);
  return {
    text: text
      .replaceAll(`--gid-owner ${namedGroup[0]}`, `--gid-owner ${namedGroup[1]}`)
      // Names the pod's own interface: forwarded traffic has no local socket.
      .replace(/^-I PREROUTING .*\n/gm, ""),
    config: { ...config, OwnerGroupsInclude: number(config.OwnerGroupsInclude), RerouteVirtualInterfaces: "" },
  };
}

function expressible(config: CaptureConfig): (socket: Socket) => boolean {
  const added = alwaysExcludedInbound.filter((port) => !split(config.InboundPortsExclude).includes(port)).map(Number);
  const users = split(config.ProxyUID).slice(1).map(Number);
  const groups = split(config.ProxyGID).slice(1).map(Number);
  return ({ direction, port, uid, gid }) => {
    if (direction === "inbound") return config.InboundPortsInclude !== "*" || !added.includes(port);
    if (users.includes(uid) || groups.includes(gid)) return false;
    // The server is one of resolv.conf: a pod's settings do not name it.
    return port !== 53 || !config.RedirectDNS || config.CaptureAllDNS;
  };
}

export function goldenSubjects(): Subject[] {
  return readGoldens().map((golden) => {
    const { text, config } = rewritten(golden.text, golden.config);
    const rules = goldenRules(text);
    return { name: golden.name, config, rules, pod: golden.pod ?? podOf(config), expressible: expressible(config) };
  });
}
