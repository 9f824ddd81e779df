/** The real agent, its restarts and its deaths, on the real kernel. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AgentProcess } from "../../src/demo/agentProcess.js";
import type { Lab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { writeManifest } from "../../src/demo/manifests.js";
import { command, firstLine } from "../../src/demo/process.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { inboundDirectory } from "../../src/kernel/inbound.js";
import { mountSource, readMounts } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { formatPolicyId as hex } from "../../src/model/policy.js";
import {
  type AgentBed,
  compiled,
  manifestOf,
  openMesh,
  policyOf,
  reach,
  type Said,
  shunt,
  toFirst,
  toSecond,
  traffic,
  withBed,
} from "./agentBed.js";
import { until } from "./bed.js";

let mesh: { lab: Lab; pods: LabPod[] };
test.before(async () => {
  mesh = await openMesh("agent", "a", "b");
});
test.after(async () => {
  await mesh.lab.close();
});

type Use = (bed: AgentBed, a: LabPod, b: LabPod) => Promise<void>;
const withAgents = (use: Use) => (): Promise<void> => {
  const [a, b] = mesh.pods;
  if (a === undefined || b === undefined) throw new Error("no pods");
  return withBed(mesh.lab, (bed) => use(bed, a, b));
};

/** Pods and policies of the `policy` events from `from` on. */
const flips = (agent: AgentProcess, from = 0): string[] =>
  agent.events.slice(from).flatMap(({ event, pod, policy }) => (event === "policy" ? [`${pod} ${policy}`] : []));
/** The problems and their mending. */
const problems = (agent: AgentProcess, from = 0): Said[] =>
  agent.events.slice(from).filter(({ event }) => event === "problem" || event === "mended");

const exclude = { [traffic("excludeOutboundPorts")]: "5000" };
const bad = { [traffic("excludeOutboundPorts")]: "80," };

/** An edit, and the agent's word that it is in the kernel. */
async function flip(
  bed: AgentBed,
  agent: AgentProcess,
  pod: LabPod,
  annotations?: Record<string, string>,
): Promise<void> {
  const from = agent.events.length;
  await bed.edit(pod, annotations);
  await agent.waitFor(({ event, pod: name }) => event === "policy" && name === `test/${pod.name}`, from);
}

/** Does something over and over until a promise is settled. @returns, or throws, what that brought. */
async function during<T>(promise: Promise<T>, act: () => unknown): Promise<T> {
  let settled = false;
  const end = (): void => {
    settled = true;
  };
  promise.then(end, end);
  for (; !settled; await sleep(1)) await act();
  return promise;
}

test(
  "an edit reaches the kernel with no restart, and concerns its own pod alone",
  withAgents(async (bed, a, b) => {
    const plain = await bed.edit(a);
    assert.is(policyOf(await bed.edit(b)), policyOf(plain), "equal settings are one policy");
    const { agent, said } = await bed.ready();
    assert.equal([said.adopted, said.pods], [false, 2]);
    assert.equal(bed.pins.policies(), [policyOf(plain)], "shared");
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);

    const from = agent.events.length;
    await flip(bed, agent, a, exclude);
    assert.is(await reach(a, toFirst), "direct");
    assert.is(await reach(a, toSecond), `proxy ${toSecond}`);
    assert.is(await reach(b, toFirst), `proxy ${toFirst}`);
    const edited = policyOf(manifestOf(a, exclude));
    assert.equal(flips(agent, from), [`test/a ${hex(edited)}`]);
    assert.equal([bed.pins.record(a.cgroupId)?.policy, bed.pins.record(b.cgroupId)?.policy], [edited, policyOf(plain)]);

    await flip(bed, agent, a);
    assert.is(bed.pins.record(a.cgroupId)?.policy, policyOf(plain), "the very same policy");
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await until("the old policy is gone", () => bed.pins.policies().length === 1);
    assert.is(await agent.stop(), 0);
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`, "an agent that ends leaves traffic as it is");
  }),
);

test(
  "killed: traffic goes on, the successor adopts what is pinned and carries on from there",
  withAgents(async (bed, a, b) => {
    // Stands in for the proxy and echoes, so that a connection can stay open; nobody else has this address.
    const long = await bed.lab.pod({ namespace: "test", name: "long", uid: "aa-long", address: "10.88.0.20" });
    const echo = `require("net").createServer((s) => s.pipe(s)).listen(15001, "127.0.0.1", () => console.log("ready"))`;
    const ids = { uid: 1337, gid: 1337 };
    try {
      await firstLine(long.spawn([process.execPath, "-e", echo], { container: "istio-proxy", ...ids }));
      for (const pod of [a, b, long]) await bed.edit(pod);
      const first = await bed.ready();
      const open = long.spawn(["bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/9; cat <&3 & exec cat >&3"], {
        container: "app",
        stdio: ["pipe", "pipe", "inherit"],
      });
      const { stdin, stdout } = open;
      if (stdin === null || stdout === null) throw new Error("no pipes");
      const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
      const say = async (text: string): Promise<void> => {
        stdin.write(`${text}\n`);
        assert.is((await lines.next()).value, text);
      };
      await say("with the first agent");
      await until("namespaces are known", () =>
        [a, b, long].every((pod) => bed.pins.record(pod.cgroupId)?.netns_cookie),
      );
      const before = bed.pins.ids();

      await first.agent.stop("SIGKILL");
      assert.equal(bed.pins.ids(), before, "pins outlive the agent");
      await say("with none");
      for (const to of [toFirst, toSecond, "203.0.113.9:65535"]) assert.is(await reach(a, to), `proxy ${to}`);

      const { pins } = bed;
      const known = (): string => `${pins.record(a.cgroupId)?.netns_cookie} ${pins.localAddresses(a.cgroupId)}`;
      const values = new Set<string>();
      const second = await during(bed.ready(), () => values.add(known()));
      assert.equal([...values], [known()], "what was known of the namespace is not forgotten for a moment");
      await say("with its successor");
      assert.equal([second.said.adopted, second.said.pods], [true, 3]);
      const after = bed.pins.ids();
      assert.equal(after.maps, before.maps);
      assert.equal(after.links, before.links);
      for (const [name, id] of Object.entries(after.programs))
        assert.is.not(id, before.programs[name], `${name} is new`);
      await until("the old programs are gone", () =>
        Object.values(before.programs).every((id) => !native().exists("program", id)),
      );
      assert.equal(flips(second.agent), [], "nothing was to be written");
      assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
      await second.agent.stop("SIGKILL");

      await bed.edit(a, exclude);
      assert.is(await reach(a, toFirst), `proxy ${toFirst}`, "an edit that nobody has seen");
      const third = await bed.ready();
      assert.equal(flips(third.agent), [`test/a ${hex(policyOf(manifestOf(a, exclude)))}`]);
      assert.is(await reach(a, toFirst), "direct");
      assert.is(await reach(b, toFirst), `proxy ${toFirst}`);
      await say("with the third");
    } finally {
      await long.remove();
    }
  }),
);

test(
  "killed at any moment, the next start converges, and unload leaves nothing",
  withAgents(async (bed, a, b) => {
    const texts: string[] = [await bed.edit(a), await bed.edit(b)];
    const seen = { program: new Set<number>(), map: new Set<number>(), link: new Set<number>() };
    const remember = (): void => {
      const { programs, maps, links } = bed.pins.ids();
      for (const id of Object.values(links)) seen.link.add(id);
      for (const id of Object.values(maps)) seen.map.add(id);
      for (const id of Object.values(programs)) {
        seen.program.add(id);
        for (const map of native().programById(id).mapIds) seen.map.add(map);
      }
    };
    const loaded = (pid: number): boolean => readFileSync(`/proc/${pid}/maps`, "utf8").includes("shunt.node");
    let edits = 0;
    for (let round = 0; round < 10; round++) {
      const agent = bed.start();
      if (round % 2 === 0) {
        await until("the agent begins its work", () => loaded(agent.pid));
        await sleep(Math.random() * 150);
        await agent.stop("SIGKILL");
        continue;
      }
      const life = async (): Promise<void> => {
        const ready = await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
        const early = agent.events.slice(0, agent.events.indexOf(ready)).filter(({ event }) => event === "policy");
        assert.ok(early.length <= 2, "ready after one pass, although the edits do not end");
        remember();
        await sleep(Math.random() * 150);
        await agent.stop("SIGKILL");
      };
      await during(life(), async () => {
        const port = `${++edits}`;
        texts[0] = await bed.edit(a, { [traffic("excludeOutboundPorts")]: `5000,${port}` });
        texts[1] = await bed.edit(b, { [traffic("includeOutboundPorts")]: `5000,${port}` });
      });
    }
    const { agent } = await bed.ready();
    const policies = texts.map(compiled);
    const wanted = policies.map(({ id }) => id);
    assert.equal(
      [a, b].map((pod) => bed.pins.record(pod.cgroupId)?.policy),
      wanted,
    );
    const rules = policies.flatMap(({ ports }) => ports);
    // What a predecessor has left goes a grace period later, which nobody waits for.
    const isClean = (): boolean => bed.pins.policies().length === 2 && bed.pins.count("port_rules") === rules.length;
    await until("there are these policies and their rules, and no others", isClean, 30_000);
    assert.equal(bed.pins.policies().sort(), wanted.sort());
    assert.is(bed.pins.count("pods"), 2);
    assert.is(await reach(a, toFirst), "direct");
    assert.is(await reach(b, toFirst), `proxy ${toFirst}`);
    remember();
    assert.is(await agent.stop(), 0);

    const outcome = await shunt("unload", "--bpffs", bed.bpffs, "--json");
    assert.is(outcome.status, 0, outcome.stderr);
    assert.equal((JSON.parse(outcome.stdout) as { held: string[] }).held, []);
    for (const kind of ["program", "map", "link"] as const) {
      assert.ok(seen[kind].size > 0);
      const left = (): number[] => [...seen[kind]].filter((id) => native().exists(kind, id));
      await until(`${kind}s are gone`, () => left().length === 0);
    }
    assert.not(existsSync(pinDirectory(bed.bpffs)));
    assert.is(await reach(b, toFirst), "direct");
  }),
);

test(
  "a bad value: the pod keeps its policy, also across a restart, until it is mended",
  withAgents(async (bed, a, b) => {
    await bed.edit(a, exclude);
    await bed.edit(b);
    const kept = policyOf(manifestOf(a, exclude));
    const first = await bed.ready();

    const from = first.agent.events.length;
    await Promise.all([bed.edit(a, bad), flip(bed, first.agent, b, exclude)]);
    await first.agent.waitFor(({ event }) => event === "problem");
    await flip(bed, first.agent, b);
    const said = problems(first.agent);
    assert.is(said.length, 1, "said once, although there were more passes");
    assert.match(said[0]?.where ?? "", new RegExp(`^${join(bed.manifests, "a.yaml")}:\\d+$`));
    assert.equal([said[0]?.pod, said[0]?.key, said[0]?.value], ["test/a", traffic("excludeOutboundPorts"), "80,"]);
    for (const part of ["a.yaml:", "test/a", "excludeOutboundPorts", '"80,"']) {
      assert.ok(said[0]?.msg.includes(part), `${part} in: ${said[0]?.msg}`);
    }
    assert.equal(
      flips(first.agent, from).filter((line) => line.startsWith("test/a")),
      [],
    );
    assert.is(bed.pins.record(a.cgroupId)?.policy, kept);
    assert.is(await reach(a, toFirst), "direct", "as before");
    await first.agent.stop("SIGKILL");

    const { agent } = await bed.ready();
    assert.equal(flips(agent), []);
    assert.equal(
      problems(agent).map(({ event, pod, value }) => [event, pod, value]),
      [["problem", "test/a", "80,"]],
    );
    assert.is(bed.pins.record(a.cgroupId)?.policy, kept);
    assert.ok(bed.pins.policies().includes(kept));

    // One that was never there before has nothing to keep.
    const fresh = await bed.lab.pod({ namespace: "test", name: "fresh", uid: "aa-fresh", address: "10.88.0.21" });
    try {
      await flip(bed, agent, fresh, bad);
      assert.is(bed.pins.record(fresh.cgroupId)?.policy, policyOf(manifestOf(fresh, {})), "as if it were absent");
      await agent.waitFor(({ event, pod }) => event === "problem" && pod === "test/fresh");
      const mended = agent.events.length;
      await flip(bed, agent, a);
      const message = (await agent.waitFor(({ event }) => event === "mended", mended)).msg;
      assert.match(message, /^mended: .*a\.yaml:\d+ test\/a: .*excludeOutboundPorts="80,"/);
      assert.is(problems(agent, mended).length, 1, "the other pod's is still there");
      assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    } finally {
      await fresh.remove();
    }
  }),
);

test(
  "manifests and cgroups come and go in any order",
  withAgents(async (bed, a, b) => {
    await bed.edit(a);
    await bed.edit(b);
    const { agent } = await bed.ready();
    const uid = "cc-1";
    const options = { namespace: "test", name: "late", uid, address: "10.88.0.22" };
    const has = (id: bigint) => bed.pins.record(id) !== undefined;

    // The manifest first. b's edit comes after it, so the agent has seen both when it has applied that.
    const early = await bed.lab.pod(options);
    const manifest = manifestOf(early);
    await early.remove();
    await writeManifest(bed.manifests, "late.yaml", manifest);
    await flip(bed, agent, b, exclude);
    assert.is(bed.pins.count("pods"), 2);
    let late = await bed.lab.pod(options);
    await until("the pod whose cgroup came later", () => has(late.cgroupId));

    // Its cgroup goes, and comes again under the same name with another inode.
    const old = late.cgroupId;
    await late.remove();
    await until("a pod whose cgroup went", () => !has(old));
    await until("its address", () => bed.pins.localAddresses(old).length === 0);
    late = await bed.lab.pod(options);
    assert.is.not(late.cgroupId, old);
    await until("the pod that was made again", () => has(late.cgroupId));
    assert.is(bed.pins.count("pods"), 3);

    // Its manifest goes, then comes when the cgroup is there already.
    await rm(join(bed.manifests, "late.yaml"));
    await until("a pod whose manifest went", () => !has(late.cgroupId));
    await writeManifest(bed.manifests, "late.yaml", manifest);
    await until("the pod whose manifest came later", () => has(late.cgroupId));

    // A manifest that cannot be parsed changes nothing, also not for an agent that never saw it whole.
    await writeFile(join(bed.manifests, "a.yaml"), "kind: Pod\nmetadata: {");
    const problem: Said = await agent.waitFor(({ event }) => event === "problem");
    assert.match(problem.where ?? "", /a\.yaml:\d+$/);
    await flip(bed, agent, b);
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await agent.stop("SIGKILL");
    const { agent: second, said } = await bed.ready();
    assert.is(said.pods, 3);
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await flip(bed, second, a, exclude);
    await second.waitFor(({ event }) => event === "mended");
    assert.is(await reach(a, toFirst), "direct");

    // The namespace is known while a process shows it.
    const { cookie } = await native().inspectNetns(late.netns);
    const facts = () => [bed.pins.record(late.cgroupId)?.netns_cookie, bed.pins.localAddresses(late.cgroupId).join()];
    assert.equal(facts(), [0n, options.address], "by its status alone");
    await command(["nsenter", `--net=${late.netns}`, "ip", "addr", "add", "10.88.1.22/32", "dev", "lo"]);
    const process = late.spawn(["sleep", "600"], { container: "app" });
    const learned = `${cookie},${options.address},10.88.1.22`;
    await until("its cookie and addresses", () => facts().join().startsWith(learned));
    process.kill("SIGKILL");
    await until("what was forgotten with its last process", () => facts().join() === `0,${options.address}`);
    await late.remove();
    await until("its end", () => !has(late.cgroupId));
  }),
);

test(
  "a directory that is no bpffs becomes one, and unload takes that away too",
  withAgents(async (bed, a) => {
    await bed.edit(a);
    mkdirSync(bed.bpffs);
    const mounted = () => readMounts().filter(({ target }) => target === bed.bpffs);
    const { agent } = await bed.ready();
    assert.equal(mounted(), [{ source: mountSource, root: "/", target: bed.bpffs, type: "bpf" }]);
    // The pods' networks are looked at after the agent is ready.
    const inbound = inboundDirectory(bed.bpffs);
    await until("inbound is steered", () => existsSync(inbound) && readdirSync(inbound).length > 0);
    await agent.stop();
    assert.is(mounted().length, 1, "with the pins in it");
    const outcome = await shunt("unload", "--bpffs", bed.bpffs);
    assert.is(outcome.status, 0, outcome.stderr);
    assert.match(
      outcome.stdout,
      /detached shunt_sk_lookup \(\d\), shunt_connect6, .*\nremoved \d+ maps: .*\nunmounted .*\nthe kernel has none of them any more\n/,
    );
    assert.equal(mounted(), []);
    assert.is(await reach(a, toFirst), "direct");
  }),
);

test.run();
