/** From a pod to its policy: enrolment, then annotations, then the compiler. */
import type { Pod } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import type { Problem } from "../model/problem.js";
import { readSettings } from "./annotations.js";
import { compilePolicy } from "./compile.js";
import { type EnrolmentOptions, enrol, type Refusal } from "./enrolment.js";

export type PodPolicy =
  | ({ readonly enrolled: false; readonly problems: readonly Problem[] } & Refusal)
  | {
      readonly enrolled: true;
      readonly policy: Policy;
      readonly problems: readonly Problem[];
      /** A value was bad: the policy stands in only where the kernel has none for the pod. */
      readonly bad: boolean;
    };

/** Pure. A pod that is not enrolled has no problems of its annotations: nobody acts on them. */
export function podPolicy(pod: Pod, options: EnrolmentOptions): PodPolicy {
  const enrolment = enrol(pod, options);
  if (!enrolment.enrolled) return { ...enrolment, problems: [] };
  const { settings, problems, bad } = readSettings(pod);
  return { enrolled: true, policy: compilePolicy(settings), problems, bad };
}
