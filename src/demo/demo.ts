/**
 * The main job on this machine: real pods (cgroups and network namespaces), a real proxy, the real agent as
 * a process of its own, edits of a manifest, and a check of where each connection goes.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { table } from "../cli/table.js";
import { artifact } from "../kernel/artifact.js";
import { pinDirectory } from "../kernel/datapath.js";
import { releaseBpffs } from "../kernel/mounts.js";
import { native } from "../kernel/native.js";
import { unload } from "../kernel/unload.js";
import { bindContract } from "../maps/contract.js";
import { faultsIn, readCounters, readVerdicts, type VerdictCount } from "../maps/counts.js";
import { type AgentProcess, startAgentProcess } from "./agentProcess.js";
import type { Answer as CallAnswer, NoAnswer } from "./call.js";
import { untilCaptured } from "./captured.js";
import { type Lab, openLab } from "./lab.js";
import type { LabPod } from "./labPod.js";
import { podManifest, writeManifest } from "./manifests.js";
import { command, firstLine } from "./process.js";
import { describeStep, type Row, resultTable } from "./report.js";
import { roleArgv } from "./role.js";
import { shuntArgv } from "./shunt.js";
import { type Answer, check, client, type Step, service, steps, workloads } from "./steps.js";

export interface DemoOptions {
  print(text: string): void;
  /** Ends the demo early; everything is taken away all the same. */
  readonly signal: AbortSignal;
  /** Called when all steps are done, before anything is taken away. */
  hold?(lab: DemoLab): Promise<void>;
}

export interface DemoLab {
  readonly lab: Lab;
  readonly client: LabPod;
  /** The client among them. */
  readonly pods: readonly LabPod[];
  readonly manifests: string;
  readonly bpffs: string;
}

const uids: Readonly<Record<string, string>> = {
  client: "5d0a7c1e-0000-4000-8000-000000000001",
  "helloworld-v1": "5d0a7c1e-0000-4000-8000-000000000011",
  "helloworld-v2": "5d0a7c1e-0000-4000-8000-000000000012",
};

/** Both workloads take the service's address and the node spreads it over them: no iptables, no kube-proxy. */
async function routeService(lab: Lab, pods: readonly LabPod[]): Promise<void> {
  for (const pod of pods)
    await command(["nsenter", `--net=${pod.netns}`, "ip", "addr", "add", `${service.address}/32`, "dev", "lo"]);
  const hops = pods.flatMap((pod) => ["nexthop", "via", pod.address]);
  const spread = `echo 1 > /proc/sys/net/ipv4/fib_multipath_hash_policy; exec ip route add ${service.address}/32 "$@"`;
  await command(["nsenter", `--net=${lab.node}`, "sh", "-ec", spread, "sh", ...hops]);
}

/** The sidecar of a pod, on both sides. */
function startProxy(pod: LabPod, ...more: readonly string[]): Promise<string> {
  const flags = ["--name", pod.name, "--listen", "127.0.0.1:15001", "--inbound", "0.0.0.0:15006", ...more];
  return firstLine(pod.spawn(roleArgv("proxy", flags), { container: "istio-proxy", uid: 1337, gid: 1337 }));
}

async function startWorkloads(lab: Lab): Promise<LabPod[]> {
  const pods = await Promise.all(
    workloads.map(({ name, address }) => lab.pod({ namespace: "demo", name, uid: uids[name] ?? "", address })),
  );
  await routeService(lab, pods);
  const servers = pods.flatMap((pod) =>
    [5000, 5001].map((port) =>
      pod.spawn(roleArgv("workload", ["--instance", pod.name, "--version", pod.name.slice(-2), "--port", `${port}`]), {
        container: "app",
        uid: 1000,
        gid: 1000,
      }),
    ),
  );
  await Promise.all([...servers.map((server) => firstLine(server)), ...pods.map((pod) => startProxy(pod))]);
  return pods;
}

async function startClient(lab: Lab): Promise<LabPod> {
  const pod = await lab.pod({ namespace: "demo", ...client, uid: uids["client"] ?? "" });
  const backends = workloads.map(({ address }) => `${address}:${service.port}`).join(",");
  await startProxy(pod, "--service", `${service.address}:${service.port}=${backends}`);
  return pod;
}

function manifest(pod: LabPod, annotations: Readonly<Record<string, string>>): string {
  const containers = pod.containers.map(({ name, id }) => ({ name, id }));
  return podManifest({
    namespace: pod.namespace,
    name: pod.name,
    uid: pod.uid,
    address: pod.address,
    annotations,
    containers,
  });
}

/** A new connection from the application's container. @returns undefined with the reason if there was no answer. */
async function call(pod: LabPod, to: string): Promise<Answer | string> {
  const outcome = await pod.exec(roleArgv("call", ["--timeout", "30000", `http://${to}/`]), {
    container: "app",
    uid: 1000,
    gid: 1000,
    timeout: 60_000,
  });
  const result =
    outcome.status === 0
      ? (JSON.parse(outcome.stdout) as CallAnswer | NoAnswer)
      : { error: outcome.stderr.trim() || "no answer" };
  if ("error" in result) return result.error;
  const { server, via, originalDestination, peerAsked, body } = result;
  return { server, via, originalDestination, peer: peerAsked, body: body.trim() };
}

/** Writes the manifest and waits until the agent says that its policy is in the kernel. */
async function edit(agent: AgentProcess, demo: DemoLab, step: Step): Promise<number> {
  const from = agent.events.length;
  const pod = demo.pods.find(({ name }) => name === step.pod);
  if (pod === undefined) throw new Error(`there is no pod ${step.pod}`);
  const start = process.hrtime.bigint();
  await writeManifest(demo.manifests, `${pod.name}.yaml`, manifest(pod, step.annotations));
  const said = await agent.waitFor((event) => event.event === "policy" && event.pod === `demo/${pod.name}`, from);
  return Number(BigInt(said.at ?? "0") - start) / 1e6;
}

async function runStep(
  agent: AgentProcess,
  demo: DemoLab,
  step: Step,
  first: boolean,
  options: DemoOptions,
): Promise<Row[]> {
  const latency = first ? undefined : await edit(agent, demo, step);
  const rows: Row[] = [];
  for (const wanted of step.calls) {
    options.signal.throwIfAborted();
    const got = await call(demo.client, wanted.to);
    const answer = typeof got === "string" ? undefined : got;
    const wrong = typeof got === "string" ? [`no answer: ${got}`] : check(wanted, got);
    rows.push({ change: step.change, latency, call: wanted, answer, wrong });
  }
  options.signal.throwIfAborted();
  options.print(describeStep(step, rows));
  return rows;
}

/** What the programs counted, read from the pinned maps: the kernel's own word for what the table says. */
function kernelTable(demo: DemoLab): string {
  const addon = native();
  const path = artifact("shunt.bpf.o");
  const contract = bindContract(addon.readBtf(readFileSync(path), path));
  const maps = join(pinDirectory(demo.bpffs), `maps-${contract.hash}`);
  const verdicts = addon.openPinnedMap(join(maps, "verdicts"));
  const counters = addon.openPinnedMap(join(maps, "counters"));
  try {
    const order = ({ direction, verdict, reason }: VerdictCount): string => `${direction} ${verdict} ${reason}`;
    const all = readVerdicts(verdicts, contract).toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
    const lines = demo.pods.flatMap(({ name, cgroupId }) =>
      all
        .filter(({ pod }) => pod === cgroupId)
        .map(({ direction, verdict, reason, count }) => [name, direction, verdict, reason, String(count)]),
    );
    const faults = faultsIn(readCounters(counters, contract)).map(([name, count]) => `${name} ${count}`);
    return `${table([["pod", "direction", "verdict", "reason", "connections"], ...lines])}\n\nfaults: ${faults.join(", ") || "none"}`;
  } finally {
    verdicts.close();
    counters.close();
  }
}

/** @returns whether every call went as the contract says. @throws what `signal` was aborted with. */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const { print, signal } = options;
  const lab = await openLab({ kind: "demo" });
  const bpffs = join(lab.directory, "bpf");
  let agent: AgentProcess | undefined;
  const abort = (): void => {
    lab.close().catch(() => {});
    // Who waits for its word need not wait to the deadline.
    void agent?.stop();
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    for (const { name, error } of lab.swept)
      print(`took away what a killed demo had left: ${name}${error === undefined ? "" : `, but not all: ${error}`}`);
    const servers = await startWorkloads(lab);
    const caller = await startClient(lab);
    const pods = [caller, ...servers];
    const demo: DemoLab = { lab, client: caller, pods, manifests: join(lab.directory, "manifests"), bpffs };
    mkdirSync(demo.manifests);
    for (const pod of pods) await writeManifest(demo.manifests, `${pod.name}.yaml`, manifest(pod, {}));
    print(`${pods.length} pods under ${lab.cgroupRoot}; manifests in ${demo.manifests}`);

    const start = process.hrtime.bigint();
    agent = startAgentProcess({ shunt: shuntArgv(), manifests: demo.manifests, cgroupRoot: lab.cgroupRoot, bpffs });
    const ready = await agent.waitFor((event) => event.event === "ready");
    await untilCaptured(bpffs, pods, pods.length, { signal });
    print(`agent ready after ${(Number(BigInt(ready.at ?? "0") - start) / 1e6).toFixed(0)} ms\n`);

    const rows: Row[] = [];
    for (const [i, step] of steps.entries()) rows.push(...(await runStep(agent, demo, step, i === 0, options)));
    const good = rows.every((row) => row.wrong.length === 0);
    print(`\n${resultTable(rows)}\n\nThe kernel's own counters:\n\n${kernelTable(demo)}\n`);
    print(
      good ? "Every call went as the contract says." : "Some calls did not go as the contract says: see ✗ and WRONG.",
    );
    await options.hold?.(demo);
    return good;
  } catch (error) {
    // The abort pulls the lab away under whatever was going on; that error is only its echo.
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    await agent?.stop();
    // What it pulls away is the bpffs too: not while it is read here. What it cannot remove, the last close() says.
    if (signal.aborted) await lab.close().catch(() => {});
    await unload(native(), bpffs);
    releaseBpffs(native(), bpffs);
    await lab.close();
  }
}
