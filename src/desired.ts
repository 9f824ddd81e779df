/**
 * What is to be in the kernel: pods as the source tells them, joined with the cgroups and namespaces that
 * are on this node. Pure.
 */
import {
  type DesiredPod,
  desiredPod,
  type KnownPods,
  type NodeView,
  type PodProxy,
  type ProxyIdentity,
} from "./desiredPod.js";
import type { Have, PodState, Want } from "./maps/state.js";
import { type Pod, podName, type Snapshot } from "./model/pod.js";
import type { Policy } from "./model/policy.js";
import { type Problem, shownValue } from "./model/problem.js";
import type { PodStatus } from "./model/status.js";
import type { PodPolicy } from "./policy/podPolicy.js";

export interface Desired {
  readonly want: Want;
  readonly problems: readonly Problem[];
  /** By cgroup id, of the pods that are in `want` and known by name. */
  readonly enrolled: ReadonlyMap<bigint, { readonly name: string; readonly proxy: PodProxy }>;
  /** Every pod of the source, and what became of it; written when it is asked for. */
  readonly pods: readonly PodStatus[];
}

/**
 * Whose cgroup it is, where two pods claim one. Whoever may create pods may give one the annotation of a static
 * pod with the uid of another: the pod that bears the uid itself has it, else the one that was there first by name.
 */
function claimsOf(pods: readonly Pod[]): (pod: Pod) => Pod {
  const others = pods.filter((pod) => pod.cgroupUid !== pod.uid);
  if (others.length === 0) return (pod) => pod;
  const own = pods.filter((pod) => pod.cgroupUid === pod.uid);
  const claims = new Map([...others.toReversed(), ...own].map((pod) => [pod.cgroupUid, pod]));
  return (pod) => claims.get(pod.cgroupUid) ?? pod;
}

function outside(pod: Pod, state: "waiting" | "not-enrolled", why: string, cause: PodStatus["cause"]): PodStatus {
  const { namespace, name, uid } = pod;
  const nothing = { policy: "", cgroupId: "", netnsCookie: "", addresses: pod.addresses, keepsPolicy: false };
  return { namespace, name, uid, state, why, cause, ...nothing };
}

/**
 * @param have what the kernel holds: a pod with a bad value keeps its policy, and while the source is not
 *   complete a pod that it does not name keeps everything.
 * @param known what earlier calls found; it saves time and changes nothing else.
 */
export function desiredState(
  snapshot: Snapshot,
  node: NodeView,
  have: Have,
  compile: (pod: Pod) => PodPolicy,
  identity: ProxyIdentity = "uid",
  known: KnownPods = new WeakMap(),
): Desired {
  const pods = new Map<bigint, PodState>();
  const outsiders = new Set<bigint>();
  const policies = new Map<bigint, Policy>();
  const enrolled = new Map<bigint, DesiredPod>();
  const problems = [...snapshot.problems];
  const statuses: { readonly status: PodStatus }[] = [];

  const ownerOf = claimsOf(snapshot.pods);
  for (const pod of snapshot.pods) {
    const compiled = compile(pod);
    if (compiled.problems.length > 0) problems.push(...compiled.problems);
    if (!compiled.enrolled) {
      const cgroup = ownerOf(pod) === pod ? node.cgroups.get(pod.cgroupUid) : undefined;
      if (cgroup !== undefined) outsiders.add(cgroup.id);
      statuses.push({ status: outside(pod, "not-enrolled", compiled.why, compiled.cause) });
      continue;
    }
    const owner = ownerOf(pod);
    if (owner !== pod) {
      const why = `its cgroup is that of ${podName(owner)}`;
      problems.push({
        kind: "pod",
        where: pod.where,
        pod: podName(pod),
        key: "uid",
        value: shownValue(pod.cgroupUid),
        why,
      });
      statuses.push({ status: outside(pod, "not-enrolled", why, "") });
      continue;
    }
    const cgroup = node.cgroups.get(pod.cgroupUid);
    if (cgroup === undefined) {
      statuses.push({ status: outside(pod, "waiting", "its cgroup is not there (yet)", "") });
      continue;
    }
    const made = desiredPod(pod, compiled, cgroup.id, { node, have, identity, known });
    if (made.problems.length > 0) problems.push(...made.problems);
    pods.set(cgroup.id, made.state);
    if (made.policy !== undefined) policies.set(made.policy.id, made.policy);
    enrolled.set(cgroup.id, made);
    statuses.push(made);
  }

  if (!snapshot.complete) {
    const alive = new Set([...node.cgroups.values()].map((cgroup) => cgroup.id));
    for (const pod of have.pods.values())
      if (!pods.has(pod.cgroupId) && !outsiders.has(pod.cgroupId) && alive.has(pod.cgroupId))
        pods.set(pod.cgroupId, pod);
    for (const id of have.outside ?? []) if (!pods.has(id) && alive.has(id)) outsiders.add(id);
  }
  return {
    want: { pods, outside: outsiders, policies },
    problems,
    enrolled,
    get pods() {
      return statuses.map(({ status }) => status);
    },
  };
}
