/** Istio's own acceptance test of a pod, by a client that has no code of ours in it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { writeManifest } from "../../src/demo/manifests.js";
import { command, type Outcome, outcomeOf } from "../../src/demo/process.js";
import { manifestOf, withBed } from "./agentBed.js";
import { until } from "./bed.js";

/** One run of validation.c. */
interface Run {
  /** What it has printed so far. */
  said(): string;
  readonly ended: Promise<Outcome>;
}

function validate(pod: LabPod, program: string, id: number, ...flags: readonly string[]): Run {
  const child = pod.spawn([program, ...flags], { container: "istio-validation", uid: id, gid: id });
  let said = "";
  child.stdout?.on("data", (text: Buffer | string) => {
    said += text;
  });
  return { said: () => said, ended: outcomeOf(child) };
}

/** When each of its connections began, ns of CLOCK_MONOTONIC. */
const attempts = (said: string): bigint[] => [...said.matchAll(/^attempt (\d+)$/gm)].map(([, at = "0"]) => BigInt(at));

async function withLab(use: (lab: Lab, program: string) => Promise<void>): Promise<void> {
  const lab = await openLab({ kind: "validation" });
  try {
    const program = join(lab.directory, "validation");
    const source = new URL("../judges/validation.c", import.meta.url).pathname;
    await command(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
    await use(lab, program);
  } finally {
    await lab.close();
  }
}

const pod = (lab: Lab, name: string, host: number): Promise<LabPod> =>
  lab.pod({ namespace: "test", name, uid: `dd-${host}`, address: `10.88.2.${host}` });

test("istio-validation passes with its first connection after the policy, whatever the proxy's uid", () =>
  withLab(async (lab, program) => {
    const [usual, other] = await Promise.all([pod(lab, "usual", 2), pod(lab, "other", 3)]);
    const ids = new Map([
      [usual, 1337],
      [other, 2000],
    ]);
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      const runs = [...ids].map(([each, id]) => ({ each, id, run: validate(each, program, id, "60") }));
      await until("each has tried in vain", () => runs.every(({ run }) => attempts(run.said()).length > 0));
      for (const { each, id } of runs) {
        // The injector writes the ids of the proxy into every place.
        const manifest = manifestOf(each).replaceAll(/\b1337\b/g, `${id}`);
        await writeManifest(bed.manifests, `${each.name}.yaml`, manifest);
      }
      for (const { each, run } of runs) {
        const { status, stdout, stderr } = await run.ended;
        assert.is(status, 0, `${each.name}: ${stdout}${stderr}`);
        assert.match(stdout, /\narrived 127\.0\.0\.6 port 15002 optlen 32\n$/);
        const said = await agent.waitFor((event) => event.event === "policy" && event.pod === `test/${each.name}`);
        const after = attempts(stdout).filter((at) => at > BigInt(said.at ?? "0"));
        assert.ok(after.length <= 1, `${each.name}: the first after the policy was not enough: ${stdout}`);
      }
    });
  }));

test("over IPv6 it passes where the pod captures it: IPv6 first, or dual stack; else it fails", () =>
  withLab(async (lab, program) => {
    const six = async (name: string, host: number): Promise<LabPod> => {
      const address6 = `fd00:2::${host}`;
      const made = await lab.pod({ namespace: "test", name, uid: `dd-${host}`, address: `10.88.2.${host}`, address6 });
      // Envoy's source for IPv6; loopback has ::1 alone.
      await command(["nsenter", `--net=${made.netns}`, "ip", "address", "add", "::6/128", "dev", "lo", "nodad"]);
      return made;
    };
    const [first, dual, four] = await Promise.all([six("first", 2), six("dual", 3), six("four", 4)]);
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      const manifest = manifestOf(first).replaceAll(/^ +- ip: 10\..*\n/gm, "");
      await writeManifest(bed.manifests, "first.yaml", manifest.replace("podIP: 10.88.2.2", "podIP: fd00:2::2"));
      await bed.edit(dual, { "proxy.istio.io/config": 'proxyMetadata: {ISTIO_DUAL_STACK: "true"}' });
      await bed.edit(four);
      for (const each of [first, dual, four])
        await agent.waitFor((event) => event.event === "policy" && event.pod === `test/${each.name}`);
      const runs = [first, dual, four].map((each) => validate(each, program, 1337, "-6").ended);
      const [one, two, three] = await Promise.all(runs);
      for (const each of [one, two]) assert.match(each?.stdout ?? "", /\narrived ::6 port 15002 optlen 32\n$/);
      assert.equal([one?.status, two?.status, three?.status], [0, 0, 126]);
      assert.is((await validate(four, program, 1337).ended).status, 0);
    });
  }));

test("it passes under Istio's own rules: the judge is right", () =>
  withLab(async (lab, program) => {
    const ruled = await pod(lab, "ruled", 2);
    const rules = readFileSync(new URL("istio/cni-basic.golden", import.meta.url), "utf8");
    await command(["nsenter", `--net=${ruled.netns}`, "iptables-restore"], rules);
    const { status, stdout } = await validate(ruled, program, 1337).ended;
    assert.is(status, 0, stdout);
    assert.is(attempts(stdout).length, 1);
  }));

test("it fails in a pod that is not enrolled, and for who is not the proxy", () =>
  withLab(async (lab, program) => {
    const [enrolled, bare] = await Promise.all([pod(lab, "enrolled", 2), pod(lab, "bare", 3)]);
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      await bed.edit(bare, { "sidecar.istio.io/inject": "false" });
      await bed.edit(enrolled);
      await agent.waitFor((event) => event.event === "policy" && event.pod === "test/enrolled");
      const inVain = await Promise.all([validate(bare, program, 1337).ended, validate(enrolled, program, 1000).ended]);
      for (const { status, stdout } of inVain) assert.is(status, 126, stdout);
      assert.is((await validate(enrolled, program, 1337).ended).status, 0);
    });
  }));

test.run();
