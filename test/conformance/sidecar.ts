/**
 * Sidecars and the mesh's configuration beside a pod, and what they take away from what is captured: section 7 of the
 * semantics, written from its words alone. Istio's rules know nothing of it, so this is the judge.
 */
import { dump } from "js-yaml";

export type CaptureMode = "DEFAULT" | "IPTABLES" | "NONE";
export type OutboundMode = "ALLOW_ANY" | "REGISTRY_ONLY";

export interface Listener {
  /** Undefined: of every port that no other listener has. 0: on a unix socket. */
  readonly port: number | undefined;
  /** Undefined: not written. */
  readonly mode: CaptureMode | undefined;
  readonly bind: string | undefined;
}

export interface OutboundPolicy {
  /** Undefined: a policy that does not say one. */
  readonly mode: OutboundMode | undefined;
  readonly egressProxy: boolean;
}

export interface SidecarSpec {
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339; undefined: not written. */
  readonly created: string | undefined;
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly ingress: readonly Listener[];
  readonly egress: readonly Listener[];
  readonly policy: OutboundPolicy | undefined;
}

export interface MeshSpec {
  readonly policy: { readonly mode: OutboundMode | undefined } | undefined;
  readonly rootNamespace: string | undefined;
}

export interface Surroundings {
  readonly sidecars: readonly SidecarSpec[];
  readonly mesh: MeshSpec | undefined;
}

/** Of the pod that is compared. */
export const podNamespace = "test";
export const podLabels: Readonly<Record<string, string>> = { app: "web", tier: "front" };

/** "sort by creationTimestamp, then name"; no time is before any. */
function inOrder(sidecars: readonly SidecarSpec[]): SidecarSpec[] {
  const time = ({ created }: SidecarSpec): number => (created === undefined ? -1 : Date.parse(created));
  return sidecars.toSorted((a, b) => time(a) - time(b) || (a.name < b.name ? -1 : 1));
}

/** The pod's Sidecar, if it has one. "Nothing is merged." */
export function sidecarOf({ sidecars, mesh }: Surroundings): SidecarSpec | undefined {
  const root = mesh?.rootNamespace ?? "istio-system";
  const of = (namespace: string) => inOrder(sidecars.filter((each) => each.namespace === namespace));
  const matches = ({ selector }: SidecarSpec): boolean =>
    selector !== undefined && Object.entries(selector).every(([key, value]) => podLabels[key] === value);
  const plain = ({ selector }: SidecarSpec): boolean => selector === undefined;
  return of(podNamespace).find(matches) ?? of(podNamespace).find(plain) ?? of(root).find(plain);
}

/** "outboundTrafficPolicy: {} means REGISTRY_ONLY; absent means the mesh's." An egressProxy closes as well. */
function isClosed(sidecar: SidecarSpec, mesh: MeshSpec | undefined): boolean {
  if (sidecar.policy?.egressProxy === true) return true;
  const policy = sidecar.policy ?? mesh?.policy;
  return policy !== undefined && policy.mode !== "ALLOW_ANY";
}

/** Whether the Sidecar lets a port pass that no annotation names. */
export interface Narrowing {
  passesOut(port: number): boolean;
  passesIn(port: number): boolean;
}

export function narrowing(surroundings: Surroundings): Narrowing {
  const sidecar = sidecarOf(surroundings);
  if (sidecar === undefined) return { passesOut: () => false, passesIn: () => false };
  const closed = isClosed(sidecar, surroundings.mesh);
  return {
    passesOut(port) {
      if (closed) return false;
      const own = sidecar.egress.find((each) => each.port === port);
      const rest = sidecar.egress.find((each) => each.port === undefined);
      return (own ?? rest)?.mode === "NONE";
    },
    passesIn: (port) => sidecar.ingress.some((each) => each.port === port && each.mode === "NONE"),
  };
}

const port = (number: number) => ({ number, protocol: "TCP", name: `tcp-${number}` });

function manifestOf({ namespace, name, created, selector, ingress, egress, policy }: SidecarSpec): object {
  const listener = (each: Listener): object => ({
    ...(each.port === undefined ? {} : { port: port(each.port) }),
    ...(each.mode === undefined ? {} : { captureMode: each.mode }),
    ...(each.bind === undefined ? {} : { bind: each.bind }),
  });
  const through = { egressProxy: { host: "egress.mesh.example", port: { number: 443 } } };
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "Sidecar",
    metadata: { namespace, name, ...(created === undefined ? {} : { creationTimestamp: created }) },
    spec: {
      ...(selector === undefined ? {} : { workloadSelector: { labels: selector } }),
      ...(ingress.length === 0 ? {} : { ingress: ingress.map(listener) }),
      egress: egress.map((each) => ({ ...listener(each), hosts: ["*/*"] })),
      ...(policy === undefined
        ? {}
        : {
            outboundTrafficPolicy: {
              ...(policy.mode === undefined ? {} : { mode: policy.mode }),
              ...(policy.egressProxy ? through : {}),
            },
          }),
    },
  };
}

function meshManifest({ policy, rootNamespace }: MeshSpec): object {
  const config = {
    ...(policy === undefined ? {} : { outboundTrafficPolicy: policy.mode === undefined ? {} : { mode: policy.mode } }),
    ...(rootNamespace === undefined ? {} : { rootNamespace }),
  };
  const metadata = { name: "istio", namespace: "istio-system" };
  return { apiVersion: "v1", kind: "ConfigMap", metadata, data: { mesh: dump(config) } };
}

/** As documents of YAML, to be appended to the pod's. */
export function surroundingsText({ sidecars, mesh }: Surroundings): string {
  const documents = [...sidecars.map(manifestOf), ...(mesh === undefined ? [] : [meshManifest(mesh)])];
  return documents.map((document) => `---\n${dump(document, { noRefs: true })}`).join("");
}
