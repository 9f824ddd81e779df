import type { Mesh } from "./mesh.js";
import type { Problem } from "./problem.js";
import type { Sidecar } from "./sidecar.js";
import type { Unread } from "./unread.js";

/** A pod as the rest of the agent sees it: the parts of the Kubernetes object that matter here, checked. */
export interface Container {
  readonly name: string;
  readonly args: readonly string[];
  /** Literal values only; a `valueFrom` has none. */
  readonly env: ReadonlyMap<string, string>;
  /** Of the container, else of the pod's security context. */
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  /** An init container that keeps running (`restartPolicy: Always`). */
  readonly sidecar: boolean;
}

export interface Pod {
  readonly uid: string;
  /** What kubelet names the pod's cgroup by: the uid, but of a static pod the hash of its file. */
  readonly cgroupUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  /** Keys of annotations that are not text (5000 without quotes): reported, and not in `annotations`. */
  readonly badAnnotations: ReadonlySet<string>;
  readonly hostNetwork: boolean;
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  /** `status.podIPs`, as written. */
  readonly addresses: readonly string[];
  /** Container name → id without its runtime (`containerd://`), of the containers that run. */
  readonly containerIds: ReadonlyMap<string, string>;
  /** Where the document stands, for messages: `pods/a.yaml:1`. */
  readonly where: string;
}

/** What a source knows at one moment. */
export interface Snapshot {
  /** Sorted by namespace, then name; each uid once. */
  readonly pods: readonly Pod[];
  /** Sorted by namespace, then name; each name once. The same object while it is as it was, as with pods. */
  readonly sidecars: readonly Sidecar[];
  /** Istio's defaults where nobody says one. */
  readonly mesh: Mesh;
  readonly problems: readonly Problem[];
  /** False while something could not be read: a pod that is missing here may still exist. */
  readonly complete: boolean;
  /** Pods that it may concern keep the policy that they have. Undefined: nothing. */
  readonly unread?: Unread | undefined;
}

/** `namespace/name`. */
export function podName(pod: Pod): string {
  return `${pod.namespace}/${pod.name}`;
}

const sortKeys = new WeakMap<Pod, string>();

/** Kept, because every snapshot is sorted and few pods of it are new. */
function sortKey(pod: Pod): string {
  let key = sortKeys.get(pod);
  if (key === undefined) {
    key = `${podName(pod)}/${pod.uid}`;
    sortKeys.set(pod, key);
  }
  return key;
}

/** @returns the pods in the order of a {@link Snapshot}. */
export function sortPods(pods: readonly Pod[]): Pod[] {
  return pods.toSorted((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}
