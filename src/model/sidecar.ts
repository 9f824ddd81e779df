/** Istio's `Sidecar` (networking.istio.io, v1, v1beta1 and v1alpha3), the parts that decide over capture, checked. */

export const captureModes = ["DEFAULT", "IPTABLES", "NONE"] as const;
export type CaptureMode = (typeof captureModes)[number];

/** What the proxy does with a destination that no listener knows. */
export const outboundModes = ["REGISTRY_ONLY", "ALLOW_ANY"] as const;
export type OutboundMode = (typeof outboundModes)[number];

export interface IngressListener {
  /** 1–65535. */
  readonly port: number;
  /** An address, or "". It changes nothing about capture. */
  readonly bind: string;
  readonly captureMode: CaptureMode;
  /** `127.0.0.1:8080`, `unix:///path`, or "": the proxy translates, so it changes nothing about capture. */
  readonly defaultEndpoint: string;
}

export interface EgressListener {
  /** 1–65535; 0 of a listener on a unix socket; undefined of the one for all other ports, which is the last. */
  readonly port: number | undefined;
  /** An address, `unix://…`, or "". It changes nothing about capture. */
  readonly bind: string;
  readonly captureMode: CaptureMode;
  /** `namespace/dnsName`, as written. */
  readonly hosts: readonly string[];
}

export interface OutboundTrafficPolicy {
  readonly mode: OutboundMode;
  /** Unknown destinations go through this host. */
  readonly egressProxy: string | undefined;
}

export interface Sidecar {
  readonly namespace: string;
  readonly name: string;
  /** ms since the epoch; undefined where nobody has set it, which is earlier than any time. */
  readonly created: number | undefined;
  /** Undefined: no `workloadSelector`. One without labels is a selector that matches every pod. */
  readonly selector: ReadonlyMap<string, string> | undefined;
  readonly ingress: readonly IngressListener[];
  readonly egress: readonly EgressListener[];
  /** Undefined: the mesh's. */
  readonly outboundTrafficPolicy: OutboundTrafficPolicy | undefined;
  /** Where the document stands, for messages: `sidecars/a.yaml:1`. */
  readonly where: string;
}

/** `namespace/name`. */
export function sidecarName({ namespace, name }: Pick<Sidecar, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}
