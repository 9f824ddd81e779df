import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeProblem } from "../../src/model/problem.js";
import { sidecarName } from "../../src/model/sidecar.js";
import { type FileContent, readDocuments } from "../../src/source/documents.js";
import { keepLastGood, mergeFiles } from "../../src/source/mergeFiles.js";

const pod = (name: string): string =>
  `kind: Pod\nmetadata: {name: ${name}, uid: uid-${name}}\nspec: {containers: [{name: app}]}\n`;
const sidecar = (name: string, spec = "{outboundTrafficPolicy: {}}"): string =>
  `apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
const mesh = (text: string, namespace = "istio-system"): string =>
  `kind: ConfigMap\nmetadata: {name: istio, namespace: ${namespace}}\ndata:\n  mesh: "${text}"\n`;
const file = (...documents: string[]): FileContent => readDocuments(documents.join("---\n"), "f.yaml");
const merge = (files: Record<string, FileContent>) => mergeFiles(new Map(Object.entries(files)), [], true);
const names = (content: Pick<FileContent, "pods" | "sidecars">): string =>
  [...content.pods.map(({ name }) => name), ...content.sidecars.map(({ name }) => name)].join();

test("pods, Sidecars and the mesh out of one file; other kinds are none of ours", () => {
  const namespace = "kind: Namespace\nmetadata: {name: ns, labels: {istio-injection: enabled}}\n";
  const content = file(pod("p"), sidecar("s"), mesh("rootNamespace: root"), namespace, "kind: ConfigMap\n");
  assert.equal([names(content), content.damaged, content.problems], ["p,s", false, []]);
  assert.equal(content.sidecars[0]?.where, "f.yaml:5");
  const snapshot = merge({ f: content });
  assert.is(snapshot.mesh.rootNamespace, "root");
  assert.equal(snapshot.sidecars.map(sidecarName), ["default/s"]);
});

test("lists as kubectl prints them, whose items may have no kind", () => {
  const spec = { outboundTrafficPolicy: {} };
  const items = [{ metadata: { name: "a" }, spec }];
  const list = { apiVersion: "networking.istio.io/v1beta1", kind: "SidecarList", items };
  assert.is(names(file(JSON.stringify(list))), "a");
  const map = { metadata: { name: "istio" }, data: { mesh: "rootNamespace: r" } };
  const maps = JSON.stringify({ kind: "List", items: [{ kind: "ConfigMapList", items: [map] }, list] });
  assert.equal([names(file(maps)), file(maps).meshes.length], ["a", 1]);
});

test("a refused Sidecar keeps what it was, and takes nothing else along", () => {
  const before = file(pod("p"), sidecar("s", "{egress: [{hosts: ['./*']}]}"), sidecar("gone"));
  const now = file(sidecar("s", "{}"));
  assert.equal([now.damaged, now.sidecars.length], [false, 0]);
  const kept = keepLastGood(now, before);
  assert.is(names(kept), "s", "the pod and the other Sidecar are not in the file any more");
  assert.is(kept.sidecars[0], before.sidecars[0]);
  assert.match(describeProblem(kept.problems[0] as never), /f\.yaml:1: Sidecar default\/s spec/);
  assert.is(names(keepLastGood(file(sidecar("s", "{}")), undefined)), "");
  const nameless = file("apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {}\n");
  assert.is(names(keepLastGood(nameless, before)), "s,gone", "which one it is, nobody knows");
});

test("a damaged file keeps all that it does not say otherwise", () => {
  const before = file(pod("p"), sidecar("s"), mesh("rootNamespace: root"));
  const kept = keepLastGood(file(pod("q"), "{"), before);
  assert.is(names(kept), "q,p,s");
  assert.is(kept.meshes[0]?.mesh.rootNamespace, "root");
  assert.is(names(keepLastGood(file(pod("q")), before)), "q");
  assert.is(keepLastGood(file(pod("q")), before).meshes.length, 0);
});

test("a bad mesh keeps the good one; where none was it closes", () => {
  const good = file(mesh("rootNamespace: root"));
  const bad = file(mesh("rootNamespace: 5"));
  assert.is(keepLastGood(bad, good).meshes[0], good.meshes[0]);
  const first = keepLastGood(file(mesh("[")), undefined);
  assert.is(merge({ f: first }).mesh.outboundMode, "REGISTRY_ONLY");
  const mended = keepLastGood(good, first);
  assert.is(merge({ f: mended }).mesh.outboundMode, "ALLOW_ANY");
  assert.is(keepLastGood(bad, keepLastGood(bad, good)).meshes[0], good.meshes[0], "for as long as it takes");
});

test("any text whatsoever: no crash, and every problem has a key and a reason", () => {
  const pieces = fc.constantFrom(
    ...[
      pod("p"),
      sidecar("s"),
      sidecar("s", "[]"),
      mesh("["),
      "---\n",
      "a: &a [*a]\n",
      "- {",
      "\u0000",
      "\ufeff",
      "kind: List\nitems: [5]\n",
    ],
  );
  const texts = fc.array(fc.oneof(pieces, fc.string(), fc.json())).map((parts) => parts.join(""));
  fc.assert(
    fc.property(texts, texts, (first, second) => {
      const before = readDocuments(first, "f");
      const { problems } = merge({ f: keepLastGood(readDocuments(second, "f"), before), g: before });
      for (const { key, why, where } of problems) assert.ok(key !== "" && why !== "" && where !== "");
    }),
    { numRuns: 1000 },
  );
});

test("two Sidecars of one name, two meshes: one counts, the other is reported, in whatever order they are read", () => {
  const files: [string, FileContent][] = [
    ["b", readDocuments(sidecar("s", "{egress: [{hosts: ['./*']}]}"), "b")],
    ["a", readDocuments([sidecar("s"), sidecar("r")].join("---\n"), "a")],
    ["c", readDocuments(mesh("rootNamespace: c", "c"), "c")],
    ["d", readDocuments(mesh("rootNamespace: d"), "d")],
  ];
  const one = mergeFiles(new Map(files), [], true);
  assert.equal(mergeFiles(new Map(files.toReversed()), [], true), one);
  assert.equal(
    one.sidecars.map(({ name, where }) => `${name} ${where}`),
    ["r a:6", "s a:1"],
  );
  assert.is(one.mesh.rootNamespace, "d");
  assert.equal(one.problems.map(describeProblem), [
    'b:1: Sidecar default/s metadata.name="s": another Sidecar has it already, in a:1; this one is left out',
    'c:1: ConfigMap="c/istio": the MeshConfig of istio-system/istio in d:1 counts; this one is left out',
  ]);
});

test.run();
