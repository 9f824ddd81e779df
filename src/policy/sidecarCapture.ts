/**
 * What a pod's Sidecar means for capture: semantics, section 7. Istio's own rules ignore it.
 *
 * In order of strength: an annotation that names the port or the address, the Sidecar, the defaults. `*` and ""
 * name nothing. So the Sidecar has a say in what `includeOutboundIPRanges: "*"` and `includeInboundPorts: "*"` would
 * capture, and it can only take away from that: in the list (src/policy/decide.ts) it stands right before that step.
 */
import type { Mesh } from "../model/mesh.js";
import { boundProblems, type Problem } from "../model/problem.js";
import { type EgressListener, type Sidecar, sidecarName } from "../model/sidecar.js";
import type { Settings, SidecarCapture } from "./settings.js";

export interface ReadCapture {
  readonly capture: SidecarCapture;
  /** NONEs that are not honoured. The policy is whole all the same. */
  readonly problems: readonly Problem[];
}

/** Of one pod that are listed: there are ports enough for 65,535. */
const mostProblems = 100;

/** @param pod `namespace/name`, for messages. */
export function sidecarCapture(sidecar: Sidecar, mesh: Mesh, settings: Settings, pod: string): ReadCapture {
  const closed = closedBy(sidecar, mesh);
  const capture = captureOf(sidecar)[closed === undefined ? "open" : "closed"];
  if (closed === undefined) return { capture, problems: [] };
  const opens = wouldOpen(settings);
  const problems = sidecar.egress.flatMap((listener, i) =>
    listener.port !== 0 && isNone(listener) && opens(listener) ? [notHonoured(sidecar, i, closed, pod)] : [],
  );
  return { capture, problems: boundProblems(problems, mostProblems) };
}

/** What a Sidecar says by itself: whether something forbids what it lets out, depends on the mesh as well. */
interface Captures {
  readonly open: SidecarCapture;
  readonly closed: SidecarCapture;
}

/** Of each Sidecar once, and not once for each of its pods; it never changes, an edit makes another one. */
const captures = new WeakMap<Sidecar, Captures>();

function captureOf(sidecar: Sidecar): Captures {
  const known = captures.get(sidecar);
  if (known !== undefined) return known;
  const inboundPorts = sidecar.ingress.filter(isNone).map(({ port }) => port);
  const listeners = sidecar.egress.filter(({ port }) => port !== 0); // 0: on a unix socket, no IP traffic
  const rest = listeners.find(({ port }) => port === undefined);
  const otherOutbound = rest !== undefined && isNone(rest);
  const outboundPorts = listeners.flatMap((listener) =>
    listener.port !== undefined && isNone(listener) !== otherOutbound ? [listener.port] : [],
  );
  const made = {
    open: { otherOutbound, outboundPorts, inboundPorts },
    closed: { otherOutbound: false, outboundPorts: [], inboundPorts },
  };
  captures.set(sidecar, made);
  return made;
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

/**
 * Whether a NONE would let anything pass that the annotations capture without naming it.
 * @returns asked often: a Sidecar may have a listener on every port.
 */
function wouldOpen(settings: Settings): (listener: EgressListener) => boolean {
  if (settings.includeOutboundRanges !== "*") return () => false;
  const named = new Set([...settings.includeOutboundPorts, ...settings.excludeOutboundPorts]);
  return ({ port }) => port === undefined || !named.has(port);
}

function notHonoured(sidecar: Sidecar, i: number, closed: string, pod: string): Problem {
  const port = sidecar.egress[i]?.port;
  const key = `Sidecar ${sidecarName(sidecar)} spec.egress[${i}].captureMode`;
  const stays = port === undefined ? "the other ports stay" : `port ${port} stays`;
  const why = `not honoured, since ${closed}: ${stays} captured`;
  return { kind: "sidecar", where: sidecar.where, pod, key, value: "NONE", why };
}
