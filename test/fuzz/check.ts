/** What must hold of any file beside the good ones. Throws where it does not. */
import { isDeepStrictEqual } from "node:util";
import { desiredState } from "../../src/desired.js";
import { type NodeView, noNamespace } from "../../src/desiredPod.js";
import { diff } from "../../src/maps/diff.js";
import type { Have, PodState } from "../../src/maps/state.js";
import type { Snapshot } from "../../src/model/pod.js";
import type { Problem } from "../../src/model/problem.js";
import { openPodCompiler } from "../../src/policy/podCompiler.js";
import { type FileContent, readDocuments } from "../../src/source/documents.js";
import { mergeFiles } from "../../src/source/mergeFiles.js";

const metadata = (i: number): string =>
  `{name: good-${i}, namespace: good, uid: good-${i}, labels: {app: a${i}}, annotations: {sidecar.istio.io/status: "{}", traffic.sidecar.istio.io/excludeOutboundPorts: "${i}80,3306", traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.${i}.0.0/16}}`;
/** Pods, a Sidecar and a MeshConfig that nothing beside them may change. */
export const goodFiles: Readonly<Record<string, string>> = {
  "a-mesh.yaml":
    "kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'outboundTrafficPolicy: {mode: ALLOW_ANY}'}\n",
  "b-pods.yaml": [0, 1, 2]
    .map((i) => `kind: Pod\nmetadata: ${metadata(i)}\nspec: {containers: [{name: app}, {name: istio-proxy}]}\n`)
    .join("---\n"),
  "c-sidecar.yaml":
    "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: good}\nspec: {egress: [{port: {number: 9, protocol: TCP}, captureMode: NONE, hosts: ['*/*']}]}\n",
};
const goodContents = Object.entries(goodFiles).map(([name, text]) => [name, readDocuments(text, name)] as const);
const ids: readonly bigint[] = [100n, 101n, 102n];
const node: NodeView = {
  cgroups: new Map([
    ...ids.map((id, i) => [`good-${i}`, { id, path: `/${id}` }] as const),
    ["hash", { id: 200n, path: "/h" }],
  ]),
  namespaces: new Map(ids.map((id) => [id, { ...noNamespace, cookie: id + 1n }])),
  containers: new Map(ids.map((id) => [id, new Map()])),
};
const nothing: Have = { pods: new Map(), policies: new Set() };

interface Outcome {
  readonly states: readonly (PodState | undefined)[];
  readonly rules: readonly unknown[];
}

/** As the agent goes on from a snapshot. */
function outcome(snapshot: Snapshot): Outcome & { readonly problems: readonly Problem[] } {
  const compile = openPodCompiler({ excludeNamespaces: ["kube-system"] })(snapshot);
  const { want, problems } = desiredState(snapshot, node, nothing, compile);
  diff(nothing, want);
  const states = ids.map((id) => want.pods.get(id));
  return { states, rules: states.map((state) => want.policies.get(state?.policy ?? 0n)), problems };
}

const expected = outcome(mergeFiles(new Map(goodContents), [], true));
if (expected.problems.length > 0 || expected.states.includes(undefined)) throw new Error("the good ones are not good");

/** @throws Error if a problem does not say where, what and why, or has no end. */
export function checkProblem(problem: Problem, path: string): void {
  const { where, key, why, pod, value } = problem;
  const fine =
    (where === path || where.startsWith(`${path}:`)) &&
    key !== "" &&
    why !== "" &&
    pod.length < 600 &&
    key.length < 400;
  if (!fine || why.length > 1000 || value.length > 300)
    throw new Error(`a problem of ${path}: ${JSON.stringify(problem)}`);
}

/** @throws Error if the good pods of a snapshot are not as they are alone. */
export function checkGood(snapshot: Snapshot): readonly Problem[] {
  const { states, rules, problems } = outcome(snapshot);
  if (!isDeepStrictEqual(states, expected.states)) throw new Error("a good pod is to be another one");
  if (!isDeepStrictEqual(rules, expected.rules)) throw new Error("a good pod has other rules");
  return problems;
}

export type Verdict = "accepted" | "refused" | "nothing of ours";

function verdict({ pods, sidecars, meshes, problems }: FileContent): Verdict {
  if (problems.length > 0) return "refused";
  return pods.length + sidecars.length + meshes.length > 0 ? "accepted" : "nothing of ours";
}

/** The file beside the good ones, from its text to operations for the kernel. */
export function checkText(text: string): Verdict {
  const path = "z/fuzz.yaml";
  const content = readDocuments(text, path);
  if (content.damaged && content.problems.length === 0) throw new Error("damaged, and nobody is told");
  const problems = checkGood(mergeFiles(new Map([...goodContents, ["z", content]]), [], !content.damaged));
  for (const problem of problems) checkProblem(problem, path);
  // Beside the good one any MeshConfig is left out.
  const others = problems.filter(({ kind, key }) => kind !== "mesh" || key !== "ConfigMap");
  return others.length > content.problems.length ? "refused" : verdict(content);
}
