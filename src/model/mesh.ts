/** Istio's MeshConfig, the parts that decide over capture, checked. */
import type { OutboundMode } from "./sidecar.js";

export interface Mesh {
  /** Of a workload whose Sidecar does not say one. */
  readonly outboundMode: OutboundMode;
  /** Its Sidecar without a selector is for every namespace that has none. */
  readonly rootNamespace: string;
  /** `defaultConfig.proxyMetadata`: what a pod's own `proxy.istio.io/config` and environment do not say. */
  readonly proxyMetadata: ReadonlyMap<string, string>;
  /** Of the ConfigMap; "" if there is none. */
  readonly namespace: string;
  /** Where the document stands, for messages; "" if there is none. */
  readonly where: string;
}

export const defaultRootNamespace = "istio-system";

/** What holds where there is no MeshConfig (pkg/config/mesh, Istio 1.26). */
export const defaultMesh: Mesh = {
  outboundMode: "ALLOW_ANY",
  rootNamespace: defaultRootNamespace,
  proxyMetadata: new Map(),
  namespace: "",
  where: "",
};

/** What holds where there is one that cannot be read: nothing passes that it may have closed. */
export const closedMesh: Mesh = { ...defaultMesh, outboundMode: "REGISTRY_ONLY" };

/**
 * The one that counts of several: that of the default root namespace, else the first by namespace, then by place.
 * @returns `none` if there is none.
 */
export function chooseMesh(meshes: readonly Mesh[], none: Mesh = defaultMesh): Mesh {
  const rank = ({ namespace, where }: Mesh): string =>
    `${namespace === defaultRootNamespace ? 0 : 1} ${namespace} ${where}`;
  return meshes.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))[0] ?? none;
}
