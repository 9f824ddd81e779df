/**
 * The agent, and the only place that wires its parts: what the source and the node say becomes the desired
 * state, its difference from the kernel becomes operations. Data flows one way, and every event, the start
 * included, does the same: compute everything, write the difference.
 */
import { existsSync } from "node:fs";
import { type Desired, desiredState } from "./desired.js";
import type { KnownPods, ProxyIdentity } from "./desiredPod.js";
import { type FlowStream, openFlowStream } from "./events/flowStream.js";
import { openProblemLog } from "./events/problemLog.js";
import { type Datapath, pinDirectory } from "./kernel/datapath.js";
import { releaseBpffs } from "./kernel/mounts.js";
import type { Native } from "./kernel/native.js";
import type { Logger } from "./log.js";
import { openCleaner } from "./maps/cleaner.js";
import type { Contract } from "./maps/contract.js";
import { openControls } from "./maps/controls.js";
import { decodeCount, type VerdictCount } from "./maps/counts.js";
import { diff } from "./maps/diff.js";
import { decodeFlow } from "./maps/records.js";
import { type Applied, Store } from "./maps/store.js";
import type { Snapshot } from "./model/pod.js";
import { formatPolicyId } from "./model/policy.js";
import type { Problem } from "./model/problem.js";
import type { OpenSource } from "./model/source.js";
import type { Status, UnknownPods } from "./model/status.js";
import { openNodeWatch } from "./node/watch.js";
import { openKernel, steeringPrograms } from "./openKernel.js";
import { refusedProblems, unseenProblems } from "./passProblems.js";
import { openPodNetworks } from "./podNetworks.js";
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
  /** What the source tells now. */
  snapshot(): Snapshot;
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
  const nameOf = (id: bigint): string => desired?.enrolled.get(id)?.name ?? `cgroup ${id}`;
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
      // With new maps every pod is new, and yet a predecessor has decided over its connections by the maps of its own.
      if (options.resetLeaked && (attached || !datapath.hasOtherMaps)) networks.arrived(added);
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
    onChange: () => reconciler.markDirty(),
    onError: (err) => log.error({ event: "clean-failed", err }, `what is not needed could not go: ${err.message}`),
  });
  const networks = openPodNetworks({
    ...{ native, log, datapath, contract, object, objectName: options.object, bpffs: options.bpffs, nameOf },
    pathOf: (id) => node.pathOf(id),
    onReset: (count) => options.observe?.reset(count),
    onChange: () => reconciler.markDirty(),
  });
  onClose(() => networks.close());
  /** What was wrong in the pods' namespaces at the last pass. */
  let unsteered: readonly Problem[] = [];

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
      const snapshot = source.snapshot();
      desired = desiredState(snapshot, node, store.have, options.compile(snapshot), options.proxyIdentity, known);
      controls.coverDepths([...node.cgroups.values()].map(({ depth }) => depth));
      const ops = diff(store.have, desired.want);
      const { failures } = store.show(ops);
      cleaner.shown(ops, failures);
      if (fills) onFilled();
      const refused = refusedProblems([...failures, ...cleaner.failures], nameOf);
      const wrong = [...desired.problems, ...unseenProblems(node.errors, nameOf), ...refused];
      problems.update([...wrong, ...unsteered]);
      source.report?.(problems.current);
      // The programs are attached when the source has been read; the rest can wait until then.
      if (!fills) return;
      await ready.catch(() => {});
      // Those that are about to go are not among them.
      const pods = new Map([...store.have.pods].filter(([id]) => desired?.want.pods.has(id)));
      const { enrolled, want } = desired;
      unsteered = networks.pass({ pods, namespaces: node.namespaces, policies: want.policies, enrolled });
      problems.update([...wrong, ...unsteered]);
      source.report?.(problems.current);
      node.follow(pods);
      options.observe?.reconciled(Number(options.clock() - begin) / 1e9);
    },
  });

  const node = openNodeWatch({ native, root: options.cgroupRoot, onChange: () => reconciler.markDirty() });
  onClose(() => node.close());
  const source = options.openSource(() => {
    lastEvent = Date.now() / 1e3;
    reconciler.markDirty();
  });
  onClose(() => source.close());

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
    const entered = { pods: pods.size, policies: policies.size, programs: steeringPrograms(datapath) };
    log.info({ event: "ready", adopted, ...entered, at: `${options.clock()}` }, "ready");
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
      unknownPods: controls.unknownPods,
      problems: problems.current,
      maps: store.fill(),
      programs: steeringPrograms(datapath),
    }),
    snapshot: () => source.snapshot(),
    async stop() {
      stopped = true;
      onFilled();
      await reconciler.stop();
      await cleaner.settled();
      close();
    },
  };
}
