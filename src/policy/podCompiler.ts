/**
 * Compiles the pods of one snapshot after the other, and only those that are concerned by what has changed: a policy
 * depends on the pod, on its Sidecar, on the mesh, and on the agent's own options.
 */
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import type { Sidecar } from "../model/sidecar.js";
import { mayConcern, nothingUnread } from "../model/unread.js";
import { type PodPolicy, type PolicyContext, type PolicyOptions, podPolicyWith } from "./podPolicy.js";
import { indexSidecars, selectSidecar } from "./sidecarSelect.js";

export type PodCompiler = (context: PolicyContext) => (pod: Pod) => PodPolicy;

interface Compiled {
  readonly sidecar: Sidecar | undefined;
  readonly mesh: Mesh;
  readonly options: PolicyOptions;
  readonly isUncertain: boolean;
  readonly policy: PodPolicy;
}

/**
 * A source hands out the same object while a pod, a Sidecar or the mesh is as it was, so identity tells what changed.
 * @param given where they change, what tells them: the same object while they are as they were.
 * @param compile for tests.
 */
export function openPodCompiler(
  given: PolicyOptions | (() => PolicyOptions),
  compile: typeof podPolicyWith = podPolicyWith,
): PodCompiler {
  const compiled = new WeakMap<Pod, Compiled>();
  return ({ sidecars, mesh, unread = nothingUnread }) => {
    const options = typeof given === "function" ? given() : given;
    const index = indexSidecars(sidecars);
    return (pod) => {
      const sidecar = selectSidecar(index, pod, mesh.rootNamespace);
      const known = compiled.get(pod);
      const isUncertain = mayConcern(unread, pod.namespace, mesh.rootNamespace);
      const isSame = known?.sidecar === sidecar && known?.mesh === mesh && known?.options === options;
      if (isSame && known.isUncertain === isUncertain) return known.policy;
      const read = compile(pod, options, sidecar, mesh);
      const policy = isUncertain && read.enrolled ? { ...read, bad: true } : read;
      compiled.set(pod, { sidecar, mesh, options, isUncertain, policy });
      return policy;
    };
  };
}
