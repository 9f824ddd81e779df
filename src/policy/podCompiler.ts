/**
 * Compiles the pods of one snapshot after the other, and only those that are concerned by what has changed: a policy
 * depends on the pod, on its Sidecar, and on the mesh.
 */
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import type { Sidecar } from "../model/sidecar.js";
import { mayConcern, nothingUnread } from "../model/unread.js";
import { type PodPolicy, type PolicyContext, type PolicyOptions, podPolicyWith } from "./podPolicy.js";
import { indexSidecars, selectSidecar } from "./sidecarSelect.js";

export type PodCompiler = (context: PolicyContext) => (pod: Pod) => PodPolicy;

/**
 * A source hands out the same object while a pod, a Sidecar or the mesh is as it was, so identity tells what changed.
 * @param compile for tests.
 */
export function openPodCompiler(options: PolicyOptions, compile: typeof podPolicyWith = podPolicyWith): PodCompiler {
  const compiled = new WeakMap<
    Pod,
    { sidecar: Sidecar | undefined; mesh: Mesh; isUncertain: boolean; policy: PodPolicy }
  >();
  return ({ sidecars, mesh, unread = nothingUnread }) => {
    const index = indexSidecars(sidecars);
    return (pod) => {
      const sidecar = selectSidecar(index, pod, mesh.rootNamespace);
      const known = compiled.get(pod);
      const isUncertain = mayConcern(unread, pod.namespace, mesh.rootNamespace);
      if (known?.sidecar === sidecar && known?.mesh === mesh && known.isUncertain === isUncertain) return known.policy;
      const read = compile(pod, options, sidecar, mesh);
      const policy = isUncertain && read.enrolled ? { ...read, bad: true } : read;
      compiled.set(pod, { sidecar, mesh, isUncertain, policy });
      return policy;
    };
  };
}
