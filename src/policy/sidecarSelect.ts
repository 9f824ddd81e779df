/** Which Sidecar is a pod's: semantics, section 7, as istiod chooses it (pilot/pkg/model/push_context.go). Nothing is merged. */
import type { Pod } from "../model/pod.js";
import type { Sidecar } from "../model/sidecar.js";

/** By namespace. */
export type SidecarIndex = ReadonlyMap<string, NamespaceSidecars>;

interface NamespaceSidecars {
  /** Those with a selector, in Istio's order. */
  readonly selecting: readonly Sidecar[];
  /** The first without one. */
  readonly other: Sidecar | undefined;
}

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
  const split = (list: Sidecar[]): NamespaceSidecars => {
    const sorted = list.sort(compare);
    const selecting = sorted.filter(({ selector }) => selector !== undefined);
    return { selecting, other: sorted.find(({ selector }) => selector === undefined) };
  };
  return new Map([...index].map(([namespace, list]) => [namespace, split(list)]));
}

function matches({ selector = new Map() }: Sidecar, labels: ReadonlyMap<string, string>): boolean {
  for (const [key, value] of selector) if (labels.get(key) !== value) return false;
  return true;
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
  const own = index.get(pod.namespace);
  const selecting = own?.selecting.find((sidecar) => matches(sidecar, pod.labels));
  return selecting ?? own?.other ?? index.get(rootNamespace)?.other;
}
