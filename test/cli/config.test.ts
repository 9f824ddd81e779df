/** `--config FILE`: what is wrong at the start ends the command, what is wrong later is a problem. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openSettings, readConfigFile } from "../../src/cli/config.js";
import { explain } from "../../src/cli/explain.js";
import { run } from "../../src/cli/run.js";
import { podManifest } from "../../src/demo/manifests.js";
import { UsageError } from "../../src/errors.js";
import { native } from "../../src/kernel/native.js";
import { defaultMesh } from "../../src/model/mesh.js";
import { describeProblem } from "../../src/model/problem.js";
import { noConfig } from "../../src/policy/config.js";
import { until } from "../kernel/bed.js";

const directory = mkdtempSync(join(tmpdir(), "shunt-config-"));
const file = join(directory, "shunt.yaml");
test.after(() => rmSync(directory, { recursive: true }));

const ranges = (text: string): string => `global: {proxy: {excludeIPRanges: "${text}"}}\n`;
const key = "traffic.sidecar.istio.io/excludeOutboundIPRanges";

async function refusal(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as Error).message;
  }
  throw new Error("not refused");
}

test("a bad file is wrong usage, of run and of explain, with every problem in a line", async () => {
  writeFileSync(file, `${ranges("10.0.0.1")}x: 1\n`);
  const ofRun = await refusal(() => run(["--manifests", directory, "--config", file]));
  const lines = ofRun.split("\n");
  assert.is(lines.length, 2);
  assert.ok(lines[0]?.startsWith(`shunt run: --config ${file}: x="1": no such key`), ofRun);
  assert.ok(lines[1]?.startsWith(`shunt run: --config ${file}: global.proxy.excludeIPRanges="10.0.0.1": the mask is`));
  const asked = ["--pod", "a/b", "--inbound", "1", "--manifests", directory];
  assert.match(await refusal(() => explain([...asked, "--config", file], assert.unreachable)), "the mask is missing");
  assert.is(
    await refusal(() => readConfigFile("run", `${file}.none`)),
    `shunt run: --config ${file}.none: file: is not there`,
  );
});

test("explain: the file's settings count, and it is named", async () => {
  writeFileSync(file, ranges("10.96.0.1/32"));
  writeFileSync(
    join(directory, "pod.yaml"),
    podManifest({ namespace: "demo", name: "client", uid: "u", address: "10.88.0.2" }),
  );
  const printed: string[] = [];
  const asked = ["--pod", "demo/client", "--to", "10.96.0.1:443", "--manifests", directory, "--json"];
  assert.is(await explain([...asked, "--config", file], (text) => printed.push(text)), 0);
  const { verdict, reason, rule, source } = JSON.parse(printed.join(""));
  assert.equal(
    [verdict, reason, rule, source],
    ["bypass", "excluded-range", "10.96.0.1/32", `${file} global.proxy.excludeIPRanges`],
  );
});

test("edits are followed; a bad one keeps the last good and is a problem beside the source's own", async () => {
  writeFileSync(file, ranges("10.0.0.1/32"));
  const openInotify = native().openInotify;
  const settings = openSettings("run", { file, flags: noConfig, dns: "resolv-conf", openInotify });
  const text = (): string | undefined => settings.options().standIns?.get(key)?.text;
  const own = { kind: "source", where: "", pod: "", key: "pods", value: "", why: "away" } as const;
  let changes = 0;
  let closed = 0;
  const source = settings.beside(() => ({
    name: "one of plain objects",
    synced: Promise.resolve(),
    snapshot: () => ({ pods: [], sidecars: [], mesh: defaultMesh, problems: [own], complete: true }),
    close: () => closed++,
  }))(() => changes++);
  const problems = (): string[] => source.snapshot().problems.map(describeProblem);
  try {
    assert.is(changes, 0, "whoever opens it cannot be called yet");
    assert.is(source.name, `one of plain objects, settings ${file}`);
    assert.is(text(), "10.0.0.1/32");
    const first = settings.options();
    assert.is(settings.options(), first, "the same object until an edit");
    assert.is(first.dns, "resolv-conf");
    writeFileSync(file, ranges("10.0.0.2/32"));
    await until("the edit is there", () => text() === "10.0.0.2/32");
    assert.equal(problems(), ["pods: away"]);
    const before = changes;
    writeFileSync(file, ranges("10.0.0.3"));
    await until("it is a problem", () => (problems()[0] ?? "").includes("the mask is missing"));
    assert.ok(changes > before);
    assert.is(text(), "10.0.0.2/32");
    assert.match(problems()[0] ?? "", `${file}: global.proxy.excludeIPRanges="10.0.0.3": `);
    assert.match(problems()[0] ?? "", "; what the file said before stays");
    assert.is(problems()[1], "pods: away");
    rmSync(file);
    await until("it is gone", () => (problems()[0] ?? "").includes("is not there"));
    assert.is(text(), "10.0.0.2/32");
    writeFileSync(file, "{}");
    await until("it is mended", () => text() === undefined);
    assert.equal(problems(), ["pods: away"]);
  } finally {
    source.close();
  }
  assert.is(closed, 1);
});

test("without a file nothing is watched", () => {
  const openInotify = (): never => assert.unreachable() as never;
  const settings = openSettings("run", { file: undefined, flags: noConfig, dns: "all", openInotify });
  const open = (): never => assert.unreachable() as never;
  assert.is(settings.beside(open), open);
});

test.run();
