/** From a pod to its policy: enrolment, then annotations, then the compiler. */
import type { Pod } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import type { Problem } from "../model/problem.js";
import { readSettings } from "./annotations.js";
import { compilePolicy } from "./compile.js";
import { type EnrolmentOptions, enrol } from "./enrolment.js";

export interface PolicyOptions extends EnrolmentOptions {
  /** Where a pod captures DNS: queries to every server (as istio-cni does), or to those of its resolv.conf. */
  readonly dns?: "all" | "resolv-conf";
}

export type PodPolicy =
  | { readonly enrolled: false; readonly why: string; readonly problems: readonly Problem[] }
  | {
      readonly enrolled: true;
      readonly policy: Policy;
      readonly problems: readonly Problem[];
      /** IPv6 is captured if the pod has any address of it, not only if its first one is. */
      readonly dualStack: boolean;
      readonly excludeInterfaces: readonly string[];
      /** A value was bad: the policy stands in only where the kernel has none for the pod. */
      readonly bad: boolean;
    };

/** Pure. A pod that is not enrolled has no problems of its annotations: nobody acts on them. */
export function podPolicy(pod: Pod, options: PolicyOptions): PodPolicy {
  const enrolment = enrol(pod, options);
  if (!enrolment.enrolled) return { ...enrolment, problems: [] };
  const { settings, problems, bad } = readSettings(pod);
  const { dualStack, excludeInterfaces } = settings;
  const policy = compilePolicy(settings, options.dns);
  return { enrolled: true, policy, dualStack, excludeInterfaces, problems, bad };
}
