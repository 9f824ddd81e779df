import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chooseMesh, defaultMesh, type Mesh } from "../../src/model/mesh.js";
import { isMeshDocument, readMesh } from "../../src/model/meshDocument.js";
import { describeProblem } from "../../src/model/problem.js";

const document = (mesh: unknown, namespace = "istio-system") => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "istio", namespace },
  data: { mesh },
});
const read = (text: string) => readMesh(document(text), "m.yaml:1");
const said = (mesh: unknown): string[] => readMesh(document(mesh), "m.yaml:1").problems.map(describeProblem);

test("only the ConfigMap istio with a mesh in it is one", () => {
  assert.ok(isMeshDocument(document("")));
  assert.not.ok(isMeshDocument({ ...document(""), metadata: { name: "other" } }));
  assert.not.ok(isMeshDocument({ ...document(""), kind: "Secret" }));
  assert.not.ok(isMeshDocument({ ...document(""), data: { other: "" } }));
  for (const value of [null, 5, "text", []]) assert.not.ok(isMeshDocument(value));
});

test("what is not said is Istio's default", () => {
  for (const text of ["", "{}", "# nothing", "enableTracing: true"]) {
    const { mesh, problems } = read(text);
    assert.equal(problems, []);
    assert.equal(mesh, { ...defaultMesh, namespace: "istio-system", where: "m.yaml:1" });
  }
});

test("what is said", () => {
  const { mesh, problems } = read(
    "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nrootNamespace: mesh-root\ndefaultConfig:\n  proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}\n",
  );
  assert.equal(problems, []);
  assert.equal(mesh, {
    outboundMode: "REGISTRY_ONLY",
    rootNamespace: "mesh-root",
    proxyMetadata: new Map([["ISTIO_META_DNS_CAPTURE", "true"]]),
    namespace: "istio-system",
    where: "m.yaml:1",
  });
  assert.is(read("outboundTrafficPolicy: {mode: ALLOW_ANY}").mesh.outboundMode, "ALLOW_ANY");
  assert.is(read("outboundTrafficPolicy: {}").mesh.outboundMode, "REGISTRY_ONLY", "0 of the enumeration");
  assert.is(read("rootNamespace: ''").mesh.rootNamespace, "istio-system");
});

test("what is bad is reported, and counts as what captures most", () => {
  assert.match(
    said("outboundTrafficPolicy: {mode: ANY}")[0] ?? "",
    /m\.yaml:1: MeshConfig outboundTrafficPolicy\.mode="ANY": must be one of/,
  );
  assert.is(read("outboundTrafficPolicy: {mode: ANY}").mesh.outboundMode, "REGISTRY_ONLY");
  assert.is(read("outboundTrafficPolicy: ALLOW_ANY").mesh.outboundMode, "REGISTRY_ONLY");
  assert.is(read("[").mesh.outboundMode, "REGISTRY_ONLY");
  assert.match(said("[")[0] ?? "", /MeshConfig data\.mesh: not YAML/);
  assert.match(said("- a")[0] ?? "", /not a YAML mapping/);
  assert.match(said({ outboundTrafficPolicy: {} })[0] ?? "", /must be text, not a mapping/);
  assert.match(said("rootNamespace: 5")[0] ?? "", /rootNamespace="5": must be text/);
  assert.match(said("defaultConfig: []")[0] ?? "", /defaultConfig="\[\]": must be a mapping/);
  assert.match(said("defaultConfig: {proxyMetadata: {A: true}}")[0] ?? "", /proxyMetadata\.A="true": must be text/);
  assert.equal(read("defaultConfig: {proxyMetadata: {A: true, B: b}}").mesh.proxyMetadata, new Map([["B", "b"]]));
});

test("of several the one in istio-system counts, in whatever order they come", () => {
  const at = (namespace: string, where: string): Mesh => ({ ...defaultMesh, namespace, where });
  const meshes = [at("b", "2"), at("istio-system", "9"), at("a", "3"), at("a", "1")];
  assert.is(chooseMesh(meshes).where, "9");
  assert.is(chooseMesh(meshes.toReversed()).where, "9");
  assert.is(chooseMesh(meshes.filter(({ where }) => where !== "9")).where, "1");
  assert.is(chooseMesh([]), defaultMesh);
});

test("any document whatsoever: no crash", () => {
  const text = fc.oneof(fc.string(), fc.json(), fc.constantFrom("a: &a [*a]", "outboundTrafficPolicy:", "a: b: c"));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.anything(),
        text.map((mesh) => document(mesh)),
      ),
      (any) => {
        const { mesh, problems } = readMesh(any, "x");
        assert.ok(mesh.rootNamespace !== "");
        for (const { key, why } of problems) assert.ok(key !== "" && why !== "");
      },
    ),
    { numRuns: 2000 },
  );
});

test.run();
