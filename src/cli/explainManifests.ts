/** `shunt explain` on a directory of manifests: neither the kernel nor an agent is asked. */
import { UsageError } from "../errors.js";
import { parseAddress } from "../model/address.js";
import { type Pod, podName } from "../model/pod.js";
import { describeProblem, type Problem } from "../model/problem.js";
import { explain as explainPod } from "../policy/explain.js";
import type { PolicyContext, PolicyOptions } from "../policy/podPolicy.js";
import type { Question } from "../policy/question.js";
import { openManifests } from "../source/manifests.js";
import type { Answer } from "./explain.js";
import { nearNames } from "./names.js";

/** Nothing is watched: one look is enough here. */
const unwatched = { add: () => -1, remove() {}, unref() {}, ref() {}, close() {} };

/** @throws UsageError that names pods near to what was wanted. */
export function unknownPod(wanted: string, names: readonly string[], where: string): UsageError {
  return new UsageError(`shunt explain: there is no pod ${wanted} ${where}; ${nearNames(wanted, names)}`);
}

/** A Sidecar of the pod's namespace that is left out, or a bad value of the mesh, may be why. */
export function concerns({ kind, key }: Problem, namespace: string, rootNamespace: string): boolean {
  if (kind !== "sidecar") return kind === "mesh";
  return [namespace, rootNamespace].some((name) => key.startsWith(`Sidecar ${name}/`));
}

/**
 * Reads a directory once.
 * @param wanted `namespace/name` or uid.
 * @throws UsageError if the directory cannot be read or the pod is not in it.
 */
export function readManifestPod(
  directory: string,
  wanted: string,
): {
  readonly pod: Pod;
  readonly context: PolicyContext;
  readonly problems: readonly Problem[];
  readonly notes: readonly string[];
} {
  let snapshot: ReturnType<ReturnType<typeof openManifests>["snapshot"]>;
  try {
    const source = openManifests({ directory, openInotify: () => unwatched, onChange() {} });
    snapshot = source.snapshot();
    source.close();
  } catch (error) {
    throw new UsageError(`shunt explain: --manifests ${directory} cannot be read: ${(error as Error).message}`);
  }
  const { pods, sidecars, mesh, problems } = snapshot;
  const found = pods.filter((pod) => podName(pod) === wanted || pod.uid === wanted);
  const [pod] = found;
  if (pod === undefined) {
    const mayBe = ({ kind, pod: name }: Problem): boolean => kind === "document" || (kind === "pod" && name === wanted);
    const broken = problems.filter(mayBe).map(describeProblem);
    const { message } = unknownPod(wanted, pods.map(podName), `in ${directory}`);
    throw new UsageError([message, ...broken].join("\n"));
  }
  return {
    pod,
    context: { sidecars, mesh },
    problems: problems.filter(
      (problem) => problem.pod === podName(pod) || concerns(problem, pod.namespace, mesh.rootNamespace),
    ),
    notes: found.length === 1 ? [] : [`${found.length} pods have this name; this is the one with uid ${pod.uid}`],
  };
}

/** By what the pod's document says. Neither the kernel nor an agent is asked. */
export function explainManifests(
  directory: string,
  wanted: string,
  question: Question,
  options: PolicyOptions & { readonly proxyIdentity: "uid" | "cgroup" },
): Answer {
  const { pod, context, problems: documents, notes } = readManifestPod(directory, wanted);
  const localAddresses = pod.addresses.flatMap((text) => parseAddress(text) ?? []);
  const { problems, ...explanation } = explainPod(pod, { ...options, ...context }, localAddresses, question);
  const all = [...documents, ...problems];
  // Of a pod that is left alone none of it decides anything.
  const isCaptured = explanation.policy !== "";
  const isBadValue = all.some(({ kind }) => kind !== "sidecar");
  const isRefused = all.some(({ kind, pod: name }) => kind === "sidecar" && name === "");
  return {
    pod: podName(pod),
    explanation,
    problems: all.map(describeProblem),
    notes: [
      ...notes,
      ...(isCaptured && isBadValue
        ? ["a bad value counts as absent here; a pod that has a policy in the kernel keeps it: see --live"]
        : []),
      ...(isCaptured && isRefused
        ? ["a Sidecar that is refused counts as absent here; what was known of it stays: see --live"]
        : []),
      ...(isCaptured && localAddresses.length === 0
        ? ["status.podIPs names no address: the pod's own are not known here"]
        : []),
    ],
    attached: true,
  };
}
