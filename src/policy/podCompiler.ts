/**
 * Compiles the pods of one snapshot after the other, and only those that are concerned by what has changed: a policy
 * depends on the pod, on its Sidecar, on the mesh, and on the agent's own options.
 */
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import type { Sidecar } from "../model/sidecar.js";
import { isNothing, mayConcern, nothingUnread } from "../model/unread.js";
import { type PodPolicy, type PolicyContext, type PolicyOptions, podPolicyWith } from "./podPolicy.js";
import { indexSidecars, type SidecarIndex, selectSidecar } from "./sidecarSelect.js";

export type PodCompiler = (context: PolicyContext) => (pod: Pod) => PodPolicy;

interface Compiled {
  /** Where the Sidecar was looked for. */
  index: SidecarIndex;
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
  let last: { readonly sidecars: readonly Sidecar[]; readonly index: SidecarIndex } | undefined;
  /** The same index while the Sidecars are the same ones in the same order: most passes are because of something else. */
  const indexOf = (sidecars: readonly Sidecar[]): SidecarIndex => {
    if (last === undefined || !sameItems(last.sidecars, sidecars)) last = { sidecars, index: indexSidecars(sidecars) };
    return last.index;
  };
  return ({ sidecars, mesh, unread = nothingUnread }) => {
    const options = typeof given === "function" ? given() : given;
    const index = indexOf(sidecars);
    const isCertain = isNothing(unread);
    return (pod) => {
      const known = compiled.get(pod);
      const isUncertain = !isCertain && mayConcern(unread, pod.namespace, mesh.rootNamespace);
      const isSame = known?.mesh === mesh && known.options === options && known.isUncertain === isUncertain;
      if (isSame && known.index === index) return known.policy;
      const sidecar = selectSidecar(index, pod, mesh.rootNamespace);
      if (isSame && known.sidecar === sidecar) {
        known.index = index;
        return known.policy;
      }
      const read = compile(pod, options, sidecar, mesh);
      const policy = isUncertain && read.enrolled ? { ...read, bad: true } : read;
      compiled.set(pod, { index, sidecar, mesh, options, isUncertain, policy });
      return policy;
    };
  };
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}
