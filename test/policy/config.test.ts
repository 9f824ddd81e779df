import fc from "fast-check";
import { dump } from "js-yaml";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeProblem } from "../../src/model/problem.js";
import { noConfig, policyOptions, readConfig } from "../../src/policy/config.js";
import { explain } from "../../src/policy/explain.js";
import type { Question } from "../../src/policy/question.js";
import { readStandIns } from "../../src/policy/standIns.js";
import { address } from "../samples.js";
import { pod } from "./kit.js";

const good = (text: string) => {
  const read = readConfig(text, "shunt.yaml");
  if ("problems" in read) throw new Error(read.problems.map(describeProblem).join("\n"));
  return read.config;
};
const bad = (text: string): string[] => {
  const read = readConfig(text, "shunt.yaml");
  return "config" in read ? [] : read.problems.map(describeProblem);
};
const flags = (given: Parameters<typeof readStandIns>[0]) => {
  const read = readStandIns(given);
  if ("why" in read) throw new Error(read.why);
  return { standIns: read.standIns };
};
/** Values that YAML does not have, functions for instance, as JSON has them. */
const asYaml = (value: unknown): string => {
  try {
    return dump(value);
  } catch {
    return typeof value;
  }
};
const proxy = (fields: string): string => `global: {proxy: {${fields}}}`;

const t = (name: string): string => `traffic.sidecar.istio.io/${name}`;
const outbound = (to: string, port: number): Question => {
  return { direction: "outbound", protocol: "tcp", destination: address(to), port, as: "app" };
};
const inbound = (port: number): Question => ({ direction: "inbound", port });

test("each key of the charts stands in for its annotation", () => {
  const { standIns } = good(
    proxy(
      `includeIPRanges: 10.0.0.0/8, excludeIPRanges: 10.96.0.1/32, includeOutboundPorts: "1", excludeOutboundPorts: "2, 3",
       includeInboundPorts: "*", excludeInboundPorts: 8080, statusPort: 15030`,
    ),
  );
  const texts = [...standIns].map(([key, { text, source }]) => `${key} ${text} (${source})`);
  assert.equal(texts, [
    `${t("includeOutboundIPRanges")} 10.0.0.0/8 (shunt.yaml global.proxy.includeIPRanges)`,
    `${t("excludeOutboundIPRanges")} 10.96.0.1/32 (shunt.yaml global.proxy.excludeIPRanges)`,
    `${t("includeOutboundPorts")} 1 (shunt.yaml global.proxy.includeOutboundPorts)`,
    `${t("excludeOutboundPorts")} 2, 3 (shunt.yaml global.proxy.excludeOutboundPorts)`,
    `${t("includeInboundPorts")} * (shunt.yaml global.proxy.includeInboundPorts)`,
    `${t("excludeInboundPorts")} 8080 (shunt.yaml global.proxy.excludeInboundPorts)`,
    "status.sidecar.istio.io/port 15030 (shunt.yaml global.proxy.statusPort)",
  ]);
});

test("an empty value is one, but where Istio's injector writes no annotation for it", () => {
  const { standIns } = good(
    proxy('includeIPRanges: "", includeInboundPorts: "", includeOutboundPorts: "", excludeOutboundPorts: ""'),
  );
  assert.equal([...standIns.keys()], [t("includeOutboundIPRanges"), t("includeInboundPorts")]);
});

test("what says nothing sets nothing", () => {
  for (const text of ["{}", "# nothing yet\n", "---\n", "null", "global:\n", "global: {proxy: }", "{global: null}"])
    assert.equal(good(text), { standIns: new Map() }, text);
});

test("a flag wins, the file comes next, then the default", () => {
  const file = good(
    `${proxy('excludeOutboundPorts: "2", excludeInboundPorts: "3"')}\nexcludeNamespaces: [a]\nskipIptablesPods: true`,
  );
  const given = flags({ "exclude-outbound-ports": "7" });
  const { standIns, excludeNamespaces, skipIptablesPods } = policyOptions(given, file);
  assert.is(standIns?.get(t("excludeOutboundPorts"))?.text, "7");
  assert.is(standIns?.get(t("excludeInboundPorts"))?.text, "3");
  assert.equal([excludeNamespaces, skipIptablesPods], [["a"], true]);
  const named = { ...given, excludeNamespaces: { names: [], source: "default" } };
  assert.equal(policyOptions(named, file).excludeNamespaces, []);
  assert.equal(policyOptions(given, good("excludeNamespaces: []")).excludeNamespaces, []);
  assert.equal(policyOptions(given, noConfig).excludeNamespaces, ["kube-system"]);
});

test("explain names the file and the key, or the flag that won", () => {
  const file = good(
    `${proxy('excludeIPRanges: 10.96.0.1/32, excludeOutboundPorts: "2", statusPort: 15030')}\nexcludeNamespaces: [away]`,
  );
  const options = policyOptions(flags({ "exclude-outbound-ports": "7" }), file);
  const said = (question: Question, changes: Parameters<typeof pod>[0] = {}): string[] => {
    const { verdict, reason, rule, source } = explain(pod(changes), options, [], question);
    return [verdict, reason, rule, source];
  };
  const api = ["bypass", "excluded-range", "10.96.0.1/32", "shunt.yaml global.proxy.excludeIPRanges"];
  assert.equal(said(outbound("10.96.0.1", 443)), api);
  assert.equal(said(outbound("10.9.9.9", 7)), [
    "bypass",
    "excluded-port",
    "--exclude-outbound-ports 7",
    "--exclude-outbound-ports",
  ]);
  assert.is(said(outbound("10.9.9.9", 2))[0], "redirect");
  assert.equal(said(inbound(15030)), ["bypass", "excluded-port", "15030", "shunt.yaml global.proxy.statusPort"]);
  assert.equal(
    said(inbound(15031), { annotations: { "status.sidecar.istio.io/port": "15031" } }),
    ["bypass", "excluded-port", "15031", "status.sidecar.istio.io/port"],
    "the annotation wins",
  );
  assert.is(said(inbound(15030), { annotations: { "status.sidecar.istio.io/port": "15031" } })[0], "redirect");
  const away = said(outbound("10.9.9.9", 80), { namespace: "away" });
  assert.equal(away.slice(1), ["unknown-pod", "its namespace away is excluded", "shunt.yaml excludeNamespaces"]);
});

const refused: readonly (readonly [text: string, ...problems: string[]])[] = [
  ["", "shunt.yaml: file: is empty: to set nothing, write {}"],
  [" \n", "shunt.yaml: file: is empty: to set nothing, write {}"],
  ["a: [", "shunt.yaml: file: not YAML: line 1: "],
  ["{}\n---\n{}", "shunt.yaml: file: must hold one document"],
  ["[]", 'shunt.yaml: file="[]": must be a mapping'],
  ["excludeIPRanges: 10.0.0.0/8", 'shunt.yaml: excludeIPRanges="10.0.0.0/8": no such key: global, excludeNamespaces,'],
  ["global: {istioNamespace: x}", 'shunt.yaml: global.istioNamespace="x": no such key: proxy'],
  [proxy("excludeOutboundIPRanges: x"), 'shunt.yaml: global.proxy.excludeOutboundIPRanges="x": no such key: includeIP'],
  [proxy("image: null"), "shunt.yaml: global.proxy.image: no such key: "],
  ["global: 1", 'shunt.yaml: global="1": must be a mapping'],
  [proxy("excludeIPRanges: 10.0.0.1"), 'shunt.yaml: global.proxy.excludeIPRanges="10.0.0.1": the mask is missing: '],
  [proxy('excludeIPRanges: "*"'), 'shunt.yaml: global.proxy.excludeIPRanges="*": * is not accepted here'],
  [proxy('excludeInboundPorts: "80,x"'), 'shunt.yaml: global.proxy.excludeInboundPorts="80,x": "x": not a port'],
  [proxy("excludeInboundPorts: [80]"), 'shunt.yaml: global.proxy.excludeInboundPorts="[80]": must be text'],
  [proxy("statusPort: 65536"), 'shunt.yaml: global.proxy.statusPort="65536": not a port: at most 65535'],
  [proxy("statusPort: -1"), 'shunt.yaml: global.proxy.statusPort="-1": not a port'],
  [proxy("statusPort: true"), 'shunt.yaml: global.proxy.statusPort="true": must be text'],
  ["excludeNamespaces: kube-system", 'shunt.yaml: excludeNamespaces="kube-system": must be a list'],
  [
    "excludeNamespaces: [a, B, 3]",
    'shunt.yaml: excludeNamespaces[1]="B": not a',
    'shunt.yaml: excludeNamespaces[2]="3',
  ],
  ["skipIptablesPods: yes", 'shunt.yaml: skipIptablesPods="yes": must be true or false'],
  [
    `${proxy('includeOutboundPorts: "a", excludeOutboundPorts: "b"')}\nx: 1`,
    'shunt.yaml: x="1": no such key',
    'shunt.yaml: global.proxy.includeOutboundPorts="a": not a port',
    'shunt.yaml: global.proxy.excludeOutboundPorts="b": not a port',
  ],
];
for (const [text, ...problems] of refused) {
  test(`refused: ${JSON.stringify(text)}`, () => {
    const said = bad(text);
    assert.is(said.length, problems.length, said.join("\n"));
    for (const [i, problem] of problems.entries()) assert.ok(said[i]?.startsWith(problem), said[i]);
  });
}

test("whatever is in it: settings or problems, of a length that a log line bears", () => {
  const keys = fc.constantFrom(
    "global",
    "proxy",
    "excludeIPRanges",
    "statusPort",
    "excludeNamespaces",
    "skipIptablesPods",
  );
  const document = fc.anything({ key: fc.oneof(keys, fc.string()), maxDepth: 4, maxKeys: 6 });
  const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.json(), document.map(asYaml));
  fc.assert(
    fc.property(text, (given) => {
      const read = readConfig(given, "shunt.yaml");
      if ("config" in read) return;
      assert.ok(read.problems.length > 0 && read.problems.length <= 8);
      for (const problem of read.problems) assert.ok(describeProblem(problem).length < 3000);
    }),
    { numRuns: 1000 },
  );
});

test("aliases do not make it large, nor depth", () => {
  const bomb = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${i === 0 ? "1" : `*a${i - 1},*a${i - 1}`}]`).join(
    "\n",
  );
  assert.ok(bad(bomb).length > 0);
  assert.ok(bad(`${"[".repeat(100_000)}`).length > 0);
  assert.ok(bad(`global: ${"{a: ".repeat(5000)}1${"}".repeat(5000)}`).length > 0);
});

test("a file of another kind altogether has no more problems than can be read", () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `k${i}: 1`).join("\n");
  assert.is(bad(keys).length, 8);
});

test.run();
