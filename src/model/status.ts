/** What the agent knows at one moment, for `shunt status`, the metrics and the control socket. Plain data: it goes through JSON. */
import type { Problem } from "./problem.js";

/** `waiting`: it is to be captured, and its cgroup is not there (yet). */
export type PodState = "enrolled" | "waiting" | "not-enrolled";

/** Why a pod is not captured, for programs; {@link PodStatus.why} says it to a person. */
export type OutsideCause =
  | "host-network"
  | "namespace"
  | "no-proxy"
  | "not-a-sidecar"
  | "not-injected"
  | "inject-refused"
  | "no-envoy"
  | "mode-none"
  | "iptables";

export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly state: PodState;
  /** Why it is not enrolled, or what it waits for; "" otherwise. */
  readonly why: string;
  /** "" unless it is not enrolled. */
  readonly cause: OutsideCause | "";
  /** 16 hex digits; "" unless enrolled. */
  readonly policy: string;
  /** Decimal; "" unless enrolled. */
  readonly cgroupId: string;
  /** Decimal; "" while the network namespace is not known. */
  readonly netnsCookie: string;
  readonly addresses: readonly string[];
  /** A value of it is bad, and it keeps the policy that it had in the kernel. */
  readonly keepsPolicy: boolean;
}

export const unknownPods = ["allow", "deny"] as const;
/** `deny`: what a pod asks to connect to is refused until the agent has heard of the pod. */
export type UnknownPods = (typeof unknownPods)[number];

export interface MapFill {
  readonly name: string;
  readonly entries: number;
  readonly capacity: number;
}

export interface ProgramStatus {
  readonly name: string;
  readonly id: number;
  readonly tag: string;
}

export interface Status {
  readonly version: string;
  /** The source has been read, the maps are filled, the programs are attached. */
  readonly ready: boolean;
  readonly source: {
    /** `manifests DIR`. */
    readonly name: string;
    /** Everything could be read. */
    readonly synced: boolean;
    /** Seconds since the epoch; 0 before the first event. */
    readonly lastEvent: number;
  };
  readonly cgroupRoot: string;
  readonly bpffs: string;
  readonly pods: readonly PodStatus[];
  readonly policies: number;
  /** What holds in the kernel now: until the agent is ready, what its predecessor has left. */
  readonly unknownPods: UnknownPods;
  readonly problems: readonly Problem[];
  readonly maps: readonly MapFill[];
  readonly programs: readonly ProgramStatus[];
}
