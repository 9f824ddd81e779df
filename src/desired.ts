/**
 * What is to be in the kernel: pods as the source tells them, joined with the cgroups and namespaces that
 * are on this node. Pure.
 */
import type { Have, PodState, Want } from "./maps/state.js";
import { type Address, formatAddress, type Prefix, parseAddress } from "./model/address.js";
import { type Pod, podName, type Snapshot } from "./model/pod.js";
import { formatPolicyId, type Policy } from "./model/policy.js";
import type { Problem } from "./model/problem.js";
import type { PodStatus } from "./model/status.js";
import { type ContainerCgroups, containerNamed } from "./node/containers.js";
import { withRoutes } from "./policy/compile.js";
import { capturesIpv6, namesPod } from "./policy/family.js";
import type { PodPolicy } from "./policy/podPolicy.js";
import { proxyContainerName } from "./policy/proxy.js";

export interface NodeView {
  /** By pod uid. */
  readonly cgroups: ReadonlyMap<string, { readonly id: bigint; readonly path: string }>;
  /** By cgroup id; null of a pod that shows none, no entry for one that has not been looked at yet. */
  readonly namespaces: ReadonlyMap<bigint, NamespaceFacts | null>;
  /** By cgroup id: each container's cgroup below it, by name; no entry for a pod that has not been looked at yet. */
  readonly containers: ReadonlyMap<bigint, ContainerCgroups>;
}

export interface NamespaceFacts {
  readonly cookie: bigint;
  readonly addresses: readonly Address[];
  readonly uidBase: number;
  readonly gidBase: number;
  readonly interfaces: ReadonlyMap<string, number>;
  readonly routes: readonly { readonly prefix: Prefix; readonly interface: string }[];
  readonly dnsServers: readonly Address[];
}

/** Nothing is known of the pod's network: its sandbox is not there yet. */
export const noNamespace: NamespaceFacts = {
  ...{ cookie: 0n, addresses: [], uidBase: 0, gidBase: 0 },
  ...{ interfaces: new Map(), routes: [], dnsServers: [] },
};

/** `uid`: by its container's cgroup or by its ids. `cgroup`: by the cgroup alone, once that is known. */
export type ProxyIdentity = "uid" | "cgroup";

/** What to look for among a pod's processes. */
export interface PodProxy {
  readonly inboundPort: number;
  /** Name of its container's cgroup below the pod's, if it is known. */
  readonly container: string | undefined;
  /** In the initial user namespace; undefined where the ids alone do not make a proxy. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
}

export interface Desired {
  readonly want: Want;
  readonly problems: readonly Problem[];
  /** Cgroup id → pod, of the pods that are in `want` and known by name. */
  readonly names: ReadonlyMap<bigint, string>;
  /** By cgroup id, of the pods that the source names. */
  readonly proxies: ReadonlyMap<bigint, PodProxy>;
  /** Every pod of the source, and what became of it. */
  readonly pods: readonly PodStatus[];
}

/** @returns undefined for a pod that has not been looked at: a restart forgets nothing of what a predecessor found. */
function namespaceOf(node: NodeView, cgroupId: bigint): NamespaceFacts | undefined {
  const seen = node.namespaces.get(cgroupId);
  return seen === null ? noNamespace : seen;
}

/** The part of a pod's state that its namespace shows, as a predecessor has left it. */
function heldFacts(held: PodState | undefined): NamespaceFacts {
  if (held === undefined) return noNamespace;
  const { netnsCookie: cookie, localAddresses: addresses, uidBase, gidBase, dnsServers } = held;
  return { ...noNamespace, cookie, addresses, uidBase, gidBase, dnsServers };
}

/** The proxy's container, as the pod's status and the node's cgroups say together. */
function proxyContainerOf(pod: Pod, node: NodeView, have: Have, cgroupId: bigint): { name?: string; id: bigint } {
  const containers = node.containers.get(cgroupId);
  if (containers === undefined) return { id: have.pods.get(cgroupId)?.proxyCgroupId ?? 0n };
  const id = pod.containerIds.get(proxyContainerName);
  const name = id === undefined ? undefined : containerNamed(containers, id);
  return name === undefined ? { id: 0n } : { name, id: containers.get(name) ?? 0n };
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
  return said ?? all.find((address) => address.family === family && namesPod(address));
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

function outside(pod: Pod, state: "waiting" | "not-enrolled", why: string, cause: PodStatus["cause"]): PodStatus {
  const { namespace, name, uid } = pod;
  const nothing = { policy: "", cgroupId: "", netnsCookie: "", addresses: pod.addresses, keepsPolicy: false };
  return { namespace, name, uid, state, why, cause, ...nothing };
}

function enrolledStatus(pod: Pod, state: PodState, keepsPolicy: boolean): PodStatus {
  const { namespace, name, uid } = pod;
  return {
    namespace,
    name,
    uid,
    state: "enrolled",
    why: "",
    cause: "",
    policy: formatPolicyId(state.policy),
    cgroupId: `${state.cgroupId}`,
    netnsCookie: state.netnsCookie === 0n ? "" : `${state.netnsCookie}`,
    addresses: state.localAddresses.map(formatAddress),
    keepsPolicy,
  };
}

interface Asked {
  readonly pod: Pod;
  readonly compiled: PodPolicy & { readonly enrolled: true };
  readonly cgroupId: bigint;
  readonly node: NodeView;
  readonly have: Have;
  readonly identity: ProxyIdentity;
}

interface EnrolledPod {
  readonly state: PodState;
  /** Undefined if it keeps one that the kernel has. */
  readonly own: Policy | undefined;
  readonly proxy: PodProxy;
  readonly problems: readonly Problem[];
  readonly status: PodStatus;
}

/** What was found of a pod, and from what: all of that is replaced, never changed. */
export type Memory = WeakMap<Pod, Omit<Asked, "node" | "have"> & Seen & { readonly found: EnrolledPod }>;

interface Seen {
  readonly seen: NamespaceFacts | null | undefined;
  readonly containers: ContainerCgroups | undefined;
}

/** Only what has changed is computed again. What the kernel holds counts while a pod has not been looked at, or is bad. */
function remembered(memory: Memory | undefined, asked: Asked): EnrolledPod {
  const { node, have: _, ...rest } = asked;
  const seen = node.namespaces.get(asked.cgroupId);
  const containers = node.containers.get(asked.cgroupId);
  const known = memory?.get(asked.pod);
  const same =
    known?.compiled === asked.compiled &&
    known.cgroupId === asked.cgroupId &&
    known.identity === asked.identity &&
    known.seen === seen &&
    known.containers === containers;
  if (same) return known.found;
  const found = enrolledPod(asked);
  if (seen === undefined || containers === undefined || asked.compiled.bad) memory?.delete(asked.pod);
  else memory?.set(asked.pod, { ...rest, seen, containers, found });
  return found;
}

function enrolledPod({ pod, compiled, cgroupId, node, have, identity }: Asked): EnrolledPod {
  const held = have.pods.get(cgroupId);
  const seen = namespaceOf(node, cgroupId);
  const namespace = seen ?? heldFacts(held);
  const { all, problems: bad } = addressesOf(pod, namespace.addresses);
  const kept = compiled.bad ? have.pods.get(cgroupId)?.policy : undefined;
  const keeps = kept !== undefined && have.policies.has(kept);
  const excluded = new Set(compiled.excludeInterfaces);
  const known = excluded.size === 0 ? [] : namespace.routes;
  const routes = known.map((route) => ({ prefix: route.prefix, excluded: excluded.has(route.interface) }));
  const own = routes.some((route) => route.excluded) ? withRoutes(compiled.policy, routes) : compiled.policy;
  // The routes are not known again until the pod has been looked at: as long, what is in the kernel stays.
  const unseen = seen === undefined && excluded.size > 0 && held !== undefined && have.policies.has(held.policy);
  const policy = keeps ? kept : unseen ? held.policy : own.id;
  const container = proxyContainerOf(pod, node, have, cgroupId);
  const cgroupOnly = identity === "cgroup" && container.id !== 0n;
  const { proxyUid, proxyGid, inboundPort } = compiled.policy;
  const ids = { uid: proxyUid + namespace.uidBase, gid: proxyGid + namespace.gidBase };
  const state: PodState = {
    cgroupId,
    policy,
    netnsCookie: namespace.cookie,
    proxyCgroupId: container.id,
    proxyCgroupOnly: cgroupOnly,
    captureIpv6: capturesIpv6(
      [...pod.addresses.flatMap((text) => parseAddress(text) ?? []), ...all],
      compiled.dualStack,
    ),
    uidBase: namespace.uidBase,
    gidBase: namespace.gidBase,
    ipv4: ownAddress(pod, all, 4),
    ipv6: ownAddress(pod, all, 6),
    localAddresses: all,
    dnsServers: compiled.policy.dns === "resolv-conf" ? namespace.dnsServers : [],
    excludedInterfaces: unseen
      ? held.excludedInterfaces
      : [...excluded].flatMap((name) => namespace.interfaces.get(name) ?? []),
  };
  return {
    state,
    own: policy === own.id ? own : undefined,
    proxy: { inboundPort, container: container.name, ids: cgroupOnly ? undefined : ids },
    problems: bad,
    status: enrolledStatus(pod, state, keeps && compiled.bad),
  };
}

/**
 * @param have what the kernel holds: a pod with a bad value keeps its policy, and while the source is not
 *   complete a pod that it does not name keeps everything. @param memory of earlier calls.
 */
export function desiredState(
  snapshot: Snapshot,
  node: NodeView,
  have: Have,
  compile: (pod: Pod) => PodPolicy,
  identity: ProxyIdentity = "uid",
  memory?: Memory,
): Desired {
  const pods = new Map<bigint, PodState>();
  const outsiders = new Set<bigint>();
  const policies = new Map<bigint, Policy>();
  const names = new Map<bigint, string>();
  const proxies = new Map<bigint, PodProxy>();
  const problems = [...snapshot.problems];
  const statuses: PodStatus[] = [];

  const claims = claimsOf(snapshot.pods);
  for (const pod of snapshot.pods) {
    const compiled = compile(pod);
    problems.push(...compiled.problems);
    if (!compiled.enrolled) {
      const cgroup = claims.get(pod.cgroupUid) === pod ? node.cgroups.get(pod.cgroupUid) : undefined;
      if (cgroup !== undefined) outsiders.add(cgroup.id);
      statuses.push(outside(pod, "not-enrolled", compiled.why, compiled.cause));
      continue;
    }
    const owner = claims.get(pod.cgroupUid);
    if (owner !== undefined && owner !== pod) {
      const why = `its cgroup is that of ${podName(owner)}`;
      problems.push({ kind: "pod", where: pod.where, pod: podName(pod), key: "uid", value: pod.cgroupUid, why });
      statuses.push(outside(pod, "not-enrolled", why, ""));
      continue;
    }
    const cgroup = node.cgroups.get(pod.cgroupUid);
    if (cgroup === undefined) {
      statuses.push(outside(pod, "waiting", "its cgroup is not there (yet)", ""));
      continue;
    }
    const found = remembered(memory, { pod, compiled, cgroupId: cgroup.id, node, have, identity });
    if (found.own !== undefined) policies.set(found.own.id, found.own);
    problems.push(...found.problems);
    names.set(cgroup.id, podName(pod));
    proxies.set(cgroup.id, found.proxy);
    pods.set(cgroup.id, found.state);
    statuses.push(found.status);
  }

  if (!snapshot.complete) {
    const alive = new Set([...node.cgroups.values()].map((cgroup) => cgroup.id));
    for (const pod of have.pods.values())
      if (!pods.has(pod.cgroupId) && !outsiders.has(pod.cgroupId) && alive.has(pod.cgroupId))
        pods.set(pod.cgroupId, pod);
    for (const id of have.outside ?? []) if (!pods.has(id) && alive.has(id)) outsiders.add(id);
  }
  return { want: { pods, outside: outsiders, policies }, problems, names, proxies, pods: statuses };
}
