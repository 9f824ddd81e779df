/**
 * What is to be in the kernel: pods as the source tells them, joined with the cgroups and namespaces that
 * are on this node. Pure.
 */
import type { Have, PodState, Want } from "./maps/state.js";
import { type Address, formatAddress, parseAddress } from "./model/address.js";
import { type Pod, podName, type Snapshot } from "./model/pod.js";
import { formatPolicyId, type Policy } from "./model/policy.js";
import type { Problem } from "./model/problem.js";
import type { PodStatus } from "./model/status.js";
import type { PodPolicy } from "./policy/podPolicy.js";

export interface NodeView {
  /** By pod uid. */
  readonly cgroups: ReadonlyMap<string, { readonly id: bigint; readonly path: string }>;
  /** By cgroup id; null of a pod that shows none, no entry for one that has not been looked at yet. */
  readonly namespaces: ReadonlyMap<bigint, NamespaceFacts | null>;
}

interface NamespaceFacts {
  readonly cookie: bigint;
  readonly addresses: readonly Address[];
}

export interface Desired {
  readonly want: Want;
  readonly problems: readonly Problem[];
  /** Cgroup id → pod, of the pods that are in `want` and known by name. */
  readonly names: ReadonlyMap<bigint, string>;
  /** Every pod of the source, and what became of it. */
  readonly pods: readonly PodStatus[];
}

/** A restart forgets nothing: until a pod has been looked at, it has what a predecessor found. */
function namespaceOf(node: NodeView, have: Have, cgroupId: bigint): NamespaceFacts {
  const seen = node.namespaces.get(cgroupId);
  const nothing = { cookie: 0n, addresses: [] };
  if (seen !== undefined) return seen ?? nothing;
  const held = have.pods.get(cgroupId);
  return held === undefined ? nothing : { cookie: held.netnsCookie, addresses: held.localAddresses };
}

/** `status.podIPs` together with what the namespace shows; the namespace knows of other interfaces as well. */
function addressesOf(pod: Pod, found: readonly Address[]): { all: Address[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const all = [...found];
  for (const text of pod.addresses) {
    const address = parseAddress(text);
    if (address === undefined) {
      const why = "not an IP address: left out";
      problems.push({ kind: "pod", where: pod.where, pod: podName(pod), key: "status.podIPs", value: text, why });
    } else if (!all.some((known) => same(known, address))) {
      all.push(address);
    }
  }
  return { all, problems };
}

function same(a: Address, b: Address): boolean {
  return a.family === b.family && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

/** The pod's own address of a family: as Kubernetes says, else the first of its namespace. */
function ownAddress(pod: Pod, all: readonly Address[], family: 4 | 6): Address | undefined {
  const said = pod.addresses.map(parseAddress).find((address) => address?.family === family);
  return said ?? all.find((address) => address.family === family && !isLinkLocal(address));
}

function isLinkLocal({ family, bytes }: Address): boolean {
  return family === 4 ? bytes[0] === 169 && bytes[1] === 254 : bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/**
 * Whose cgroup it is, where two pods claim one. Whoever may create pods may give one the annotation of a static
 * pod with the uid of another: the pod that bears the uid itself has it, else the one that was there first by name.
 */
function claimsOf(pods: readonly Pod[]): Map<string, Pod> {
  const own = pods.filter((pod) => pod.cgroupUid === pod.uid);
  const others = pods.filter((pod) => pod.cgroupUid !== pod.uid);
  return new Map([...others.toReversed(), ...own].map((pod) => [pod.cgroupUid, pod]));
}

function outside(pod: Pod, state: "waiting" | "not-enrolled", why: string): PodStatus {
  const { namespace, name, uid } = pod;
  const nothing = { policy: "", cgroupId: "", netnsCookie: "", addresses: pod.addresses, keepsPolicy: false };
  return { namespace, name, uid, state, why, ...nothing };
}

function enrolledStatus(pod: Pod, state: PodState, keepsPolicy: boolean): PodStatus {
  const { namespace, name, uid } = pod;
  return {
    namespace,
    name,
    uid,
    state: "enrolled",
    why: "",
    policy: formatPolicyId(state.policy),
    cgroupId: `${state.cgroupId}`,
    netnsCookie: state.netnsCookie === 0n ? "" : `${state.netnsCookie}`,
    addresses: state.localAddresses.map(formatAddress),
    keepsPolicy,
  };
}

/**
 * @param have what the kernel holds: a pod with a bad value keeps its policy, and while the source is not
 *   complete a pod that it does not name keeps everything.
 */
export function desiredState(
  snapshot: Snapshot,
  node: NodeView,
  have: Have,
  compile: (pod: Pod) => PodPolicy,
): Desired {
  const pods = new Map<bigint, PodState>();
  const policies = new Map<bigint, Policy>();
  const names = new Map<bigint, string>();
  const problems = [...snapshot.problems];
  const statuses: PodStatus[] = [];

  const claims = claimsOf(snapshot.pods);
  for (const pod of snapshot.pods) {
    const compiled = compile(pod);
    problems.push(...compiled.problems);
    if (!compiled.enrolled) {
      statuses.push(outside(pod, "not-enrolled", compiled.why));
      continue;
    }
    const owner = claims.get(pod.cgroupUid);
    if (owner !== undefined && owner !== pod) {
      const why = `its cgroup is that of ${podName(owner)}`;
      problems.push({ kind: "pod", where: pod.where, pod: podName(pod), key: "uid", value: pod.cgroupUid, why });
      statuses.push(outside(pod, "not-enrolled", why));
      continue;
    }
    const cgroup = node.cgroups.get(pod.cgroupUid);
    if (cgroup === undefined) {
      statuses.push(outside(pod, "waiting", "its cgroup is not there (yet)"));
      continue;
    }
    const namespace = namespaceOf(node, have, cgroup.id);
    const { all, problems: bad } = addressesOf(pod, namespace.addresses);
    problems.push(...bad);
    const kept = compiled.bad ? have.pods.get(cgroup.id)?.policy : undefined;
    const keeps = kept !== undefined && have.policies.has(kept);
    const policy = keeps ? kept : compiled.policy.id;
    if (policy === compiled.policy.id) policies.set(policy, compiled.policy);
    names.set(cgroup.id, podName(pod));
    const state: PodState = {
      cgroupId: cgroup.id,
      policy,
      netnsCookie: namespace.cookie,
      proxyCgroupId: 0n,
      ipv4: ownAddress(pod, all, 4),
      ipv6: ownAddress(pod, all, 6),
      localAddresses: all,
    };
    pods.set(cgroup.id, state);
    statuses.push(enrolledStatus(pod, state, keeps && compiled.bad));
  }

  if (!snapshot.complete) {
    const alive = new Set([...node.cgroups.values()].map((cgroup) => cgroup.id));
    for (const pod of have.pods.values())
      if (!pods.has(pod.cgroupId) && alive.has(pod.cgroupId)) pods.set(pod.cgroupId, pod);
  }
  return { want: { pods, policies }, problems, names, pods: statuses };
}
