/** As `npm run fuzz` does it, but few; and what an earlier run has found. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readDocuments } from "../../src/source/documents.js";
import { checkText } from "./check.js";
import { runFuzz } from "./run.js";

test("documents of any kind: no error, no effect on other pods, each problem says where, what and why", async () => {
  const reports: string[] = [];
  const { documents, failures } = await runFuzz({ documents: 1200, seed: 5, report: (text) => reports.push(text) });
  assert.is(failures, 0, reports.join("\n"));
  assert.ok(documents >= 1000, reports.join("\n"));
  // A generator whose documents are all refused, or all taken, would find nothing.
  for (const kind of ["pod", "sidecar", "mesh", "value"])
    assert.match(reports.find((line) => line.startsWith(kind)) ?? "", /accepted/, reports.join("\n"));
  assert.match(reports.join("\n"), /pod .* refused/);
});

test("the same problem a hundred thousand times is told a hundred times, with the number", () => {
  const bad = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join(", ");
  const text = `kind: Pod\nmetadata: {name: a, uid: u, annotations: {${bad}}}\n`;
  const { pods, problems } = readDocuments(text, "f.yaml");
  assert.equal([pods.length, problems.length], [1, 100]);
  assert.is(problems.at(-1)?.why, "20000 problems in all: the first 99 are listed");
  assert.is(problems.at(-1)?.pod, "default/a");
});

test("annotations and names are as long as Kubernetes allows", () => {
  const pod = (name: string, value: string): string =>
    JSON.stringify({ kind: "Pod", metadata: { name, uid: "u", annotations: { k: value } } });
  const read = (text: string) => readDocuments(text, "f.yaml");
  assert.is(read(pod("n".repeat(253), "v".repeat(262_143))).pods.length, 1);
  assert.match(read(pod("a", "v".repeat(262_144))).problems[0]?.why ?? "", /have 262145 characters; at most 262144/);
  assert.match(read(pod("n".repeat(254), "v")).problems[0]?.why ?? "", /has 254 characters; at most 253/);
});

test("a file has 10,000 documents at most, items of lists among them; those before are read", () => {
  const list = (count: number): string =>
    `kind: List\nitems:\n${Array.from({ length: count }, (_, i) => `- {kind: Pod, metadata: {name: p${i}, uid: u${i}}}\n`).join("")}`;
  const full = readDocuments(list(10_000), "f.yaml");
  assert.equal([full.pods.length, full.damaged, full.problems.length], [10_000, false, 0]);
  const over = readDocuments(`kind: ConfigMap\n---\n${list(10_000)}`, "f.yaml");
  assert.equal([over.pods.length, over.damaged], [9999, true]);
  assert.match(over.problems[0]?.why ?? "", /more than 10000 documents: from here on none is read/);
  assert.is(over.problems[0]?.where, "f.yaml:3");
});

test("lists in lists and a billion values by aliases cost nothing, and are told", () => {
  const laughs = (levels: number): string => {
    const lines = ["a0: &a0 {kind: Pod, metadata: {name: a, uid: u}}"];
    for (let i = 1; i <= levels; i++) {
      const items = Array.from({ length: 9 }, () => `*a${i - 1}`).join(", ");
      lines.push(`a${i}: &a${i} {kind: List, items: [${items}]}`);
    }
    return `${lines.join("\n")}\nkind: List\nitems: [*a${levels}]\n`;
  };
  assert.is(readDocuments(laughs(2), "f.yaml").pods.length, 81);
  assert.match(readDocuments(laughs(9), "f.yaml").problems[0]?.why ?? "", /more than 1000000 values with its aliases/);
  assert.match(readDocuments("&a [*a]\n", "f.yaml").problems[0]?.why ?? "", /more than 1000000 values|not YAML/);
  assert.is(checkText(laughs(9)), "refused");
});

test.run();
