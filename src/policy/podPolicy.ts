/** From a pod to its policy: enrolment, then annotations, then the Sidecar, then the compiler. */
import { defaultMesh, type Mesh } from "../model/mesh.js";
import { type Pod, podName } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import type { Problem } from "../model/problem.js";
import type { Sidecar } from "../model/sidecar.js";
import type { Unread } from "../model/unread.js";
import { readSettings } from "./annotations.js";
import { compilePolicy } from "./compile.js";
import { type EnrolmentOptions, enrol, type Refusal } from "./enrolment.js";
import { sidecarCapture } from "./sidecarCapture.js";
import { indexSidecars, selectSidecar } from "./sidecarSelect.js";
import type { StandIns } from "./standIns.js";

export type PodPolicy =
  | ({ readonly enrolled: false; readonly problems: readonly Problem[] } & Refusal)
  | {
      readonly enrolled: true;
      readonly policy: Policy;
      readonly problems: readonly Problem[];
      /** IPv6 is captured if the pod has any address of it, not only if its first one is. */
      readonly dualStack: boolean;
      readonly excludeInterfaces: readonly string[];
      /** A value was bad, or what may decide cannot be read: the policy stands in only where the kernel has none. */
      readonly bad: boolean;
    };

/** What the agent was told at its start. */
export interface PolicyOptions extends EnrolmentOptions {
  readonly standIns?: StandIns | undefined;
  /** Where a pod captures DNS: queries to every server (as istio-cni does), or to those of its resolv.conf. */
  readonly dns?: "all" | "resolv-conf";
}

/** What concerns more than one pod, and changes. */
export interface PolicyContext {
  readonly sidecars: readonly Sidecar[];
  readonly mesh: Mesh;
  /** Undefined: nothing. */
  readonly unread?: Unread | undefined;
}

/** Pure. A pod that is not enrolled has no problems of its annotations: nobody acts on them. */
export function podPolicy(pod: Pod, options: PolicyOptions & Partial<PolicyContext>): PodPolicy {
  const { sidecars = [], mesh = defaultMesh } = options;
  return podPolicyWith(pod, options, selectSidecar(indexSidecars(sidecars), pod, mesh.rootNamespace), mesh);
}

/** As {@link podPolicy}. @param sidecar the pod's. */
export function podPolicyWith(pod: Pod, options: PolicyOptions, sidecar: Sidecar | undefined, mesh: Mesh): PodPolicy {
  const enrolment = enrol(pod, options);
  if (!enrolment.enrolled) return { ...enrolment, problems: [] };
  const { settings, problems, bad } = readSettings(pod, { standIns: options.standIns, mesh });
  const { dualStack, excludeInterfaces } = settings;
  const facts = { enrolled: true, dualStack, excludeInterfaces, bad } as const;
  if (sidecar === undefined) return { ...facts, policy: compilePolicy(settings, options.dns), problems };
  const read = sidecarCapture(sidecar, mesh, settings, podName(pod));
  const policy = compilePolicy({ ...settings, sidecar: read.capture }, options.dns);
  return { ...facts, policy, problems: [...problems, ...read.problems] };
}
