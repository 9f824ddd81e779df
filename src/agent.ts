/**
 * The agent, and the only place that wires its parts: what the source and the node say becomes the desired
 * state, its difference from the kernel becomes operations. Data flows one way, and every event, the start
 * included, does the same: compute everything, write the difference.
 */
import { existsSync, readFileSync } from "node:fs";
import { type Desired, desiredState } from "./desired.js";
import type { KnownPods, ProxyIdentity } from "./desiredPod.js";
import { type FlowStream, openFlowStream } from "./events/flowStream.js";
import { openProblemLog } from "./events/problemLog.js";
import { openInboundKeeper } from "./inbound.js";
import { type Datapath, openDatapath, pinDirectory, programs } from "./kernel/datapath.js";
import { openInbound } from "./kernel/inbound.js";
import { ensureBpffs, releaseBpffs } from "./kernel/mounts.js";
import type { InotifyEvent, Native } from "./kernel/native.js";
import { openLeaks } from "./leaks.js";
import type { Logger } from "./log.js";
import { openCleaner } from "./maps/cleaner.js";
import { bindContract, type Contract, decodeFlow, type UnknownPods } from "./maps/contract.js";
import { openControls } from "./maps/controls.js";
import { decodeCount, type VerdictCount } from "./maps/counts.js";
import { diff } from "./maps/diff.js";
import { u64 } from "./maps/layout.js";
import { type Applied, type Failure, Store } from "./maps/store.js";
import { formatPolicyId } from "./model/policy.js";
import type { Problem } from "./model/problem.js";
import type { OpenSource } from "./model/source.js";
import type { ProgramStatus, Status } from "./model/status.js";
import { openCgroupTree } from "./node/cgroups.js";
import { processInNamespace } from "./node/namespace.js";
import { openNamespaceTracker } from "./node/namespaces.js";
import { openPassthrough, passthrough6 } from "./passthrough.js";
import type { PodCompiler } from "./policy/podCompiler.js";
import { openReconciler } from "./reconciler.js";
import { version } from "./version.js";

/** Pods of the first pass that have a line of the log each; more of them have one together. */
const mostLines = 16;

export interface AgentOptions {
  readonly native: Native;
  readonly log: Logger;
  /** What tells of pods. */
  readonly openSource: OpenSource;
  /** The pods' root cgroup. */
  readonly cgroupRoot: string;
  /** Mount point of a bpffs; mounted there if it is not. */
  readonly bpffs: string;
  /** The object file. */
  readonly object: string;
  /** Called with every snapshot. */
  readonly compile: PodCompiler;
  readonly proxyIdentity: ProxyIdentity;
  /** What becomes of calls from pods of which there is no Pod object yet; `allow` if it is not said. */
  readonly unknownPods?: UnknownPods;
  /** Ends connections that a pod has made around its proxy before it had a policy. */
  readonly resetLeaked?: boolean;
  /** ns, CLOCK_MONOTONIC. */
  readonly clock: () => bigint;
  /** Seconds that a pass took, and seconds from a change that was seen to its policy in the kernel, once a pod. */
  readonly observe?: { reconciled(seconds: number): void; visible(seconds: number): void; reset(count: number): void };
  /** The last count of a pod that goes. */
  readonly onCountsGone?: (count: VerdictCount) => void;
}

export interface Agent {
  /** Resolves when the source has been read, the maps are filled and the programs are attached. */
  readonly ready: Promise<void>;
  readonly datapath: Pick<Datapath, "maps" | "programs">;
  readonly contract: Contract;
  readonly flows: FlowStream;
  status(): Status;
  /** Ends the agent. Programs, maps and policies stay as they are. */
  stop(): Promise<void>;
}

/** @throws KernelError if the object is refused, ENOENT if the cgroup or the directory is not there. Nothing is attached then. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const closers: (() => void)[] = [];
  const close = (): void => {
    for (const closer of closers.splice(0).toReversed()) closer();
  };
  try {
    return await wire(options, (closer) => closers.push(closer), close);
  } catch (error) {
    close();
    // Mounted for this start, and nothing came to be pinned there.
    if (!existsSync(pinDirectory(options.bpffs))) releaseBpffs(options.native, options.bpffs);
    throw error;
  }
}

/** Programs and maps, ours or a predecessor's; nothing is attached yet. */
async function openKernel(options: AgentOptions) {
  const { native, bpffs, cgroupRoot } = options;
  ensureBpffs(native, bpffs);
  const object = readFileSync(options.object);
  const contract = bindContract(native.readBtf(object, options.object));
  // The agent runs in the host's network namespace (hostNetwork), so its own is the one that is left alone.
  const host = await native.inspectNetns("/proc/self/ns/net");
  const datapath = openDatapath({
    native,
    object,
    objectName: options.object,
    layout: contract.hash,
    bpffs,
    cgroupRoot,
    hostNetnsCookie: u64.encode(host.cookie),
  });
  const { level } = contract.cgroupPlace.decode(datapath.cgroupPlace(cgroupRoot));
  return { contract, datapath, level, object };
}

async function wire(options: AgentOptions, onClose: (closer: () => void) => void, close: () => void): Promise<Agent> {
  const { native, log } = options;
  const { contract, datapath, level, object } = await openKernel(options);
  onClose(() => datapath.close());
  const { maps } = datapath;

  let desired: Desired | undefined;
  const known: KnownPods = new WeakMap();
  let attached = false;
  let sourceSynced = false;
  let stopped = false;
  let lastEvent = 0;
  const nameOf = (id: bigint): string => desired?.names.get(id) ?? `cgroup ${id}`;
  const problems = openProblemLog(
    (problem, text) => log.warn({ event: "problem", ...problem }, text),
    (text) => log.info({ event: "mended" }, `mended: ${text}`),
  );
  const controls = openControls(maps.controls, contract, level);
  const flows = openFlowStream({
    ring: maps.flows,
    openRing: (map, onRecords) => native.openRing(map, onRecords),
    decode: (bytes) => decodeFlow(contract, bytes),
    sample: (interval) => controls.sampleFlows(interval),
  });
  onClose(() => flows.close());

  let changed = 0n;
  const store = new Store({
    maps,
    contract,
    gracePeriod: () => native.gracePeriod(),
    onVisible: ({ flipped, added }: Applied) => {
      if (options.resetLeaked) leaks.arrived(added);
      const at = options.clock();
      const latency = Number(at - changed) / 1e6;
      for (const _ of flipped) options.observe?.visible(latency / 1e3);
      if (!attached && flipped.length > mostLines) {
        log.info({ event: "policies", pods: flipped.length, latency, at: `${at}` }, "policies are in the kernel");
        return;
      }
      for (const id of flipped) {
        const policy = formatPolicyId(store.have.pods.get(id)?.policy ?? 0n);
        log.info({ event: "policy", pod: nameOf(id), policy, latency, at: `${at}` }, "policy is in the kernel");
      }
    },
    onCountsGone: (key, value) => options.onCountsGone?.(decodeCount(contract, key, value)),
  });

  const cleaner = openCleaner({
    store,
    gracePeriod: () => native.gracePeriod(),
    onFailures: () => reconciler.markDirty(),
    onError: (err) => log.error({ event: "clean-failed", err }, `what is not needed could not go: ${err.message}`),
  });
  const failed = ({ op, error }: Failure): Problem => {
    const id = "pod" in op ? (typeof op.pod === "bigint" ? op.pod : op.pod.cgroupId) : undefined;
    const pod = id === undefined ? "" : nameOf(id);
    return { kind: "kernel", where: "", pod, key: op.kind, value: "", why: error.message };
  };
  const unseen = (): Problem[] =>
    [...tracker.errors].map(([id, error]) => {
      const why = `the network namespace cannot be read: ${error.message}`;
      return { kind: "namespace", where: "", pod: nameOf(id), key: "namespace", value: "", why };
    });

  const pathOf = (id: bigint): string | undefined => [...tree.pods.values()].find((pod) => pod.id === id)?.path;
  const inbound = openInbound({
    ...{ native, object, objectName: options.object, bpffs: options.bpffs, maps, encode: u64.encode },
    findProcess: ({ pod, netns }) => processInNamespace(pathOf(pod) ?? "", netns),
  });
  let again: NodeJS.Timeout | undefined;
  /** What the keeper has found wrong at its last pass. */
  let unsteered: readonly Problem[] = [];
  onClose(() => clearTimeout(again));
  const keeper = openInboundKeeper({ inbound, datapath, contract, pathOf, nameOf });

  const passthrough = openPassthrough({
    add: (pid, netns) =>
      native.addLoopbackAddress(`/proc/${pid}/ns/net`, passthrough6.bytes, Number(/\d+/.exec(netns)?.[0])),
    findProcess: (pod, netns) => processInNamespace(pathOf(pod) ?? "", netns),
    nameOf,
    onChange: () => reconciler.markDirty(),
  });

  const leaks = openLeaks({
    native,
    pathOf,
    findProcess: (pod, netns) => processInNamespace(pathOf(pod) ?? "", netns),
    nameOf,
    onReset(pod, count, to) {
      options.observe?.reset(count);
      log.info({ event: "reset", pod: nameOf(pod), count, to }, `${count} connections around the proxy were reset`);
    },
    onChange: () => reconciler.markDirty(),
  });
  onClose(() => leaks.close());

  let onFilled = (): void => {};
  const filled = new Promise<void>((resolve) => {
    onFilled = resolve;
  });
  const reconciler = openReconciler({
    clock: options.clock,
    retry: 1000,
    onError: (err) => log.error({ event: "reconcile-failed", err }, `reconcile failed, trying again: ${err.message}`),
    async pass(since) {
      const begin = options.clock();
      changed = since;
      const fills = sourceSynced;
      const node = { cgroups: tree.pods, namespaces: tracker.known, containers: tracker.containers };
      const snapshot = source.snapshot();
      desired = desiredState(snapshot, node, store.have, options.compile(snapshot), options.proxyIdentity, known);
      controls.coverDepths([...tree.pods.values()].map((pod) => pod.depth));
      const ops = diff(store.have, desired.want);
      const { failures } = store.show(ops);
      cleaner.unneeded(ops);
      if (fills) onFilled();
      const wrong = [...desired.problems, ...unseen(), ...[...failures, ...cleaner.failures].map(failed)];
      problems.update([...wrong, ...unsteered]);
      source.report?.(problems.current);
      // The programs are attached when the source has been read; the rest can wait until then.
      if (!fills) return;
      await ready.catch(() => {});
      // Those that are about to go are not among them.
      const pods = new Map([...store.have.pods].filter(([id]) => desired?.want.pods.has(id)));
      const steered = keeper.pass(pods, tracker.known, desired.proxies);
      clearTimeout(again);
      if (steered.again !== undefined) again = setTimeout(() => reconciler.markDirty(), steered.again).unref();
      const { policies } = desired.want;
      const view = { pods, namespaces: tracker.known, policies, proxies: desired.proxies };
      unsteered = [...steered.problems, ...passthrough.pass(pods, tracker.known), ...leaks.pass(view)];
      problems.update([...wrong, ...unsteered]);
      source.report?.(problems.current);
      tracker.follow([...tree.pods.values()].filter((pod) => pods.has(pod.id)));
      options.observe?.reconciled(Number(options.clock() - begin) / 1e9);
    },
  });

  const IN_Q_OVERFLOW = 0x4000;
  const inotify = native.openInotify((events: InotifyEvent[]) => {
    let treeChanged = false;
    for (const { mask, watch, name } of events) {
      if (mask & IN_Q_OVERFLOW) {
        tree.rescan();
        tracker.rescan();
        treeChanged = true;
      } else if (tree.handle(watch, name)) treeChanged = true;
      else tracker.handle(watch);
    }
    if (treeChanged) reconciler.markDirty();
  });
  onClose(() => inotify.close());
  const tree = openCgroupTree(options.cgroupRoot, inotify);
  const tracker = openNamespaceTracker({ native, inotify, onChange: () => reconciler.markDirty() });
  onClose(() => tracker.close());
  const source = options.openSource(() => {
    lastEvent = Date.now() / 1e3;
    reconciler.markDirty();
  });
  onClose(() => source.close());

  /** Those that are attached to the pods' root; the iterators steer nothing, and each pod has an inbound one of its own. */
  const steering = (): ProgramStatus[] =>
    datapath
      .programs()
      .flatMap(({ name, id, tag }) => ((programs as readonly string[]).includes(name) ? [{ name, id, tag }] : []));
  const begin = async (): Promise<void> => {
    await Promise.race([source.synced, filled]);
    sourceSynced = true;
    reconciler.markDirty();
    // One pass is enough: where edits do not end, nothing is ever settled.
    await filled;
    // Maps that were not filled must not take the place of a predecessor's.
    if (stopped) throw new Error("the agent was stopped before it was ready");
    // Not before: who is known has an entry now. Until then a predecessor's word stands.
    controls.setUnknownPods(options.unknownPods ?? "allow");
    const { adopted } = datapath.attach();
    attached = true;
    const { pods, policies } = store.have;
    const facts = { adopted, pods: pods.size, policies: policies.size, programs: steering(), at: `${options.clock()}` };
    log.info({ event: "ready", ...facts }, "ready");
    source.ready?.();
  };
  const ready: Promise<void> = begin();
  // Whoever awaits it gets the error; nobody may be there yet.
  ready.catch(() => {});

  return {
    ready,
    datapath,
    contract,
    flows,
    status: () => ({
      version,
      ready: attached,
      source: { name: source.name, synced: source.snapshot().complete, lastEvent },
      cgroupRoot: options.cgroupRoot,
      bpffs: options.bpffs,
      pods: desired?.pods ?? [],
      policies: store.have.policies.size,
      problems: problems.current,
      maps: store.fill(),
      programs: steering(),
    }),
    async stop() {
      stopped = true;
      onFilled();
      await reconciler.stop();
      await cleaner.settled();
      close();
    },
  };
}
