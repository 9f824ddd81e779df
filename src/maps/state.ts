/** What the maps hold, or are to hold. */
import type { Address } from "../model/address.js";
import type { Policy } from "../model/policy.js";

/** One enrolled pod. */
export interface PodState {
  /** The pod's identity in the kernel: the inode number of its cgroup. */
  readonly cgroupId: bigint;
  readonly policy: bigint;
  /** 0n while the pod's network namespace is not known. */
  readonly netnsCookie: bigint;
  /** 0n while the proxy's container is not known. */
  readonly proxyCgroupId: bigint;
  /** The address that redirected connections come from; undefined while it is not known. */
  readonly ipv4: Address | undefined;
  readonly ipv6: Address | undefined;
  /** IPv6 is captured too. */
  readonly captureIpv6: boolean;
  /** Whoever runs elsewhere than in the proxy's cgroup is an application, whatever its uid. */
  readonly proxyCgroupOnly: boolean;
  /** Ids of the initial user namespace that the pod's own 0 stands for; 0 where it has no namespace of its own. */
  readonly uidBase: number;
  readonly gidBase: number;
  /** Every address of the pod's own interfaces, without loopback. */
  readonly localAddresses: readonly Address[];
  /** Of its resolv.conf, where DNS capture is limited to them. */
  readonly dnsServers: readonly Address[];
  /** Indexes of the interfaces through which nothing is captured. */
  readonly excludedInterfaces: readonly number[];
}

/** What an address is to a pod: the bits of `enum local_flag`. */
export const localFlags = { own: 1, dnsServer: 2 } as const;

export interface LocalAddress {
  readonly address: Address;
  /** Bits of {@link localFlags}; never 0. */
  readonly flags: number;
}

/** The pod's entries of `local_addrs`, by {@link addressKey}. */
export function localEntries(pod: Pick<PodState, "localAddresses" | "dnsServers">): Map<string, LocalAddress> {
  const entries = new Map<string, LocalAddress>();
  const add = (addresses: readonly Address[], flag: number): void => {
    for (const address of addresses) {
      const key = addressKey(address);
      entries.set(key, { address, flags: (entries.get(key)?.flags ?? 0) | flag });
    }
  };
  add(pod.localAddresses, localFlags.own);
  add(pod.dnsServers, localFlags.dnsServer);
  return entries;
}

/** The inverse of {@link localEntries}. */
export function fromLocalEntries(entries: Iterable<LocalAddress>): Pick<PodState, "localAddresses" | "dnsServers"> {
  const all = [...entries];
  const having = (flag: number) => all.filter(({ flags }) => (flags & flag) !== 0).map(({ address }) => address);
  return { localAddresses: having(localFlags.own), dnsServers: having(localFlags.dnsServer) };
}

export interface Have {
  readonly pods: ReadonlyMap<bigint, PodState & { readonly slot: number }>;
  /** Cgroup ids of pods that are known and not to be captured; none of `pods`. Absent: there are none. */
  readonly outside?: ReadonlySet<bigint>;
  /** Those of `pods` whose entry is gone or another one by now; the rest of them goes after a grace period. */
  readonly unlisted?: ReadonlySet<bigint>;
  /** The ids of whole ones: a policy's record is written after its rules and deleted before them. */
  readonly policies: { readonly size: number; has(id: bigint): boolean; keys(): Iterable<bigint> };
}

export interface Want {
  readonly pods: ReadonlyMap<bigint, PodState>;
  /** As {@link Have.outside}. */
  readonly outside?: ReadonlySet<bigint>;
  /** By id. A pod may also name a policy that is in the kernel already and stays as it is. */
  readonly policies: ReadonlyMap<bigint, Policy>;
}

/** Stable text of a set of addresses, to compare them. */
export function addressKey(address: Address): string {
  return `${address.family}:${address.bytes.join(".")}`;
}
