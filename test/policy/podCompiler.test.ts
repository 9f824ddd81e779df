import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultMesh } from "../../src/model/mesh.js";
import type { Sidecar } from "../../src/model/sidecar.js";
import type { Unread } from "../../src/model/unread.js";
import { openPodCompiler } from "../../src/policy/podCompiler.js";
import { podPolicy, podPolicyWith } from "../../src/policy/podPolicy.js";
import { pod, sidecar } from "./kit.js";

const options = { excludeNamespaces: [] };
const none = "{egress: [{port: {number: 80}, captureMode: NONE, hosts: ['*/*']}]}";
const web = { ...sidecar(none), name: "web", selector: new Map([["app", "web"]]) };
const root = { ...sidecar(none), namespace: "istio-system", name: "root" };
const pods = [
  { ...pod(), name: "web", labels: new Map([["app", "web"]]) },
  { ...pod(), name: "db" },
  { ...pod({ namespace: "other" }), name: "far" },
];

function counting() {
  const compiled: string[] = [];
  const compiler = openPodCompiler(options, (one, ...rest) => {
    compiled.push(one.name);
    return podPolicyWith(one, ...rest);
  });
  /** @returns the names of those that were compiled now. */
  const pass = (sidecars: readonly Sidecar[], mesh = defaultMesh): string => {
    compiled.length = 0;
    const compile = compiler({ sidecars, mesh });
    for (const one of pods)
      assert.equal(compile(one), podPolicy(one, { ...options, sidecars, mesh }), "as if it were compiled anew");
    return compiled.join();
  };
  return pass;
}

test("only the pods that a change concerns are compiled again", () => {
  const pass = counting();
  assert.is(pass([]), "web,db,far");
  assert.is(pass([]), "");
  assert.is(pass([web]), "web", "a Sidecar for one workload");
  assert.is(pass([web]), "");
  assert.is(pass([web, root]), "db,far", "the root namespace's, for those that have none");
  assert.is(pass([root, web]), "", "in another order");
  assert.is(pass([{ ...web }, root]), "web", "edited");
  assert.is(pass([root]), "web", "taken away");
  assert.is(pass([root], { ...defaultMesh, outboundMode: "REGISTRY_ONLY" }), "web,db,far", "the mesh");
  assert.is(pass([]), "web,db,far");
});

test("options that change concern every pod, the same ones none", () => {
  let given = { excludeNamespaces: [] as readonly string[] };
  let count = 0;
  const compiler = openPodCompiler(
    () => given,
    (...of) => {
      count++;
      return podPolicyWith(...of);
    },
  );
  /** @returns who is enrolled, after the number of those that were compiled now. */
  const pass = (): string => {
    count = 0;
    const compile = compiler({ sidecars: [], mesh: defaultMesh });
    const enrolled = pods.filter((one) => compile(one).enrolled).map(({ name }) => name);
    return [count, ...enrolled].join();
  };
  assert.is(pass(), "3,web,db,far");
  assert.is(pass(), "0,web,db,far");
  given = { excludeNamespaces: ["other"] };
  assert.is(pass(), "3,web,db");
});

test("what cannot be read makes the policy of those that it may concern one that only stands in", () => {
  const compiler = openPodCompiler(options);
  const bad = (unread?: Unread): string => {
    const compile = compiler({ sidecars: [web], mesh: defaultMesh, unread });
    return pods
      .filter((one) => {
        const compiled = compile(one);
        return compiled.enrolled && compiled.bad;
      })
      .map(({ name }) => name)
      .join();
  };
  assert.is(bad(), "");
  assert.is(bad({ sidecars: new Set(["other"]), mesh: false }), "far");
  assert.is(bad({ sidecars: new Set(["istio-system"]), mesh: false }), "web,db,far");
  assert.is(bad({ sidecars: new Set(), mesh: true }), "web,db,far");
  assert.is(bad(), "", "and no longer");
});

test.run();
