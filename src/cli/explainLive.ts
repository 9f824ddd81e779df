/** What the kernel's maps say of a pod, and the pods of a directory of manifests, for `shunt explain`. */
import { UsageError } from "../errors.js";
import { readPods, readPolicy } from "../maps/readPolicy.js";
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import { podName } from "../model/pod.js";
import { describeProblem, type Problem } from "../model/problem.js";
import type { OutsideCause, Status } from "../model/status.js";
import { type Explanation, explainOutside, explainPolicy, type Question } from "../policy/explain.js";
import type { PolicyContext } from "../policy/podPolicy.js";
import { openManifests } from "../source/manifests.js";
import { askAgent } from "../web/controlClient.js";
import type { Answer } from "./explain.js";
import { nearNames } from "./names.js";
import { defaultBpffs } from "./options.js";
import { type Pins, withPins } from "./pins.js";

/** Nothing is watched: one look is enough here. */
const unwatched = { add: () => -1, remove() {}, unref() {}, ref() {}, close() {} };

/** @throws UsageError that names pods near to what was wanted. */
function unknown(wanted: string, names: readonly string[], where: string): UsageError {
  return new UsageError(`shunt explain: there is no pod ${wanted} ${where}; ${nearNames(wanted, names)}`);
}

/** A Sidecar of the pod's namespace that is left out, or a bad value of the mesh, may be why. */
function concerns({ kind, key }: Problem, { namespace }: Pod, { rootNamespace }: Mesh): boolean {
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
    const broken = problems.filter((problem) => problem.kind === "document").map(describeProblem);
    const { message } = unknown(wanted, pods.map(podName), `in ${directory}`);
    throw new UsageError([message, ...broken].join("\n"));
  }
  return {
    pod,
    context: { sidecars, mesh },
    problems: problems.filter((problem) => problem.pod === podName(pod) || concerns(problem, pod, mesh)),
    notes: found.length === 1 ? [] : [`${found.length} pods have this name; this is the one with uid ${pod.uid}`],
  };
}

export interface LiveOptions {
  /** `namespace/name` or uid. */
  readonly wanted: string;
  readonly control: string;
  readonly bpffs: string | undefined;
  readonly manifests: string | undefined;
}

/** Closed: the programs refuse what they cannot decide. */
function refused(rule: string, source: string): Explanation {
  return { verdict: "deny", to: null, reason: "unknown-pod", rule, source, considered: [], policy: "" };
}

/** As the programs do it: the entry, its record, the record's policy; a policy that has just gone is asked for again. */
function explainPinned(pins: Pins, cgroupId: bigint, question: Question): Explanation {
  const { maps, contract } = pins;
  if (maps === undefined) return explainOutside("no maps of this build are pinned");
  for (let attempt = 0; attempt < 2; attempt++) {
    const pods = readPods(maps, contract);
    const pod = pods.get(cgroupId);
    if (!pods.has(cgroupId)) return explainOutside("no entry in the kernel's map pods enrols it");
    if (pod === undefined) return refused("its record is another pod's", "pod_records");
    const policy = readPolicy(maps, contract, pod.policy);
    if (policy !== undefined) return explainPolicy(policy, pod, question);
  }
  return refused("the policy that its record names is not there", "policies");
}

type Found = Pick<Answer, "pod" | "problems" | "notes"> & {
  /** Undefined: it is not in the kernel, and `outside` says why. */
  readonly cgroupId: bigint | undefined;
  readonly outside: string;
  readonly cause?: OutsideCause | "";
};

function findByAgent(status: Status, wanted: string): Found {
  const name = (pod: Status["pods"][number]): string => `${pod.namespace}/${pod.name}`;
  const pods = status.pods.filter((pod) => name(pod) === wanted || pod.uid === wanted);
  const pod = pods.find((each) => each.state === "enrolled") ?? pods[0];
  if (pod === undefined) throw unknown(wanted, status.pods.map(name), "that the agent knows");
  const cgroupId = pod.cgroupId === "" ? undefined : BigInt(pod.cgroupId);
  const problems = status.problems.filter((problem) => problem.pod === name(pod)).map(describeProblem);
  const notes = pod.keepsPolicy ? ["a value of it is bad: it keeps the policy that it had"] : [];
  return { pod: name(pod), cgroupId, outside: pod.why, cause: pod.cause, problems, notes };
}

/** The maps know cgroups, and a cgroup's name tells the uid. */
function findByPins(pins: Pins, why: string, { wanted, manifests }: LiveOptions): Found {
  const note = `no agent answers (${why}): this is what it has left in the kernel`;
  const named = manifests === undefined ? undefined : readManifestPod(manifests, wanted);
  if (named === undefined && wanted.includes("/"))
    throw new UsageError(
      `shunt explain: no agent answers (${why}), and the kernel knows no names: give --pod UID, or --manifests DIR too`,
    );
  const uid = named?.pod.uid ?? wanted;
  const cgroup = pins.cgroups.find((each) => each.uid === uid);
  if (cgroup === undefined && named === undefined)
    throw unknown(
      wanted,
      pins.cgroups.map((each) => each.uid),
      `below ${pins.cgroupRoot || "the programs' cgroup, which is gone"}`,
    );
  return {
    pod: named === undefined ? uid : podName(named.pod),
    cgroupId: cgroup?.id,
    outside: "it has no cgroup below the one that the programs are attached to",
    problems: named?.problems.map(describeProblem) ?? [],
    notes: [note, ...(named?.notes ?? [])],
  };
}

/**
 * The verdict of what is in the kernel.
 * @throws UsageError for a pod that is not there; Error if nothing is pinned; NodeError without the permission.
 */
export async function explainLive(options: LiveOptions, question: Question): Promise<Answer> {
  const asked = await askAgent(options.control, "/status");
  const known = asked.agent ? (asked.body as Status) : undefined;
  const found = known === undefined ? undefined : findByAgent(known, options.wanted);
  const bpffs = options.bpffs ?? known?.bpffs ?? defaultBpffs;
  const answer = await withPins(bpffs, (pins): Answer => {
    const { cgroupId, outside, cause, ...pod } = found ?? findByPins(pins, asked.agent ? "" : asked.why, options);
    const explanation =
      cgroupId === undefined ? explainOutside(outside, cause) : explainPinned(pins, cgroupId, question);
    return { ...pod, explanation, attached: pins.programs.length > 0 };
  });
  if (answer !== undefined) return answer;
  const agent = asked.agent ? "" : `no agent answers (${asked.why}), and `;
  throw new Error(`shunt explain: ${agent}nothing of shunt is pinned under ${bpffs}`);
}
