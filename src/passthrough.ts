/**
 * `::6` on the lo of pods whose IPv6 is captured: Envoy binds it to reach its own application, and no kernel has it by
 * itself, as it has 127.0.0.6 (istio-iptables: `ip -6 addr add ::6/128 dev lo`).
 */
import { addressKey, type PodState } from "./maps/state.js";
import { type Address, parseAddress } from "./model/address.js";
import type { Problem } from "./model/problem.js";
import type { PodNamespace } from "./node/namespace.js";

export const passthrough6 = parseAddress("::6") as Address;

export interface PassthroughOptions {
  /** Adds the address in this namespace, which a process is in. */
  add(pid: number, netns: string): Promise<void>;
  /** A process of the pod in this namespace; undefined if there is none any more. */
  findProcess(pod: bigint, netns: string): number | undefined;
  nameOf(pod: bigint): string;
  /** What is wrong has changed. */
  onChange(): void;
}

export interface Passthrough {
  /** Each namespace is asked once; that the address is there is seen by whoever looks at it. */
  pass(pods: ReadonlyMap<bigint, PodState>, namespaces: ReadonlyMap<bigint, PodNamespace | null>): readonly Problem[];
}

export function openPassthrough(options: PassthroughOptions): Passthrough {
  /** Cgroup id → the namespace that was asked, and why in vain. */
  const asked = new Map<bigint, { readonly netns: string; why: string }>();

  const ask = async (pod: bigint, netns: string, pid: number): Promise<void> => {
    const entry = { netns, why: "" };
    asked.set(pod, entry);
    try {
      await options.add(pid, netns);
    } catch (error) {
      entry.why = (error as Error).message;
      options.onChange();
    }
  };

  return {
    pass(pods, namespaces) {
      const problems: Problem[] = [];
      for (const pod of asked.keys()) if (!pods.has(pod)) asked.delete(pod);
      for (const [id, pod] of pods) {
        const namespace = namespaces.get(id);
        if (!pod.captureIpv6 || namespace === undefined || namespace === null) continue;
        if (namespace.addresses.some((address) => addressKey(address) === addressKey(passthrough6))) continue;
        const before = asked.get(id);
        if (before?.netns === namespace.link) {
          const why = `the proxy cannot bind ::6: ${before.why}`;
          if (before.why !== "")
            problems.push({ kind: "namespace", where: "", pod: options.nameOf(id), key: "::6", value: "", why });
          continue;
        }
        const pid = options.findProcess(id, namespace.link);
        if (pid !== undefined) void ask(id, namespace.link, pid);
      }
      return problems;
    },
  };
}
