/**
 * `--reset-leaked`: what a pod's application has connected to around its proxy, before the agent had heard of the pod,
 * ends when the policy is there. Only a pod that had no policy in the kernel is looked at: of any other, also after the
 * agent's restart, every connection was decided about.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PodProxy } from "./desiredPod.js";
import type { KernelError } from "./kernel/native.js";
import { type NativeTcpSockets, type TcpSocket, tcpStates } from "./kernel/tcpSockets.js";
import type { PodState } from "./maps/state.js";
import { addressFromBytes, formatAddress } from "./model/address.js";
import { formatEndpoint } from "./model/endpoint.js";
import type { Policy } from "./model/policy.js";
import type { Problem } from "./model/problem.js";
import { cgroupIds, proxyProcesses } from "./node/containers.js";
import type { PodNamespace } from "./node/namespace.js";
import { type Holder, socketHolders } from "./node/sockets.js";
import { leaked, type OpenSocket } from "./policy/leaks.js";

/** ms to a second look: a connect() that was let pass may still have been on its way to the first SYN. */
const secondLook = 1000;
/** Destinations that a line of the log names. */
const mostNamed = 16;

export interface LeaksOptions {
  readonly native: NativeTcpSockets;
  /** Path of a pod's cgroup; undefined once it is gone. */
  pathOf(pod: bigint): string | undefined;
  /** A process of the pod in this namespace; undefined if there is none any more. */
  findProcess(pod: bigint, netns: string): number | undefined;
  nameOf(pod: bigint): string;
  /** Connections that were ended, and where they led. */
  onReset(pod: bigint, count: number, to: readonly string[]): void;
  /** What is wrong has changed. */
  onChange(): void;
}

/** One pass of the loop, by cgroup id. */
export interface PodsView {
  /** Those that are in the kernel, and are to stay there. */
  readonly pods: ReadonlyMap<bigint, PodState>;
  /** null of a pod that shows none, no entry for one that has not been looked at yet. */
  readonly namespaces: ReadonlyMap<bigint, PodNamespace | null>;
  /** By policy id. */
  readonly policies: ReadonlyMap<bigint, Policy>;
  readonly enrolled: ReadonlyMap<bigint, { readonly proxy: PodProxy }>;
}

export interface Leaks {
  /** These pods have a policy in the kernel for the first time. */
  arrived(pods: readonly bigint[]): void;
  /** Looks at those whose namespace is known by now. */
  pass(view: PodsView): readonly Problem[];
  /** Looks no more. */
  close(): void;
}

interface Look {
  readonly id: bigint;
  readonly pod: PodState;
  readonly policy: Policy;
  readonly netns: string;
  readonly proxy: PodProxy | undefined;
}

export function openLeaks(options: LeaksOptions): Leaks {
  const { native } = options;
  const fresh = new Set<bigint>();
  const failed = new Map<bigint, string>();
  /** The policy that a pod has now: another one decides about other connections. */
  let current: ReadonlyMap<bigint, PodState> = new Map();
  const closed = new AbortController();

  const reset = async ({ id, pod, policy, netns, proxy }: Look): Promise<void> => {
    const path = options.pathOf(id);
    const pid = options.findProcess(id, netns);
    // Its processes are gone, and with them what they had open.
    if (path === undefined || pid === undefined) return;
    const place = [`/proc/${pid}/ns/net`, Number(/\d+/.exec(netns)?.[0])] as const;
    const sockets = await native.listTcpSockets(...place, wantedStates);
    if (sockets.every((socket) => isListening(socket) || socket.inode === 0)) return;
    const proxies = new Set(proxyProcesses(path, proxy?.container, proxy?.ids));
    const holders = socketHolders(path);
    const cgroups = cgroupIds(path);
    const seen = sockets
      .filter((socket) => isListening(socket) || socket.inode !== 0)
      .map((socket) => ({
        socket,
        ...openSocket(socket, pod, { holders: holders.get(socket.inode) ?? [], proxies, cgroups }),
      }));
    const found = leaked(policy, pod, seen);
    if (found.length === 0) return;
    const codes = await native.destroyTcpSockets(
      ...place,
      Buffer.concat(found.map(({ socket: { handle } }) => handle)),
    );
    const ended = found.filter((_, i) => codes[i] === "");
    const to = ended.map(({ remote, remotePort }) =>
      formatEndpoint({ address: formatAddress(remote), port: remotePort }),
    );
    if (ended.length > 0) options.onReset(id, ended.length, to.slice(0, mostNamed));
    const refused = codes.find((code) => code !== "" && code !== "ENOENT");
    if (refused !== undefined) throw new Error(`SOCK_DESTROY: ${refused}`);
  };

  const look = async (at: Look): Promise<void> => {
    try {
      await reset(at);
      await sleep(secondLook, undefined, { signal: closed.signal, ref: false });
      if (current.get(at.id)?.policy === at.policy.id) await reset(at);
    } catch (error) {
      // The namespace went, or the agent does.
      if ((error as Partial<KernelError>).code === "ESTALE" || closed.signal.aborted) return;
      if (options.findProcess(at.id, at.netns) === undefined) return;
      failed.set(at.id, (error as Error).message);
      options.onChange();
    }
  };

  return {
    arrived(pods) {
      for (const pod of pods) fresh.add(pod);
    },
    pass({ pods, namespaces, policies, enrolled }) {
      current = pods;
      for (const id of failed.keys()) if (!pods.has(id)) failed.delete(id);
      for (const id of fresh) {
        const pod = pods.get(id);
        const namespace = namespaces.get(id);
        const policy = pod && policies.get(pod.policy);
        // null: it shows no namespace of its own, so nothing can have left it, and nothing will unseen.
        if (pod === undefined || namespace === null) fresh.delete(id);
        else if (namespace !== undefined && pod.netnsCookie === namespace.cookie && policy !== undefined) {
          fresh.delete(id);
          void look({ id, pod, policy, netns: namespace.link, proxy: enrolled.get(id)?.proxy });
        }
      }
      return [...failed].map(([id, message]) => {
        const why = `connections around the proxy were not reset: ${message}`;
        return { kind: "namespace", where: "", pod: options.nameOf(id), key: "reset-leaked", value: "", why };
      });
    },
    close() {
      closed.abort();
      fresh.clear();
    },
  };
}

const wantedStates = Object.values(tcpStates).reduce((bits, bit) => bits | bit, 0);
const isListening = ({ state }: TcpSocket): boolean => 1 << state === tcpStates.listen;

function openSocket(
  socket: TcpSocket,
  pod: PodState,
  who: {
    /** Processes of the pod. */
    readonly holders: readonly Holder[];
    readonly proxies: ReadonlySet<number>;
    /** The pod's, and all below it. */
    readonly cgroups: ReadonlySet<bigint>;
  },
): OpenSocket {
  const { holders, proxies, cgroups } = who;
  const made = pod.proxyCgroupId !== 0n && socket.cgroupId === pod.proxyCgroupId;
  const [holder] = holders;
  // By the cgroup alone: an application may run under the proxy's uid.
  const uid = pod.proxyCgroupOnly ? -1 : (holder?.uid ?? socket.uid) - pod.uidBase;
  return {
    listening: isListening(socket),
    local: addressFromBytes(socket.local),
    localPort: socket.localPort,
    remote: addressFromBytes(socket.remote),
    remotePort: socket.remotePort,
    uid,
    gid: holder && holder.gid - pod.gidBase,
    // Where the kernel does not tell who made it, it may be the pod's.
    isOfPod: holders.length > 0 || socket.cgroupId === 0n || cgroups.has(socket.cgroupId),
    isProxy: made || holders.some(({ pid }) => proxies.has(pid)),
  };
}
