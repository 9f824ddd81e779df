/** Inbound capture of the pods that are in the kernel: the program in each namespace, and the proxies' listeners. */
import type { PodProxy } from "./desiredPod.js";
import type { Datapath } from "./kernel/datapath.js";
import type { Inbound, InboundTarget } from "./kernel/inbound.js";
import type { Contract } from "./maps/contract.js";
import type { PodState } from "./maps/state.js";
import type { Problem } from "./model/problem.js";
import { proxyProcesses } from "./node/containers.js";
import type { PodNamespace } from "./node/namespace.js";

/** ms until an attachment that failed is tried again; an event of the pod comes first most often. */
const retry = 1000;

export interface InboundKeeperOptions {
  readonly inbound: Inbound;
  readonly datapath: Pick<Datapath, "scanListeners">;
  readonly contract: Contract;
  /** Path of a pod's cgroup; undefined once it is gone. */
  pathOf(pod: bigint): string | undefined;
  nameOf(pod: bigint): string;
}

export interface InboundKeeper {
  /**
   * Call it when the pods' records are in the kernel: from then on the programs see every new listener.
   * @param namespaces null of a pod that shows none, no entry for one that has not been looked at yet.
   */
  pass(
    pods: ReadonlyMap<bigint, PodState>,
    namespaces: ReadonlyMap<bigint, PodNamespace | null>,
    enrolled: ReadonlyMap<bigint, { readonly proxy: PodProxy }>,
  ): {
    readonly problems: readonly Problem[];
    /** ms until it is to be called again, if it is. */
    readonly again?: number;
  };
}

export function openInboundKeeper(options: InboundKeeperOptions): InboundKeeper {
  const { inbound, datapath, contract } = options;
  /** Cgroup id → for which proxy its processes were searched, and what was wrong. */
  const searched = new Map<bigint, { readonly key: string; readonly problem: Problem | undefined }>();

  const problem = (kind: Problem["kind"], pod: bigint, key: string, why: string): Problem => {
    return { kind, where: "", pod: options.nameOf(pod), key, value: "", why };
  };

  /** Listeners that were there before the programs. Those of 6.18 answer -EOPNOTSUPP for MPTCP's. */
  const search = (pod: bigint, netnsCookie: bigint, proxy: PodProxy): Problem | undefined => {
    const path = options.pathOf(pod);
    if (path === undefined) return undefined;
    const wanted = contract.listenerSearch.encode({ pod, netns_cookie: netnsCookie, port: proxy.inboundPort });
    const { size } = contract.foundListener;
    for (const pid of proxyProcesses(path, proxy.container, proxy.ids)) {
      const found = datapath.scanListeners(wanted, pid);
      for (let at = 0; at < found.length; at += size) {
        const { error } = contract.foundListener.decode(found.subarray(at, at + size));
        if (error === 0) continue;
        const why = `the listener of process ${pid} on port ${proxy.inboundPort} cannot be steered to (errno ${-(error | 0)})`;
        return problem("listener", pod, "proxy", why);
      }
    }
    return undefined;
  };

  return {
    pass(pods, namespaces, enrolled) {
      const targets: InboundTarget[] = [];
      const unsure = new Set<bigint>();
      for (const [pod] of pods) {
        const namespace = namespaces.get(pod);
        if (namespace === undefined) unsure.add(pod);
        else if (namespace !== null) targets.push({ pod, netnsCookie: namespace.cookie, netns: namespace.link });
      }
      const { failures, more } = inbound.sync(targets, unsure);
      const problems = [...failures].map(([pod, error]) =>
        problem("namespace", pod, "inbound", `inbound connections are not captured: ${error.message}`),
      );
      for (const pod of searched.keys()) if (!pods.has(pod)) searched.delete(pod);
      for (const { pod, netnsCookie } of targets) {
        const proxy = enrolled.get(pod)?.proxy;
        if (proxy === undefined) continue;
        const key = `${netnsCookie} ${proxy.inboundPort} ${proxy.container} ${proxy.ids?.uid} ${proxy.ids?.gid}`;
        if (searched.get(pod)?.key !== key) searched.set(pod, { key, problem: search(pod, netnsCookie, proxy) });
        const bad = searched.get(pod)?.problem;
        if (bad !== undefined) problems.push(bad);
      }
      return { problems, ...(more ? { again: 0 } : failures.size > 0 ? { again: retry } : {}) };
    },
  };
}
