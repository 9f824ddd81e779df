/**
 * One process of the bench `compile`: documents are read, then the first pass is measured as the agent makes it at
 * its start, then further ones from nothing, then edits of one pod. Prints one line of JSON, times in ms.
 */
import { type Desired, desiredState } from "../../src/desired.js";
import { type KnownPods, type NodeView, noNamespace } from "../../src/desiredPod.js";
import { keepHeapSmall } from "../../src/heap.js";
import { diff } from "../../src/maps/diff.js";
import type { Have } from "../../src/maps/state.js";
import { type Address, parseAddress } from "../../src/model/address.js";
import { defaultMesh } from "../../src/model/mesh.js";
import type { Pod, Snapshot } from "../../src/model/pod.js";
import type { Sidecar } from "../../src/model/sidecar.js";
import { openPodCompiler, type PodCompiler } from "../../src/policy/podCompiler.js";
import { readDocuments } from "../../src/source/documents.js";
import { podDocument, podsWanted, sidecarDocument, sidecarsWanted } from "./compileInput.js";
import { median } from "./statistics.js";

/** ms, on the clock and of this process's threads. */
export interface Spent {
  readonly wall: number;
  readonly cpu: number;
}

/** What a process prints. */
export interface CompileRun {
  readonly cold: Spent;
  /** Of passes from nothing once the code is warm. */
  readonly warm: Spent;
  /** The median of edits, and the longest. */
  readonly edit: Spent;
  readonly longestEdit: Spent;
  readonly operations: number;
  readonly policies: number;
  readonly rules: number;
}

const empty: Have = { pods: new Map(), policies: new Set() };

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** One file each, as the agent reads them. @throws Error where a document has a problem: then something else is measured. */
function readInput(): { pods: Pod[]; sidecars: Sidecar[] } {
  const texts = [...numbers(podsWanted).map((i) => podDocument(i)), ...numbers(sidecarsWanted).map(sidecarDocument)];
  const files = texts.map((text, i) => readDocuments(text, `${i}.yaml`));
  const [problem] = files.flatMap((file) => file.problems);
  if (problem !== undefined) throw new Error(JSON.stringify(problem));
  return { pods: files.flatMap((file) => file.pods), sidecars: files.flatMap((file) => file.sidecars) };
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return address;
}

/** A node on which every pod's sandbox has been looked at. */
function nodeOf(pods: readonly Pod[]): NodeView {
  const facts = (pod: Pod, i: number) => {
    const addresses = [...pod.addresses, `fe80::${(i + 1).toString(16)}`].map(addressOf);
    return { ...noNamespace, cookie: BigInt(i + 1), addresses };
  };
  return {
    cgroups: new Map(pods.map((pod, i) => [pod.uid, { id: BigInt(i + 1000), path: `/pod${i}` }])),
    namespaces: new Map(pods.map((pod, i) => [BigInt(i + 1000), facts(pod, i)])),
    containers: new Map(pods.map((_, i) => [BigInt(i + 1000), new Map([[`cri-containerd-${i}.scope`, BigInt(i)]])])),
  };
}

function spend<T>(work: () => T): { spent: Spent; result: T } {
  const before = process.cpuUsage();
  const start = performance.now();
  const result = work();
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { spent: { wall, cpu: (user + system) / 1000 }, result };
}

function middle(all: readonly Spent[]): Spent {
  return { wall: median(all.map(({ wall }) => wall)), cpu: median(all.map(({ cpu }) => cpu)) };
}

/** What the kernel holds once the operations have been carried out. As in the store, what did not change is the same object. */
function carriedOut({ want }: Desired, before: Have): Have {
  const pods = [...want.pods].map(([id, pod], slot) => {
    const old = before.pods.get(id);
    return [id, old?.policy === pod.policy ? old : { ...pod, slot }] as const;
  });
  return { pods: new Map(pods), policies: new Set(want.policies.keys()) };
}

function main(): void {
  keepHeapSmall();
  const { pods, sidecars } = readInput();
  const node = nodeOf(pods);
  const snapshot: Snapshot = { pods, sidecars, mesh: defaultMesh, problems: [], complete: true };
  const pass = (given: Snapshot, compiler: PodCompiler, have: Have, known: KnownPods) => {
    const desired = desiredState(given, node, have, compiler(given), "uid", known);
    return { desired, operations: diff(have, desired.want) };
  };
  const open = (): PodCompiler => openPodCompiler({ excludeNamespaces: ["kube-system"] });

  const compiler = open();
  const known: KnownPods = new WeakMap();
  const first = spend(() => pass(snapshot, compiler, empty, known));
  const { desired, operations } = first.result;
  const again = numbers(15).map(() => spend(() => pass(snapshot, open(), empty, new WeakMap())).spent);

  let now = snapshot;
  let have = carriedOut(desired, empty);
  const edits = numbers(51).map((i) => {
    const edited = readDocuments(podDocument(i, i + 1), `${i}.yaml`).pods;
    now = { ...now, pods: now.pods.map((pod, at) => (at === i ? (edited[0] ?? pod) : pod)) };
    const { spent, result } = spend(() => pass(now, compiler, have, known));
    // A new policy, the flip, the fence, and the old one goes.
    if (result.operations.length !== 4) throw new Error(`${result.operations.length} operations for one edit`);
    have = carriedOut(result.desired, have);
    return spent;
  });
  const policies = [...desired.want.policies.values()];
  const run: CompileRun = {
    cold: first.spent,
    warm: middle(again),
    edit: middle(edits),
    longestEdit: { wall: Math.max(...edits.map(({ wall }) => wall)), cpu: Math.max(...edits.map(({ cpu }) => cpu)) },
    operations: operations.length,
    policies: policies.length,
    rules: policies.reduce((sum, { ports, ranges }) => sum + ports.length + ranges.length, 0),
  };
  process.stdout.write(`${JSON.stringify(run)}\n`);
}

main();
