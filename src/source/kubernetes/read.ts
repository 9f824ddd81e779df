/** Objects of the cluster as they are kept: what cannot be read now stays as it was. Pure. */
import type { Mesh } from "../../model/mesh.js";
import { readMesh } from "../../model/meshDocument.js";
import type { Pod } from "../../model/pod.js";
import { readPod } from "../../model/podDocument.js";
import type { Problem } from "../../model/problem.js";
import type { Sidecar } from "../../model/sidecar.js";
import { readSidecar } from "../../model/sidecarDocument.js";
import { type Meta, withoutManagedFields } from "./meta.js";

/** An object as the server gave it, for whoever knows how to read it. The same object while it is unchanged. */
export interface ClusterDocument {
  readonly document: unknown;
  /** For messages: `Sidecar shop/default`. */
  readonly where: string;
}

export interface ReadSidecar extends ClusterDocument {
  /** The last one that Istio would admit. */
  readonly sidecar: Sidecar | undefined;
  readonly problems: readonly Problem[];
  /** It has been refused since the source was opened. */
  readonly unread: boolean;
}

export interface ReadMesh extends ClusterDocument {
  /** The last good one. */
  readonly mesh: Mesh;
  readonly problems: readonly Problem[];
  /** A value has been bad since the source was opened. */
  readonly unread: boolean;
}

export interface ReadPod {
  readonly pod: Pod | undefined;
  readonly problems: readonly Problem[];
}

/** A pod that cannot be read stays as it was: read without its containers it would seem to want no capture. */
export function readDocument(document: unknown, _meta: Meta, before: ReadPod | undefined): ReadPod {
  const { pod = before?.pod, problems } = readPod(document, "");
  return { pod, problems };
}

export const keepAs =
  (kind: string) =>
  (document: unknown, { namespace, name }: Meta): ClusterDocument => ({
    document: withoutManagedFields(document),
    where: `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`,
  });

/**
 * The items of a list do not say what they are. One that is refused now stays as it was.
 * @param opening nothing is known yet of any.
 */
export function readSidecarOf(
  document: unknown,
  meta: Meta,
  before: ReadSidecar | undefined,
  opening: boolean,
): ReadSidecar {
  const kept = keepAs("Sidecar")(document, meta);
  const whole = { apiVersion: "networking.istio.io/v1", kind: "Sidecar", ...(kept.document as object) };
  const { sidecar = before?.sidecar, problems } = readSidecar(whole, kept.where);
  return { ...kept, sidecar, problems, unread: sidecar === undefined && (before?.unread ?? opening) };
}

export function readMeshOf(document: unknown, meta: Meta, before: ReadMesh | undefined, opening: boolean): ReadMesh {
  const kept = keepAs("ConfigMap")(document, meta);
  const { mesh, problems } = readMesh(kept.document, kept.where);
  const isBad = problems.length > 0;
  return {
    ...kept,
    mesh: isBad ? (before?.mesh ?? mesh) : mesh,
    problems,
    unread: isBad && (before?.unread ?? opening),
  };
}
