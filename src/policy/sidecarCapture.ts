/**
 * What a pod's Sidecar means for capture: semantics, section 7. Istio's own rules ignore it.
 *
 * In order of strength: an annotation that names the port or the address, the Sidecar, the defaults. `*` and ""
 * name nothing. So the Sidecar has a say in what `includeOutboundIPRanges: "*"` and `includeInboundPorts: "*"` would
 * capture, and it can only take away from that: in the list (src/policy/decide.ts) it stands right before that step.
 */
import type { Mesh } from "../model/mesh.js";
import type { Problem } from "../model/problem.js";
import { type EgressListener, type Sidecar, sidecarName } from "../model/sidecar.js";
import type { Settings, SidecarCapture } from "./settings.js";

export interface ReadCapture {
  readonly capture: SidecarCapture;
  /** NONEs that are not honoured. The policy is whole all the same. */
  readonly problems: readonly Problem[];
}

/** @param pod `namespace/name`, for messages. */
export function sidecarCapture(sidecar: Sidecar, mesh: Mesh, settings: Settings, pod: string): ReadCapture {
  const inboundPorts = sidecar.ingress.filter(isNone).map(({ port }) => port);
  const listeners = sidecar.egress.filter(({ port }) => port !== 0); // 0: on a unix socket, no IP traffic
  const closed = closedBy(sidecar, mesh);
  if (closed !== undefined) {
    const problems = listeners
      .filter((listener) => isNone(listener) && wouldOpen(settings, listener))
      .map((listener) => notHonoured(sidecar, listener, closed, pod));
    return { capture: { otherOutbound: false, outboundPorts: [], inboundPorts }, problems };
  }
  const rest = listeners.find(({ port }) => port === undefined);
  const otherOutbound = rest !== undefined && isNone(rest);
  const outboundPorts = listeners.flatMap((listener) =>
    listener.port !== undefined && isNone(listener) !== otherOutbound ? [listener.port] : [],
  );
  return { capture: { otherOutbound, outboundPorts, inboundPorts }, problems: [] };
}

function isNone({ captureMode }: { readonly captureMode: string }): boolean {
  return captureMode === "NONE";
}

/**
 * Why nothing may leave beside the proxy: it would reach what the proxy refuses, or not go through where all is to go
 * through. @returns undefined if nothing forbids it.
 */
function closedBy(sidecar: Sidecar, mesh: Mesh): string | undefined {
  const own = sidecar.outboundTrafficPolicy;
  if (own?.egressProxy !== undefined) return `outbound traffic is to go through the egressProxy ${own.egressProxy}`;
  if ((own?.mode ?? mesh.outboundMode) === "ALLOW_ANY") return undefined;
  return `the outboundTrafficPolicy of ${own === undefined ? "the mesh" : "this Sidecar"} is REGISTRY_ONLY`;
}

/** Whether a NONE would let anything pass that the annotations capture without naming it. */
function wouldOpen(settings: Settings, { port }: EgressListener): boolean {
  if (settings.includeOutboundRanges !== "*") return false;
  return port === undefined || ![...settings.includeOutboundPorts, ...settings.excludeOutboundPorts].includes(port);
}

function notHonoured(sidecar: Sidecar, listener: EgressListener, closed: string, pod: string): Problem {
  const key = `Sidecar ${sidecarName(sidecar)} spec.egress[${sidecar.egress.indexOf(listener)}].captureMode`;
  const stays = listener.port === undefined ? "the other ports stay" : `port ${listener.port} stays`;
  const why = `not honoured, since ${closed}: ${stays} captured`;
  return { kind: "sidecar", where: sidecar.where, pod, key, value: "NONE", why };
}
