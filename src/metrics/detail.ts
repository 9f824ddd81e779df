/** `--metrics-detail`: whose name a connection's series bears. */
import { UsageError } from "../errors.js";

export const details = ["pod", "workload", "node"] as const;
export type Detail = (typeof details)[number];

/** @throws UsageError */
export function parseDetail(text: string): Detail {
  const detail = details.find((each) => each === text);
  if (detail === undefined)
    throw new UsageError(`shunt run: --metrics-detail ${text} is none of ${details.join(", ")}`);
  return detail;
}

/** The labels that say whose a series is. Both empty: nobody's in particular. */
export interface Owner {
  readonly namespace: string;
  readonly pod: string;
}

export const nobody: Owner = { namespace: "", pod: "" };

export function ownerOf(pod: { readonly namespace: string; readonly name: string }, detail: Detail): Owner {
  if (detail === "node") return nobody;
  return { namespace: pod.namespace, pod: detail === "pod" ? pod.name : workloadOf(pod.name) };
}

// k8s.io/apimachinery/pkg/util/rand: the alphabet of generated names, without vowels. A pod template's hash is a
// decimal uint32 of which every digit is replaced by one letter of it, so it has ten letters only.
const random = "[bcdfghjklmnpqrstvwxz2456789]{5}";
const hash = "[456789bcdf]{6,10}";

/** The first that fits. A CronJob's Job is named after the minute that it was due. */
const generated = [
  new RegExp(`^(.+)-${hash}-${random}$`), // Deployment, through its ReplicaSet
  new RegExp(`^(.+)-\\d{8,}-${random}$`), // CronJob, through its Job
  new RegExp(`^(.+)-${random}$`), // DaemonSet, Job, a ReplicaSet of its own
  /^(.+)-\d+$/, // StatefulSet
];

/**
 * The workload's name, guessed from the pod's: the source knows no more. A pod that somebody named `a-5` or
 * `a-bcdfg` counts under `a`, and a Deployment whose name is longer than 47 letters, of which Kubernetes cuts the
 * end off, may count as one for each of its ReplicaSets.
 */
export function workloadOf(pod: string): string {
  for (const pattern of generated) {
    const name = pattern.exec(pod)?.[1];
    if (name !== undefined) return name;
  }
  return pod;
}
