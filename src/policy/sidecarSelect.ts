/** Which Sidecar is a pod's: semantics, section 7, as istiod chooses it (pilot/pkg/model/push_context.go). Nothing is merged. */
import type { Pod } from "../model/pod.js";
import type { Sidecar } from "../model/sidecar.js";

/** Sidecars by namespace, each list in Istio's order. */
export type SidecarIndex = ReadonlyMap<string, readonly Sidecar[]>;

/** The oldest first; of the same second the first by name. One without a time is older than any. */
function compare(a: Sidecar, b: Sidecar): number {
  const [left, right] = [a.created ?? Number.NEGATIVE_INFINITY, b.created ?? Number.NEGATIVE_INFINITY];
  if (left !== right) return left < right ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

export function indexSidecars(sidecars: readonly Sidecar[]): SidecarIndex {
  const index = new Map<string, Sidecar[]>();
  for (const sidecar of sidecars) {
    const list = index.get(sidecar.namespace);
    if (list === undefined) index.set(sidecar.namespace, [sidecar]);
    else list.push(sidecar);
  }
  for (const list of index.values()) list.sort(compare);
  return index;
}

/**
 * The first of the pod's namespace whose selector matches, else the first there without one, else the first of the
 * root namespace without one.
 */
export function selectSidecar(
  index: SidecarIndex,
  pod: Pick<Pod, "namespace" | "labels">,
  rootNamespace: string,
): Sidecar | undefined {
  const own = index.get(pod.namespace) ?? [];
  const matches = (selector: ReadonlyMap<string, string>): boolean =>
    [...selector].every(([key, value]) => pod.labels.get(key) === value);
  return (
    own.find(({ selector }) => selector !== undefined && matches(selector)) ??
    own.find(({ selector }) => selector === undefined) ??
    index.get(rootNamespace)?.find(({ selector }) => selector === undefined)
  );
}
