/** `shunt status` beside a real agent, after it, and where there is nothing. */
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { showStatus, status } from "../../src/cli/status.js";
import { plain, table } from "../../src/cli/table.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { NodeError } from "../../src/errors.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import type { Status } from "../../src/model/status.js";
import { until } from "../kernel/bed.js";
import { type AgentHere, openAgentHere, traffic } from "./agentHere.js";

let here: AgentHere;
let pods: LabPod[];
test.before(async () => {
  here = await openAgentHere("status");
  pods = await Promise.all(
    ["a", "b"].map((name, i) =>
      here.lab.pod({ namespace: "test", name, uid: `aa-${name}`, address: `10.88.0.${i + 2}` }),
    ),
  );
});
test.after(() => here.close());

function podAt(i: number): LabPod {
  const pod = pods[i];
  if (pod === undefined) throw new Error("no pod");
  return pod;
}

async function run(code: number, ...args: readonly string[]): Promise<string> {
  const printed: string[] = [];
  assert.is(await status([...here.flags, ...args], (text) => printed.push(text)), code);
  return printed.join("\n");
}

test("neither agent nor pins: said, exit code 1", async () => {
  const { control, bpffs } = here;
  assert.is(await run(1), `no agent answers (nothing is at ${control}), and nothing of shunt is pinned under ${bpffs}`);
  const said = JSON.parse(await run(1, "--json"));
  assert.equal([said.agent, said.pinned, said.programs, said.pods], [false, false, [], []]);
});

test("with an agent: what it says, as tables and as JSON", async () => {
  await here.edit(podAt(0));
  await here.edit(podAt(1), { [traffic("excludeOutboundPorts")]: "5000" });
  await here.start();
  const { agent } = here;
  assert.ok(agent);
  const said = JSON.parse(await run(0, "--json"));
  assert.is(said.agent, true);
  assert.is(said.pid, process.pid);
  const { agent: _, pid, ...known } = said;
  assert.equal(known, JSON.parse(JSON.stringify(agent.status())));

  const text = await run(0);
  for (const pattern of [
    new RegExp(`^agent {5}shunt \\S+, pid ${process.pid}, ${here.control}$`, "m"),
    /^ready {5}yes$/m,
    new RegExp(`^source {4}manifests ${here.manifests}, all read, `, "m"),
    new RegExp(`^root {6}${here.lab.cgroupRoot}$`, "m"),
    new RegExp(`^pins {6}${pinDirectory(here.bpffs)}$`, "m"),
    /^programs {2}.*shunt_connect4 \(\d+\)/m,
    /^policies {2}2$/m,
    /^test\/a {2}enrolled {2}[0-9a-f]{8} {2}10\.88\.0\.2 /m,
    /^test\/b {2}enrolled {2}[0-9a-f]{8} {2}10\.88\.0\.3 /m,
    /^unknown {3}pods that the agent has not heard of pass, and are counted$/m,
    /^no problems$/m,
    /^pods +2 +\d+ +0\.\d%$/m,
  ]) {
    assert.match(text, pattern);
  }
});

test("a bad value: the pod keeps its policy, and the problem stands below", async () => {
  await here.edit(podAt(1), { [traffic("excludeOutboundPorts")]: "80," });
  await until("it is a problem", () => here.agent?.status().problems.length === 1);
  const text = await run(0);
  assert.match(text, /^test\/b {2}enrolled .* keeps its policy: see problems$/m);
  assert.match(text, /^problems:\n {2}.*b\.yaml:1 test\/b: .*excludeOutboundPorts="80,": .*$/m);
  await here.edit(podAt(1), { [traffic("excludeOutboundPorts")]: "5000" });
});

test("a pod that is not captured, and one that has no cgroup yet: why", async () => {
  await here.edit(podAt(1), { "sidecar.istio.io/interceptionMode": "NONE" });
  await here.edit({ namespace: "test", name: "later", uid: "aa-later", address: "10.88.0.9" } as LabPod);
  await until("both are known", () => here.agent?.status().pods.length === 3);
  const text = await run(0);
  assert.match(text, /test\/b +not-enrolled +– +10\.88\.0\.3 +.*interceptionMode is NONE/);
  assert.match(text, /test\/later +waiting +– +10\.88\.0\.9 +its cgroup is not there/);
  await here.edit(podAt(1), { [traffic("excludeOutboundPorts")]: "5000" });
});

test("without an agent: what is pinned, by cgroup and uid, and that no agent answers", async () => {
  const enrolledNow = () => here.agent?.status().pods.filter((pod) => pod.state === "enrolled").length;
  await until("b is enrolled again", () => enrolledNow() === 2);
  const before = here.agent?.status() as Status;
  await here.stop();
  const said = JSON.parse(await run(0, "--json"));
  assert.equal([said.agent, said.pinned, said.cgroupRoot, said.foreign], [false, true, here.lab.cgroupRoot, []]);
  assert.is(said.why, `nothing is at ${here.control}`);
  const enrolled = before.pods.filter((pod) => pod.state === "enrolled");
  assert.is(enrolled.length, 2);
  const order = (a: { uid: string }, b: { uid: string }): number => (a.uid < b.uid ? -1 : 1);
  assert.equal(
    said.pods.toSorted(order),
    enrolled
      .map(({ uid, state, why, policy, cgroupId, netnsCookie, addresses }) => {
        return { uid, state, why, policy, cgroupId, netnsCookie, addresses };
      })
      .toSorted(order),
  );
  assert.is(said.policies, before.policies);
  const named = (list: readonly { name: string }[]) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  assert.equal(said.maps, before.maps);
  const attached = before.programs.filter(({ name }) => name !== "shunt_cgroup_place"); // an iterator, run once
  assert.equal(named(said.programs), named(attached));

  const text = await run(0);
  assert.match(text, /^agent {5}none answers \(nothing is at .*\); what is pinned goes on working as it is$/m);
  assert.match(text, new RegExp(`^${podAt(0).cgroupId} +aa-a +[0-9a-f]{8} +10\\.88\\.0\\.2`, "m"));
  assert.match(text, /^port_rules +[1-9]\d* +\d+ +/m);
});

test("unknown pods are denied: said with an agent and without", async () => {
  const denied = /^unknown {3}pods that the agent has not heard of are DENIED/m;
  await here.start({ unknownPods: "deny" });
  assert.match(await run(0), denied);
  assert.is(JSON.parse(await run(0, "--json")).unknownPods, "deny");
  await here.stop();
  assert.match(await run(0), denied);
  assert.is(JSON.parse(await run(0, "--json")).unknownPods, "deny");
});

test("maps of another build are named, not read", async () => {
  const other = join(pinDirectory(here.bpffs), "maps-0123456789ab");
  mkdirSync(other);
  try {
    assert.match(await run(0), /^maps {6}maps-0123456789ab: pinned by a build with another layout/m);
    assert.equal(JSON.parse(await run(0, "--json")).foreign, ["maps-0123456789ab"]);
  } finally {
    rmdirSync(other);
  }
});

test("a pod whose cgroup is gone is still in the maps", async () => {
  const { cgroupId } = podAt(1);
  await podAt(1).remove();
  assert.match(await run(0), new RegExp(`^${cgroupId} +its cgroup is gone`, "m"));
});

test("without the permission: said in words", async () => {
  process.seteuid?.(65534);
  try {
    await status(here.flags, assert.unreachable);
  } catch (error) {
    assert.instance(error, NodeError);
    return;
  } finally {
    process.seteuid?.(0);
  }
  assert.unreachable();
});

test("names that a terminal would act on are shown, not obeyed", () => {
  assert.is(plain("a\u001b[31m\nb\u202e\u009b"), "a\\u001b[31m\\u000ab\\u202e\\u009b");
  const said = { version: "1", ready: false, source: { name: "manifests d", synced: false, lastEvent: 0 } };
  const empty = { cgroupRoot: "r", bpffs: "b", policies: 0, problems: [], maps: [], programs: [] };
  const pod = { namespace: "n", name: "x\u001b]0;y\u0007", state: "enrolled", policy: "", addresses: [], why: "" };
  const text = showStatus({ ...said, ...empty, pods: [pod] } as unknown as Status, { pid: undefined, control: "c" });
  assert.match(text, /n\/x\\u001b\]0;y\\u0007 {2}enrolled/);
  assert.not.ok(text.includes("\u001b"));
  assert.match(text, /^ready {5}no: .*\nsource {4}manifests d, NOT all of it could be read, no change seen yet$/m);
});

test("a table", () => {
  assert.is(
    table([
      ["a", "bb"],
      ["ccc", ""],
    ]),
    "a    bb\n───  ──\nccc  –",
  );
});

test.run();
