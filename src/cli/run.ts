/** `shunt run`: the agent. */
import { existsSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Agent, startAgent } from "../agent.js";
import type { ProxyIdentity } from "../desiredPod.js";
import { NodeError, UsageError } from "../errors.js";
import { keepHeapSmall } from "../heap.js";
import { artifact, sources } from "../kernel/artifact.js";
import { compileObject } from "../kernel/compile.js";
import { type Native, native } from "../kernel/native.js";
import { cannotReset } from "../kernel/tcpSockets.js";
import { makeLogger } from "../log.js";
import { parseDetail } from "../metrics/detail.js";
import { openMetrics } from "../metrics/registry.js";
import { agentView } from "../metrics/view.js";
import type { UnknownPods } from "../model/status.js";
import { isPodRoot } from "../node/root.js";
import { openPodCompiler } from "../policy/podCompiler.js";
import { openControl } from "../web/control.js";
import { defaultControl } from "../web/controlClient.js";
import { serveHttp } from "../web/http.js";
import { defaultListen, parseListen } from "../web/listen.js";
import { agentRoutes } from "../web/routes.js";
import { openSettings, type Settings as PolicySettings } from "./config.js";
import { findOrigin } from "./explainAsked.js";
import { choose, defaultBpffs, parseOptions, podRoot } from "./options.js";
import { policyFlags, policyFlagsHelp, readPolicyFlags } from "./policyFlags.js";
import { chooseSource, type SourceChoice, sourceOpener } from "./source.js";

export const runHelp = `Usage: shunt run [--manifests DIR | --kubeconfig F] [options]

Steers the sockets of the mesh pods on this machine to their proxy, by what a directory of pod manifests or
a Kubernetes cluster says, and follows every change in it. Without either flag, in a pod, by the cluster that
the pod runs in. Ends on SIGTERM or Ctrl-C; traffic stays steered as it is then. "shunt unload" ends that.

  --manifests DIR    pods, Istio's Sidecars and the ConfigMap istio as YAML or JSON files
  --kubeconfig F     the cluster, and how to get in
  --node-name N      this machine's name in the cluster (default: NODE_NAME of the environment, else the
                     host's name)
  --cgroup-root P    the pods' root cgroup (default: the one that kubelet made)
  --bpffs P          where programs and maps are pinned; mounted if it is not (default: ${defaultBpffs})
  --listen ADDR      where /metrics, /healthz and /readyz are served: ADDRESS:PORT, :PORT for every address
                     of this machine, or off (default: ${defaultListen})
  --control P        the control socket for status, flows and explain; one agent has it (default:
                     ${defaultControl})
  --metrics-detail D pod, workload or node: whose name the series of connections bear (default: pod)
  --proxy-identity I uid: the proxy is who runs in its container's cgroup or under its uid or gid. cgroup: once
                     that cgroup is known, nobody else is, so an application may run under the uid (default: uid)
  --unknown-pods W   what becomes of connections of pods that the agent has not heard of yet: allow, and they are
                     counted, or deny. deny stays in force while no agent runs, until "shunt unload" or an agent
                     that allows; pods with the host's network pass (default: allow)
  --reset-leaked     when a pod gets its first policy, end the connections that it has made around its proxy before
                     and that the policy would have led to it: the application sees ECONNABORTED
  --dns WHICH        in pods that capture DNS, queries to which servers go to the proxy: all, or those of the pod's
                     resolv-conf (default: all)
${policyFlagsHelp}  --compile          compile the programs on this machine, with clang, instead of using the built ones
  --compile-cache P  where compiled programs are kept, by content (default: /var/cache/shunt)
`;

const options = {
  manifests: { type: "string" },
  kubeconfig: { type: "string" },
  "node-name": { type: "string" },
  "cgroup-root": { type: "string" },
  bpffs: { type: "string", default: defaultBpffs },
  listen: { type: "string", default: defaultListen },
  control: { type: "string", default: defaultControl },
  "metrics-detail": { type: "string", default: "pod" },
  dns: { type: "string", default: "all" },
  "proxy-identity": { type: "string", default: "uid" },
  "unknown-pods": { type: "string", default: "allow" },
  "reset-leaked": { type: "boolean", default: false },
  ...policyFlags,
  compile: { type: "boolean", default: false },
  "compile-cache": { type: "string", default: "/var/cache/shunt" },
} as const;

function checkDirectory(flag: string, path: string): void {
  check(flag, path, (stat) => (stat.isDirectory() ? undefined : "is not a directory"));
}

function checkFile(flag: string, path: string): void {
  check(flag, path, (stat) => (stat.isDirectory() ? "is a directory, not a file" : undefined));
}

function check(flag: string, path: string, fault: (stat: Stats) => string | undefined): void {
  let why: string | undefined;
  try {
    why = fault(statSync(path));
    if (why === undefined) return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    why = code === "ENOENT" ? "does not exist" : `cannot be read (${code})`;
  }
  throw new UsageError(`shunt run: ${flag} ${path} ${why}`);
}

/** The kernel would only say EBADF, and that after much was made. */
function checkCgroup(path: string): void {
  checkDirectory("--cgroup-root", path);
  if (existsSync(join(path, "cgroup.controllers"))) return;
  throw new UsageError(`shunt run: --cgroup-root ${path} is not a directory of cgroup2`);
}

/** Who is below the root and in no known pod is refused: below another directory that could be all of the machine. */
function checkDeny(root: string): void {
  if (isPodRoot(root)) return;
  throw new UsageError(
    `shunt run: --unknown-pods deny: --cgroup-root ${root} is not kubelet's (kubepods, kubepods.slice): it may hold others than pods`,
  );
}

async function checkReset(addon: Native): Promise<void> {
  const why = await cannotReset(addon);
  if (why !== "") throw new NodeError(`shunt run: --reset-leaked: ${why}`);
}

/** Resolves when a signal has ended the agent. */
export async function run(args: readonly string[]): Promise<void> {
  keepHeapSmall();
  const values = parseOptions("run", args, options);
  const source = chooseSource(values, process.env);
  if ("manifests" in source) checkDirectory("--manifests", source.manifests);
  else if (source.kubeconfig !== undefined) checkFile("--kubeconfig", source.kubeconfig);
  const listen = parseListen(values.listen);
  const detail = parseDetail(values["metrics-detail"]);
  const proxyIdentity = choose("run", "proxy-identity", values["proxy-identity"], ["uid", "cgroup"]);
  const unknownPods = choose("run", "unknown-pods", values["unknown-pods"], ["allow", "deny"]);
  const flags = readPolicyFlags("run", values);
  const dns = choose("run", "dns", values.dns, ["all", "resolv-conf"]);
  const openInotify: Native["openInotify"] = (onEvents) => native().openInotify(onEvents);
  const policy = openSettings("run", { file: values.config, flags, dns, openInotify });
  if (process.getuid?.() !== 0) throw new NodeError("shunt run must load BPF programs: run it as root");
  if (!existsSync(values.bpffs)) checkDirectory("--bpffs", dirname(resolve(values.bpffs)));
  const addon = native();
  const { path: cgroupRoot, release } = podRoot(addon, values["cgroup-root"]);
  try {
    checkCgroup(cgroupRoot);
    if (unknownPods === "deny") checkDeny(cgroupRoot);
    if (values["reset-leaked"]) await checkReset(addon);
    await serve(addon, cgroupRoot, { ...values, source, listen, detail, proxyIdentity, unknownPods, policy });
  } finally {
    release();
  }
}

interface Settings {
  readonly source: SourceChoice;
  readonly bpffs: string;
  readonly listen: ReturnType<typeof parseListen>;
  readonly control: string;
  readonly detail: ReturnType<typeof parseDetail>;
  readonly proxyIdentity: ProxyIdentity;
  readonly unknownPods: UnknownPods;
  readonly "reset-leaked": boolean;
  readonly policy: PolicySettings;
  readonly compile: boolean;
  readonly "compile-cache": string;
}

/** The agent with its socket and its port, until a signal ends it. */
async function serve(addon: Native, cgroupRoot: string, values: Settings): Promise<void> {
  const { listen, detail } = values;
  const log = await makeLogger(process.stdout);
  const stopped = new Promise<NodeJS.Signals>((done) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done(signal));
  });
  const object = values.compile ? compileObject(sources(), values["compile-cache"]).path : artifact("shunt.bpf.o");
  // First of all: it is the lock. A second agent ends here, before it touches anything.
  const control = await openControl(values.control, addon.lock);
  let agent: Agent | undefined;
  const metrics = openMetrics({
    detail,
    view: () => agent && agentView(agent),
    onError: (collector, err) =>
      log.error({ event: "collector-failed", collector, err }, `${collector}: ${err.message}`),
  });
  // Before the agent: if the port is taken, nothing has been attached yet.
  const http =
    listen &&
    (await serveHttp({
      ...listen,
      routes: agentRoutes({ metrics, status: () => agent?.status() }),
      onError: (path, err) => log.error({ event: "http-failed", path, err }, `${path}: ${err.message}`),
    }));
  if (http) log.info({ event: "listening", address: http.address }, `metrics and probes on ${http.address}`);
  agent = await startAgent({
    native: addon,
    log,
    openSource: values.policy.beside(sourceOpener(values.source, (onEvents) => addon.openInotify(onEvents), log)),
    cgroupRoot,
    bpffs: values.bpffs,
    object,
    compile: openPodCompiler(values.policy.options),
    proxyIdentity: values.proxyIdentity,
    unknownPods: values.unknownPods,
    resetLeaked: values["reset-leaked"],
    clock: process.hrtime.bigint,
    observe: metrics.observe,
    onCountsGone: metrics.onCountsGone,
  });
  const view = agentView(agent);
  const { snapshot } = agent;
  const origin = (query: URLSearchParams) => findOrigin(snapshot(), values.policy.options(), query);
  control.serve({ ...view, origin, flows: agent.flows, flowsLost: () => view.counters().get("flow-lost") ?? 0n });
  await Promise.race([agent.ready, stopped]);
  const signal = await stopped;
  await http?.close();
  await agent.stop();
  // Last: whoever gets it may begin.
  await control.close();
  log.info({ event: "stopped", signal }, "stopped: traffic stays as it is");
}
