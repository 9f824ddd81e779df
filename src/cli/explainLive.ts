/** What the kernel's maps say of a pod, for `shunt explain --live`. */
import { readlinkSync } from "node:fs";
import { UsageError } from "../errors.js";
import { native } from "../kernel/native.js";
import { readUnknownPods } from "../maps/controls.js";
import { isOutside, readPods, readPolicy } from "../maps/readPolicy.js";
import type { PodState } from "../maps/state.js";
import { defaultRootNamespace } from "../model/mesh.js";
import { podName } from "../model/pod.js";
import type { Policy } from "../model/policy.js";
import { describeProblem } from "../model/problem.js";
import type { OutsideCause, Status } from "../model/status.js";
import { listensEverywhere } from "../node/listeners.js";
import { inspectPodNamespace, type PodNamespace, processInNamespace } from "../node/namespace.js";
import { type Explanation, explainOutside, explainPolicy } from "../policy/explain.js";
import type { Question } from "../policy/question.js";
import { askAgent } from "../web/controlClient.js";
import type { Answer } from "./explain.js";
import { askOrigin } from "./explainAsked.js";
import { concerns, readManifestPod, unknownPod } from "./explainManifests.js";
import { type Asked, wrong } from "./explainQuestion.js";
import { defaultBpffs } from "./options.js";
import { type Pins, withPins } from "./pins.js";

export interface LiveOptions {
  /** `namespace/name` or uid. */
  readonly wanted: string;
  readonly control: string;
  readonly bpffs: string | undefined;
  readonly manifests: string | undefined;
  /** The question, as it was put. */
  readonly asked: Asked;
}

type ReadablePins = Pick<Pins, "contract"> & { readonly maps: NonNullable<Pins["maps"]> };

type Told = Pick<Answer, "explanation" | "alsoTo">;

/** Closed: the programs refuse what they cannot decide. */
function refused(rule: string, source: string): Told {
  const nothing = { considered: [], assumed: [], policy: "" };
  return { explanation: { verdict: "deny", to: null, reason: "unknown-pod", rule, source, ...nothing } };
}

/** Undefined if no process shows it: the sandbox is not there, or it just goes. */
async function namespaceOf(cgroup: string): Promise<PodNamespace | undefined> {
  try {
    return await inspectPodNamespace(native(), cgroup, async () => {});
  } catch {
    return undefined; // what needs it says so
  }
}

/** bpf/proxy_address.h, proxy_ipv4(): a proxy that listens on every address gets its connections on several. */
function otherAddresses(
  { to, reason }: Explanation,
  policy: Policy,
  question: Question,
  pid: number | undefined,
): readonly string[] | undefined {
  const port = /^127\.0\.0\.1:(\d+)$/.exec(to ?? "")?.[1];
  if (port === undefined || question.direction === "inbound" || question.protocol !== "tcp") return [];
  if (reason === "dns" || reason === "proxy-to-self" || policy.keepLocal) return [];
  if (pid === undefined) return undefined;
  return listensEverywhere(pid, Number(port)) ? [1, 2, 3, 4, 5, 6, 7].map((i) => `127.65.0.${i}:${port}`) : [];
}

function checkInterface(question: Question, namespace: PodNamespace | undefined): void {
  const { direction, interface: name } = question;
  if (name === undefined) return;
  if (direction === "outbound")
    throw wrong("with --live --interface belongs to --inbound: the pod's own routes tell it");
  if (namespace === undefined) throw wrong("--interface: no process of the pod shows its network");
  if (namespace.interfaces.has(name)) return;
  throw wrong(`--interface ${name}: the pod has ${[...namespace.interfaces.keys()].join(", ") || "none"}`);
}

async function explainPod(cgroup: string, policy: Policy, pod: PodState, question: Question): Promise<Told> {
  const namespace = await namespaceOf(cgroup);
  checkInterface(question, namespace);
  const facts = { ...pod, interfaces: namespace?.interfaces ?? new Map<string, number>() };
  const explanation = explainPolicy(policy, facts, question);
  const pid = namespace === undefined ? undefined : processInNamespace(cgroup, namespace.link);
  const alsoTo = otherAddresses(explanation, policy, question, pid);
  return alsoTo === undefined ? { explanation } : { explanation, alsoTo };
}

/** bpf/unknown.h: no entry says that the agent knows whose cgroup it is. */
function explainUnknown({ maps, contract }: ReadablePins, cgroup: string, question: Question): Told {
  const heard = "the agent has not heard of it: no entry in the kernel's map pods is its own";
  if (readUnknownPods(maps.controls, contract) === "allow") return { explanation: explainOutside(heard) };
  if (question.direction === "inbound")
    return { explanation: explainOutside(`${heard}; of such pods only what they ask to connect to is refused`) };
  if (processInNamespace(cgroup, readlinkSync("/proc/self/ns/net")) !== undefined)
    return { explanation: explainOutside(`${heard}; pods with the host's network pass`) };
  return refused(heard, "--unknown-pods");
}

/** As the programs do it: the entry, its record, the record's policy; a policy that has just gone is asked for again. */
async function explainPinned(pins: Pins, cgroupId: bigint, question: Question): Promise<Told> {
  const { maps, contract } = pins;
  const cgroup = pins.cgroups.find(({ id }) => id === cgroupId)?.path ?? "";
  if (maps === undefined) return { explanation: explainOutside("no maps of this build are pinned") };
  for (let attempt = 0; attempt < 2; attempt++) {
    const pods = readPods(maps, contract);
    const pod = pods.get(cgroupId);
    if (isOutside(maps, contract, cgroupId))
      return { explanation: explainOutside("its entry in the kernel's map pods says that it is not captured") };
    if (!pods.has(cgroupId)) return explainUnknown({ maps, contract }, cgroup, question);
    if (pod === undefined) return refused("its record is another pod's", "pod_records");
    const policy = readPolicy(maps, contract, pod.policy);
    if (policy !== undefined) return explainPod(cgroup, policy, pod, question);
  }
  return refused("the policy that its record names is not there", "policies");
}

type Found = Pick<Answer, "pod" | "problems" | "notes"> & {
  /** Undefined: it is not in the kernel, and `outside` says why. */
  readonly cgroupId: bigint | undefined;
  readonly outside: string;
  readonly cause?: OutsideCause | "";
  /** Id of the policy that its document asks for; undefined where that is not known or cannot all be read. */
  readonly wanted?: string | undefined;
};

/** @returns undefined if the agent does not know it. */
function findByAgent(status: Status, wanted: string): Found | undefined {
  const name = (pod: Status["pods"][number]): string => `${pod.namespace}/${pod.name}`;
  const pods = status.pods.filter((pod) => name(pod) === wanted || pod.uid === wanted);
  const pod = pods.find((each) => each.state === "enrolled") ?? pods[0];
  if (pod === undefined) return undefined;
  const cgroupId = pod.cgroupId === "" ? undefined : BigInt(pod.cgroupId);
  const isOurs = (problem: Status["problems"][number]): boolean =>
    problem.pod === name(pod) || (problem.pod === "" && concerns(problem, pod.namespace, defaultRootNamespace));
  const problems = status.problems.filter(isOurs).map(describeProblem);
  const notes = pod.keepsPolicy ? ["what decides over it cannot all be read: it keeps the policy that it had"] : [];
  const asked = pod.keepsPolicy ? undefined : pod.policy;
  return { pod: name(pod), cgroupId, outside: pod.why, cause: pod.cause, problems, notes, wanted: asked };
}

/** Its cgroup is there before the agent hears of it, and the cgroup's name tells the uid. */
function findUnheard(pins: Pins, status: Status, { wanted, manifests }: LiveOptions): Found {
  const names = status.pods.map((pod) => `${pod.namespace}/${pod.name}`);
  const stranger = unknownPod(wanted, names, "that the agent knows");
  const named = manifests === undefined ? undefined : readManifestPod(manifests, wanted);
  const uid = named?.pod.cgroupUid ?? wanted;
  const cgroup = pins.cgroups.find((each) => each.uid === uid);
  if (cgroup === undefined) {
    if (status.unknownPods !== "deny") throw stranger;
    throw new UsageError(
      `${stranger.message}. Pods that it has not heard of are denied; for the answer of such a pod give --pod UID, or --manifests DIR too`,
    );
  }
  return {
    pod: named === undefined ? uid : podName(named.pod),
    cgroupId: cgroup.id,
    outside: "",
    problems: named?.problems.map(describeProblem) ?? [],
    notes: ["the agent knows no such pod: this is what the kernel does with its cgroup", ...(named?.notes ?? [])],
  };
}

/** The maps know cgroups, and a cgroup's name tells the uid. */
function findByPins(pins: Pins, why: string, { wanted, manifests }: LiveOptions): Found {
  const note = `no agent answers (${why}): this is what it has left in the kernel`;
  const named = manifests === undefined ? undefined : readManifestPod(manifests, wanted);
  if (named === undefined && wanted.includes("/"))
    throw new UsageError(
      `shunt explain: no agent answers (${why}), and the kernel knows no names: give --pod UID, or --manifests DIR too`,
    );
  const uid = named?.pod.cgroupUid ?? wanted;
  const cgroup = pins.cgroups.find((each) => each.uid === uid);
  if (cgroup === undefined && named === undefined)
    throw unknownPod(
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

/** The words that decided in the place of the kernel's rule, which is told beside them. */
async function inWords(
  told: Told,
  pod: string,
  { control, asked }: LiveOptions,
): Promise<Told & Pick<Answer, "notes" | "kernel">> {
  const { explanation } = told;
  const { rule, source, reason } = explanation;
  const origin = await askOrigin(control, pod, reason, asked);
  if (origin === undefined) return { ...told, notes: ["the agent does not tell whose words the kernel's rule is"] };
  if (origin === null) return { ...told, explanation: { ...explanation, source: "default" }, notes: [] };
  return { ...told, explanation: { ...explanation, ...origin }, notes: [], kernel: `${rule} (${source})` };
}

/**
 * The verdict of what is in the kernel.
 * @throws UsageError for a pod that is not there; Error if nothing is pinned; NodeError without the permission.
 */
export async function explainLive(options: LiveOptions, question: Question): Promise<Answer> {
  const asked = await askAgent(options.control, "/status");
  const known = asked.agent ? (asked.body as Status) : undefined;
  const bpffs = options.bpffs ?? known?.bpffs ?? defaultBpffs;
  const answer = await withPins(bpffs, async (pins): Promise<Answer> => {
    const found =
      known === undefined
        ? findByPins(pins, asked.agent ? "" : asked.why, options)
        : (findByAgent(known, options.wanted) ?? findUnheard(pins, known, options));
    const { cgroupId, outside, cause, wanted, ...pod } = found;
    const attached = pins.programs.length > 0;
    if (cgroupId === undefined) return { ...pod, explanation: explainOutside(outside, cause), attached };
    const told = await explainPinned(pins, cgroupId, question);
    if (wanted === undefined || told.explanation.policy === "") return { ...pod, ...told, attached };
    // A map was full, or an edit is on its way: the document's words are not those that decide.
    const other = `the kernel has another policy for it than its document asks for (${wanted}): see shunt status`;
    if (wanted !== told.explanation.policy) return { ...pod, ...told, notes: [...pod.notes, other], attached };
    const { notes, ...words } = await inWords(told, pod.pod, options);
    return { ...pod, ...words, notes: [...pod.notes, ...notes], attached };
  });
  if (answer !== undefined) return answer;
  const agent = asked.agent ? "" : `no agent answers (${asked.why}), and `;
  throw new Error(`shunt explain: ${agent}nothing of shunt is pinned under ${bpffs}`);
}
