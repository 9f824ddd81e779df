/** Files of manifests as one snapshot. Pure. */
import { chooseMesh, defaultMesh, type Mesh } from "../model/mesh.js";
import { podName, type Snapshot, sortPods } from "../model/pod.js";
import { type Problem, shownValue } from "../model/problem.js";
import { type Sidecar, sidecarName } from "../model/sidecar.js";
import type { FileContent } from "./documents.js";

/**
 * What a file held before it broke stays, as far as the file does not say otherwise now: its pods if it is damaged, a
 * Sidecar that is refused now, the mesh's configuration if a value of it is bad.
 */
export function keepLastGood(now: FileContent, before: FileContent | undefined): FileContent {
  if (before === undefined) return now;
  const uids = new Set(now.pods.map((pod) => pod.uid));
  const names = new Set(now.sidecars.map(sidecarName));
  const isLost = (sidecar: Sidecar): boolean =>
    !names.has(sidecarName(sidecar)) &&
    (now.damaged || now.refused.has(undefined) || now.refused.has(sidecarName(sidecar)));
  const good = before.meshes.filter(({ bad }) => !bad);
  const goodOf = (namespace: string) => good.find(({ mesh }) => mesh.namespace === namespace);
  return {
    ...now,
    pods: now.damaged ? [...now.pods, ...before.pods.filter((pod) => !uids.has(pod.uid))] : now.pods,
    sidecars: [...now.sidecars, ...before.sidecars.filter(isLost)],
    meshes:
      now.damaged && now.meshes.length === 0
        ? before.meshes
        : now.meshes.map((one) => (one.bad ? (goodOf(one.mesh.namespace) ?? one) : one)),
  };
}

/** The first of each key, in their order; the others are reported. */
function unique<T extends { readonly where: string }>(
  items: readonly T[],
  key: (item: T) => string,
  onOther: (item: T, first: T) => void,
): T[] {
  const found = new Map<string, T>();
  for (const item of items) {
    const first = found.get(key(item));
    if (first === undefined) found.set(key(item), item);
    else onOther(item, first);
  }
  return [...found.values()];
}

/**
 * Puts the files together: sorted by name, so that the same directory always gives the same snapshot.
 * @param noMesh what holds if no file has a MeshConfig.
 */
export function mergeFiles(
  files: ReadonlyMap<string, FileContent>,
  problems: readonly Problem[],
  complete: boolean,
  noMesh: Mesh = defaultMesh,
): Snapshot {
  const contents = [...files.keys()].sort().flatMap((name) => files.get(name) ?? []);
  const all = [...problems, ...contents.flatMap((content) => content.problems)];
  const pods = unique(
    contents.flatMap((content) => content.pods),
    ({ uid }) => uid,
    (pod, first) => {
      const why = `another pod has it already: ${podName(first)} in ${first.where}; this one is left out`;
      all.push({ kind: "pod", where: pod.where, pod: podName(pod), key: "metadata.uid", value: pod.uid, why });
    },
  );
  const sidecars = unique(
    contents.flatMap((content) => content.sidecars),
    sidecarName,
    ({ where, name, ...rest }, first) => {
      const key = `Sidecar ${sidecarName({ name, ...rest })} metadata.name`;
      const why = `another Sidecar has it already, in ${first.where}; this one is left out`;
      all.push({ kind: "sidecar", where, pod: "", key, value: name, why });
    },
  );
  const meshes = contents.flatMap((content) => content.meshes.map(({ mesh }) => mesh));
  const mesh = chooseMesh(meshes, noMesh);
  for (const { where, namespace } of meshes.filter((one) => one !== mesh)) {
    const why = `the MeshConfig of ${shownValue(mesh.namespace)}/istio in ${mesh.where} counts; this one is left out`;
    all.push({ kind: "mesh", where, pod: "", key: "ConfigMap", value: shownValue(`${namespace}/istio`), why });
  }
  return {
    pods: sortPods(pods),
    sidecars: sortBy(sidecars, sidecarName),
    mesh,
    problems: all,
    complete,
  };
}

function sortBy<T>(items: readonly T[], key: (item: T) => string): T[] {
  const keys = new Map(items.map((item) => [item, key(item)]));
  return items.toSorted((a, b) => ((keys.get(a) ?? "") < (keys.get(b) ?? "") ? -1 : 1));
}
