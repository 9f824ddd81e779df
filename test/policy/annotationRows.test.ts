/** Semantics, section 2: interfaces, and what the proxy's own variables say. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultMesh } from "../../src/model/mesh.js";
import { describeProblem } from "../../src/model/problem.js";
import { type ReadSettings, readSettings } from "../../src/policy/annotations.js";
import type { Settings } from "../../src/policy/settings.js";
import { type PodChanges, pod } from "./kit.js";

const exclude = "traffic.sidecar.istio.io/excludeInterfaces";
const kubevirt = "traffic.sidecar.istio.io/kubevirtInterfaces";
const reroute = "istio.io/reroute-virtual-interfaces";
const annotated = (annotations: Record<string, string>): ReadSettings => readSettings(pod({ annotations }));
const said = ({ problems }: ReadSettings): string => problems.map(describeProblem).join("\n");

test("excluded interfaces: names as Linux takes them, fifteen characters at most, nothing trimmed", () => {
  const good: readonly (readonly [string, readonly string[]])[] = [
    ["", []],
    ["eth1", ["eth1"]],
    ["eth1,net-2,a.b_c", ["eth1", "net-2", "a.b_c"]],
    ["abcdefghijklmno", ["abcdefghijklmno"]],
    ["eth1,eth1", ["eth1", "eth1"]],
  ];
  for (const [text, names] of good) {
    const { settings, bad } = annotated({ [exclude]: text });
    assert.equal([settings.excludeInterfaces, bad], [names, false], text);
  }
  for (const text of ["eth1,", ",", " eth1", "eth1, eth2", "1eth", "-eth", "abcdefghijklmnop", "eth1+", "eth/1", "*"]) {
    const result = annotated({ [exclude]: text });
    assert.equal([result.settings.excludeInterfaces, result.bad], [[], true], text);
    assert.match(said(result), /excludeInterfaces=/);
  }
});

test("rerouted interfaces: the new name wins, also empty; the pod is partly unsupported, and no value of it is bad", () => {
  const told = (annotations: Record<string, string>): string => {
    const result = annotated(annotations);
    return `${result.bad} ${result.problems.map(({ key, why }) => `${key}: ${why.slice(0, 18)}`).join()}`;
  };
  assert.is(told({ [reroute]: "net1" }), `false ${reroute}: partly unsupported`);
  assert.is(told({ [kubevirt]: "net1" }), `false ${kubevirt}: partly unsupported`);
  assert.is(told({ [reroute]: "net1", [kubevirt]: "net2" }), `false ${reroute}: partly unsupported`);
  assert.is(told({ [reroute]: "", [kubevirt]: "net2" }), "false ");
  assert.match(told({ [reroute]: "1net" }), /^true istio\.io\/reroute/);
  assert.is(told({ [reroute]: "", [kubevirt]: "1net" }), "false ", "the old name is not looked at");
});

/** Each variable: a value, what it makes of the setting, and values that it does not take. */
const rows: readonly (readonly [
  name: string,
  value: string,
  (settings: Settings) => unknown,
  unknown,
  bad: readonly string[],
])[] = [
  ["ISTIO_META_DNS_CAPTURE", "true", ({ dnsCapture }) => dnsCapture, true, ["yes", "on", " true", "TrUe", "2"]],
  ["ISTIO_DUAL_STACK", "T", ({ dualStack }) => dualStack, true, ["yes", "tt", "true,"]],
  [
    "ISTIO_OUTBOUND_OWNER_GROUPS",
    "7,,008",
    ({ ownerGroups }) => ownerGroups,
    [7, 8],
    ["java", "-1", "7, 8", "4294967295", "*,7", Array(65).fill("1").join()],
  ],
  [
    "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
    "0,4294967294",
    ({ ownerGroupsExcluded }) => ownerGroupsExcluded,
    [0, 4294967294],
    ["*", "root", "1.0"],
  ],
];
const none: Settings = readSettings(pod()).settings;

for (const [name, value, get, expected, bad] of rows) {
  const annotation = (text: string) => ({ "proxy.istio.io/config": `proxyMetadata: {${name}: "${text}"}` });
  const env = (text: string) => ({ env: [{ name, value: text }] });
  const mesh = (text: string) => ({ ...defaultMesh, where: "mesh.yaml:1", proxyMetadata: new Map([[name, text]]) });

  test(`${name}: of the annotation, else the proxy's environment, else the mesh, else the default`, () => {
    const setting = (changes: PodChanges, text?: string) => {
      const read = readSettings(pod(changes), text === undefined ? {} : { mesh: mesh(text) });
      assert.equal([read.bad, read.problems], [false, []]);
      return get(read.settings);
    };
    const other = name.startsWith("ISTIO_OUTBOUND") ? "5" : "false";
    const otherwise = other === "5" ? [5] : false;
    assert.equal(setting({}), get(none));
    assert.equal(setting({}, value), expected);
    assert.equal(setting({ proxy: env(value) }, other), expected);
    assert.equal(setting({ annotations: annotation(value), proxy: env(other) }, other), expected);
    assert.equal(setting({ annotations: annotation(other), proxy: env(value) }, value), otherwise);
  });

  test(`${name}: what it does not take is said with its place and counts as absent`, () => {
    for (const text of bad) {
      for (const [changes, key] of [
        [{ annotations: annotation(text) }, "proxy.istio.io/config"],
        [{ proxy: env(text) }, `env ${name}`],
      ] as const) {
        const read = readSettings(pod(changes));
        assert.equal([get(read.settings), read.bad, read.problems.length], [get(none), true, 1], `${key} ${text}`);
        assert.ok(read.problems[0]?.key.startsWith(key));
      }
      const read = readSettings(pod(), { mesh: mesh(text) });
      assert.equal(
        [get(read.settings), read.problems[0]?.kind, read.problems[0]?.where],
        [get(none), "mesh", "mesh.yaml:1"],
      );
    }
  });
}

test("a switch that is empty is off, and so says ISTIO_DUAL_STACK=0", () => {
  const dual = (text: string) => readSettings(pod({ proxy: { env: [{ name: "ISTIO_DUAL_STACK", value: text }] } }));
  for (const text of ["", "0", "f", "FALSE"])
    assert.equal([dual(text).settings.dualStack, dual(text).bad], [false, false]);
});

test("all groups, named as such, and 64 of them", () => {
  const groups = (text: string) => {
    const env = [{ name: "ISTIO_OUTBOUND_OWNER_GROUPS", value: text }];
    return readSettings(pod({ proxy: { env } })).settings.ownerGroups;
  };
  assert.is(groups("*"), "*");
  assert.equal(groups(""), [], "nobody's");
  assert.is(groups(Array(64).fill("1").join()).length, 64);
});

test("interceptionMode TPROXY changes nothing, a proxy that runs as root is known by its gid", () => {
  const { settings, bad } = readSettings(
    pod({
      annotations: { "sidecar.istio.io/interceptionMode": "TPROXY" },
      proxy: { securityContext: { runAsUser: 0, runAsGroup: 1337 } },
    }),
  );
  assert.equal([settings, bad], [none, false]);
});

test.run();
