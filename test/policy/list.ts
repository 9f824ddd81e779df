/**
 * Istio's list of rules, first match wins, on settings that nothing has been resolved in: semantics, sections 3
 * and 4, line by line, with the routes of a pod that excludes no interface; and section 7 where an order of strength
 * puts it. It shares no code with the compiler: addresses are numbers here.
 */
import type { Address } from "../../src/model/address.js";
import type { OutboundMode, Sidecar } from "../../src/model/sidecar.js";
import type { Reason } from "../../src/model/verdict.js";
import type { OutboundSocket, PodFacts } from "../../src/policy/decide.js";
import type { Settings } from "../../src/policy/settings.js";
import type { Range } from "../../src/policy/values.js";

export interface Listed {
  readonly to: number | null;
  readonly reason: Reason;
}

const pass = (reason: Reason): Listed => ({ to: null, reason });
const redirect = (to: number, reason: Reason): Listed => ({ to, reason });

function number({ family, bytes }: Address): bigint {
  return bytes.subarray(0, family === 4 ? 4 : 16).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function within(address: Address, block: Address, length: number): boolean {
  const shift = BigInt((address.family === 4 ? 32 : 128) - length);
  return address.family === block.family && number(address) >> shift === number(block) >> shift;
}

const inRanges = (dst: Address, ranges: readonly Range[]): boolean =>
  ranges.some(({ prefix }) => within(dst, prefix.address, prefix.length));

/** A pod's Sidecar, and what holds where it does not say. */
export interface Narrowing {
  readonly sidecar: Sidecar;
  readonly meshMode: OutboundMode;
}

function passesOut({ sidecar, meshMode }: Narrowing, port: number): boolean {
  const policy = sidecar.outboundTrafficPolicy;
  if ((policy === undefined ? meshMode : policy.mode) === "REGISTRY_ONLY") return false;
  if (policy?.egressProxy !== undefined) return false;
  const named = sidecar.egress.find((listener) => port !== 0 && listener.port === port);
  const listener = named ?? sidecar.egress.find((each) => each.port === undefined);
  return listener?.captureMode === "NONE";
}

/** @param all whether DNS is captured for every server, or for those of resolv.conf. */
export function outbound(
  settings: Settings,
  pod: PodFacts,
  socket: OutboundSocket,
  narrowing?: Narrowing,
  all = true,
): Listed {
  const { source, protocol, port, uid, gid } = socket;
  const own = pod.localAddresses;
  // "0.0.0.0 and :: connect to loopback", or IPv4 to the source if that is bound.
  let dst = socket.destination;
  if (number(dst) === 0n) {
    const bound = dst.family === 4 && source?.family === 4 && number(source) !== 0n;
    const bytes = new Uint8Array(16);
    if (dst.family === 4) bytes.set([127, 0, 0, 1]);
    else bytes[15] = 1;
    dst = bound ? source : { family: dst.family, bytes };
  }
  const v4 = dst.family === 4;
  const is127 = v4 && number(dst) >> 24n === 127n;
  const isLoopback = is127 || (!v4 && number(dst) === 1n);
  const lo = isLoopback || own.some((address) => address.family === dst.family && number(address) === number(dst));
  const LB = v4 ? within(dst, settings.loopback.address, settings.loopback.length) : number(dst) === 1n;
  const included = settings.includeOutboundRanges;
  const keepLo = included !== "*" && included.some((range) => range.loopback);

  if (!v4 && pod.captureIpv6 !== true) return pass("family-off");
  if (settings.excludeOutboundPorts.includes(port)) return pass("excluded-port");
  // Unbound, the kernel chooses the destination itself where that is local, but for 127.0.0.0/8 it chooses 127.0.0.1.
  const src = source === undefined || number(source) === 0n ? (v4 ? undefined : dst) : source;
  if (lo && src !== undefined && number(src) === (src.family === 4 ? 0x7f000006n : 6n))
    return pass("passthrough-source");
  const proxies: [boolean, "uid" | "gid"][] = [
    [uid === settings.proxyUid || socket.isProxyCgroup, "uid"],
    [gid === settings.proxyGid, "gid"],
  ];
  const dns = settings.dnsCapture;
  for (const [mine, which] of proxies) {
    if (mine) {
      const ownDns = dns && which === "uid" && port === 53;
      if (lo && protocol === "tcp" && !LB && port !== 15008 && !ownDns)
        return redirect(settings.inboundPort, "proxy-to-self");
      return pass(lo && protocol === "tcp" && !LB && !ownDns ? "tunnel-port" : "proxy");
    }
    if (lo && !keepLo) {
      const reason = isLoopback ? "loopback" : "local-address";
      if (!dns) return pass(reason);
      if (protocol === "tcp" && port !== 53) return pass(reason);
    }
  }
  if (settings.ownerGroups === "*") {
    if (settings.ownerGroupsExcluded.includes(gid)) return pass("owner-group");
  } else if (!settings.ownerGroups.includes(gid)) return pass("owner-group");
  const asked = (pod.dnsServers ?? []).some((server) => server.family === dst.family && number(server) === number(dst));
  if (dns && port === 53 && (all || asked)) return redirect(15053, "dns");
  if (protocol !== "tcp") return pass("not-tcp");
  if (LB) return pass("loopback");
  if (inRanges(dst, settings.excludeOutboundRanges)) return pass("excluded-range");
  if (settings.includeOutboundPorts.includes(port)) return redirect(settings.outboundPort, "included-port");
  if (included !== "*" && inRanges(dst, included)) return redirect(settings.outboundPort, "included-range");
  if (included !== "*") return pass("not-included");
  if (narrowing !== undefined && passesOut(narrowing, port)) return pass("sidecar-none");
  return redirect(settings.outboundPort, "included-all");
}

export function inbound(settings: Settings, port: number, narrowing?: Narrowing): Listed {
  const { includeInboundPorts: include, excludeInboundPorts: exclude, inboundPort } = settings;
  if (include !== "*" && include.length === 0) return pass("not-included");
  if (port === 15008) return pass("tunnel-port");
  if (include === "*") {
    if (exclude.includes(port)) return pass("excluded-port");
    const listener = narrowing?.sidecar.ingress.find((each) => each.port === port);
    return listener?.captureMode === "NONE" ? pass("sidecar-none") : redirect(inboundPort, "included-all");
  }
  return include.includes(port) ? redirect(inboundPort, "included-port") : pass("not-included");
}
