/** What is to be in the kernel of one enrolled pod whose cgroup is there. Pure. */
import type { Have, PodState } from "./maps/state.js";
import { type Address, formatAddress, type Prefix, parseAddress, sameAddress } from "./model/address.js";
import { type Pod, podName } from "./model/pod.js";
import { formatPolicyId, type Policy } from "./model/policy.js";
import { type Problem, shownValue } from "./model/problem.js";
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
function addressesOf(pod: Pod, found: readonly Address[]): { said: Address[]; all: Address[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const said: Address[] = [];
  const all = [...found];
  for (const text of pod.addresses) {
    const address = parseAddress(text);
    if (address === undefined) {
      const why = "not an IP address: left out";
      problems.push({
        kind: "pod",
        where: pod.where,
        pod: podName(pod),
        key: "status.podIPs",
        value: shownValue(text),
        why,
      });
      continue;
    }
    said.push(address);
    if (!all.some((known) => sameAddress(known, address))) all.push(address);
  }
  return { said, all, problems };
}

/** The pod's own address of a family: as Kubernetes says, else the first of its namespace. */
function ownAddress(said: readonly Address[], all: readonly Address[], family: 4 | 6): Address | undefined {
  const first = said.find((address) => address.family === family);
  return first ?? all.find((address) => address.family === family && namesPod(address));
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

export type EnrolledPolicy = Extract<PodPolicy, { readonly enrolled: true }>;

export interface DesiredPod {
  /** `namespace/name`. */
  readonly name: string;
  readonly state: PodState;
  /** The policy that was compiled for it, if that is the one of its state. */
  readonly policy: Policy | undefined;
  readonly proxy: PodProxy;
  readonly problems: readonly Problem[];
  /** Made when it is asked for, and kept: its texts are for people. */
  readonly status: PodStatus;
}

/** What pods came to be, and of what, so that a pass computes only what has changed. Keyed by the pod as its source has it. */
export type KnownPods = WeakMap<Pod, { readonly of: Causes; readonly desired: DesiredPod }>;

/** All that a settled pod's state depends on beside the pod. */
interface Causes {
  readonly compiled: EnrolledPolicy;
  readonly cgroupId: bigint;
  readonly namespace: NamespaceFacts | null | undefined;
  readonly containers: ContainerCgroups | undefined;
  readonly identity: ProxyIdentity;
}

function sameCauses(a: Causes, b: Causes): boolean {
  return (
    a.compiled === b.compiled &&
    a.cgroupId === b.cgroupId &&
    a.namespace === b.namespace &&
    a.containers === b.containers &&
    a.identity === b.identity
  );
}

interface DesiredPodOptions {
  readonly node: NodeView;
  readonly have: Have;
  readonly identity: ProxyIdentity;
  readonly known: KnownPods;
}

/**
 * Where everything about a pod is known and nothing is bad, what the kernel holds has no say, and what is wanted depends on
 * a few objects that stay the same while what they say does.
 */
export function desiredPod(
  pod: Pod,
  compiled: EnrolledPolicy,
  cgroupId: bigint,
  { node, have, identity, known }: DesiredPodOptions,
): DesiredPod {
  const [namespace, containers] = [node.namespaces.get(cgroupId), node.containers.get(cgroupId)];
  const of: Causes = { compiled, cgroupId, namespace, containers, identity };
  const before = known.get(pod);
  if (before !== undefined && sameCauses(before.of, of)) return before.desired;
  const desired = compute(pod, compiled, cgroupId, node, have, identity);
  const isSeen = namespace !== undefined && containers !== undefined;
  if (isSeen && !compiled.bad && compiled.excludeInterfaces.length === 0) known.set(pod, { of, desired });
  return desired;
}

function compute(
  pod: Pod,
  compiled: EnrolledPolicy,
  cgroupId: bigint,
  node: NodeView,
  have: Have,
  identity: ProxyIdentity,
): DesiredPod {
  const held = have.pods.get(cgroupId);
  const seen = namespaceOf(node, cgroupId);
  const namespace = seen ?? heldFacts(held);
  const { said, all, problems } = addressesOf(pod, namespace.addresses);
  const excluded = new Set(compiled.excludeInterfaces);
  const known = excluded.size === 0 ? [] : namespace.routes;
  const routes = known.map((route) => ({ prefix: route.prefix, excluded: excluded.has(route.interface) }));
  const indexes = [...excluded].flatMap((name) => namespace.interfaces.get(name) ?? []);
  // An interface that no route leads to is still one that connections arrive at.
  const isAsked = indexes.length > 0 || routes.some((route) => route.excluded);
  const own = isAsked ? withRoutes(compiled.policy, routes) : compiled.policy;
  const whole = held !== undefined && have.policies.has(held.policy) ? held : undefined;
  // What stands in already is no policy of before.
  const keeps = compiled.bad && whole?.policy !== own.id && whole?.policy !== compiled.policy.id ? whole : undefined;
  // The routes are not known again until the pod has been looked at: as long, what is in the kernel stays.
  const kept = keeps ?? (seen === undefined && excluded.size > 0 ? whole : undefined);
  const policy = kept?.policy ?? own.id;
  const proxy = proxyContainerOf(pod, node, have, cgroupId);
  const cgroupOnly = identity === "cgroup" && proxy.id !== 0n;
  const { proxyUid, proxyGid, inboundPort } = compiled.policy;
  const ids = { uid: proxyUid + namespace.uidBase, gid: proxyGid + namespace.gidBase };
  const state: PodState = {
    cgroupId: cgroupId,
    policy,
    netnsCookie: namespace.cookie,
    proxyCgroupId: proxy.id,
    proxyCgroupOnly: cgroupOnly,
    captureIpv6: capturesIpv6([...said, ...all], compiled.dualStack) || keeps?.captureIpv6 === true,
    uidBase: namespace.uidBase,
    gidBase: namespace.gidBase,
    ipv4: ownAddress(said, all, 4),
    ipv6: ownAddress(said, all, 6),
    localAddresses: all,
    dnsServers: keeps?.dnsServers ?? (compiled.policy.dns === "resolv-conf" ? namespace.dnsServers : []),
    excludedInterfaces: kept?.excludedInterfaces ?? indexes,
  };
  let status: PodStatus | undefined;
  return {
    name: podName(pod),
    state,
    policy: policy === own.id ? own : undefined,
    proxy: { inboundPort, container: proxy.name, ids: cgroupOnly ? undefined : ids },
    problems,
    get status() {
      status ??= enrolledStatus(pod, state, keeps !== undefined);
      return status;
    },
  };
}
