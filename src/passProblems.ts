/** What the kernel has refused to a pass, as problems. Pure. */
import type { Failure } from "./maps/store.js";
import type { Problem } from "./model/problem.js";

type NameOf = (pod: bigint) => string;

/** Operations that were refused, by the pod that they were for; a policy is many pods'. */
export function refusedProblems(failures: readonly Failure[], nameOf: NameOf): Problem[] {
  return failures.map(({ op, error }) => {
    const id = "pod" in op ? (typeof op.pod === "bigint" ? op.pod : op.pod.cgroupId) : undefined;
    const pod = id === undefined ? "" : nameOf(id);
    return { kind: "kernel", where: "", pod, key: op.kind, value: "", why: error.message };
  });
}

/** @param errors by cgroup id, of namespaces that could not be looked into. */
export function unseenProblems(errors: ReadonlyMap<bigint, Error>, nameOf: NameOf): Problem[] {
  return [...errors].map(([id, error]) => {
    const why = `the network namespace cannot be read: ${error.message}`;
    return { kind: "namespace", where: "", pod: nameOf(id), key: "namespace", value: "", why };
  });
}
