/** A lab with the programs attached to it and the maps in the test's own hands: no agent in between. */
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { type Flow, readFlow } from "../../src/events/flows.js";
import { artifact } from "../../src/kernel/artifact.js";
import { type Datapath, openDatapath } from "../../src/kernel/datapath.js";
import { type InboundTarget, openInbound } from "../../src/kernel/inbound.js";
import { ensureBpffs, releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { bindContract, type Contract } from "../../src/maps/contract.js";
import { readCounters, readVerdicts, type VerdictCount } from "../../src/maps/counts.js";
import { diff } from "../../src/maps/diff.js";
import { u64 } from "../../src/maps/layout.js";
import { decodeFlow } from "../../src/maps/records.js";
import type { PodState } from "../../src/maps/state.js";
import { Store } from "../../src/maps/store.js";
import type { Policy } from "../../src/model/policy.js";
import { processInNamespace } from "../../src/node/namespace.js";
import { address, podState } from "../samples.js";

export interface Bed {
  readonly lab: Lab;
  readonly bpffs: string;
  readonly datapath: Datapath;
  readonly contract: Contract;
  readonly store: Store;
  /** Everything that the ring has brought, in order. */
  readonly flows: Flow[];
  /** Gives pods their policies; pods that are not named keep theirs. @throws Error if the kernel refused anything. */
  enrol(pods: readonly (readonly [LabPod, Policy, Partial<PodState>?])[]): Promise<void>;
  /** Attaches the inbound program to these pods, and to no others. A process has to run in each. @throws as the kernel does. */
  steerInbound(...pods: readonly LabPod[]): void;
  verdicts(pod: LabPod): VerdictCount[];
  counters(): ReadonlyMap<string, bigint>;
  /** 0 no flows, 1 all. */
  sampleFlows(interval: number): void;
  close(): Promise<void>;
}

export async function openBed(kind: string): Promise<Bed> {
  const addon = native();
  const lab = await openLab({ kind });
  const bpffs = join(lab.directory, "bpf");
  const objectName = artifact("shunt.bpf.o");
  const object = readFileSync(objectName);
  const contract = bindContract(addon.readBtf(object, objectName));
  let datapath: Datapath | undefined;
  const close = async (): Promise<void> => {
    ring?.close();
    datapath?.close();
    await unload(addon, bpffs);
    releaseBpffs(addon, bpffs);
    await lab.close();
  };
  let ring: ReturnType<typeof addon.openRing> | undefined;
  try {
    mkdirSync(bpffs);
    ensureBpffs(addon, bpffs);
    const host = await addon.inspectNetns("/proc/self/ns/net");
    datapath = openDatapath({
      native: addon,
      object,
      objectName,
      layout: contract.hash,
      bpffs,
      cgroupRoot: lab.cgroupRoot,
      hostNetnsCookie: u64.encode(host.cookie),
    });
    const { maps } = datapath;
    const store = new Store({ maps, contract, gracePeriod: () => addon.gracePeriod() });
    const { level } = contract.cgroupPlace.decode(datapath.cgroupPlace(lab.cgroupRoot));
    maps.controls.store(0, contract.control.offset("first_level"), BigInt(level + 1));
    maps.controls.store(0, contract.control.offset("pod_levels"), 0b11n);
    datapath.attach();
    const inbound = openInbound({
      ...{ native: addon, object, objectName, bpffs, maps, encode: u64.encode },
      findProcess: ({ pod, netns }) => {
        const found = lab.pods.find(({ cgroupId }) => cgroupId === pod);
        return found && processInNamespace(found.cgroup, netns);
      },
    });
    const flows: Flow[] = [];
    ring = addon.openRing(maps.flows, (records) => {
      for (const record of records) flows.push(readFlow(decodeFlow(contract, record)));
    });
    return {
      lab,
      bpffs,
      datapath,
      contract,
      store,
      flows,
      close,
      async enrol(wanted) {
        const pods = new Map<bigint, PodState>(store.have.pods);
        const policies = new Map<bigint, Policy>();
        for (const [pod, content, changes] of wanted) {
          const { cookie } = await addon.inspectNetns(pod.netns);
          const own = address(pod.address);
          const known = { netnsCookie: cookie, ipv4: own, localAddresses: [own], ...changes };
          pods.set(pod.cgroupId, podState(pod.cgroupId, content.id, known));
          policies.set(content.id, content);
        }
        const { failures } = await store.apply(diff(store.have, { pods, policies }));
        if (failures[0] !== undefined) throw failures[0].error;
      },
      steerInbound(...pods) {
        const targets = pods.map((pod): InboundTarget => {
          const netns = `net:[${statSync(pod.netns).ino}]`;
          return { pod: pod.cgroupId, netnsCookie: store.have.pods.get(pod.cgroupId)?.netnsCookie ?? 0n, netns };
        });
        const { failures, more } = inbound.sync(targets, new Set());
        for (const [, error] of failures) throw error;
        if (more) throw new Error("not all were attached");
      },
      verdicts: (pod) => readVerdicts(maps.verdicts, contract).filter((count) => count.pod === pod.cgroupId),
      counters: () => readCounters(maps.counters, contract),
      sampleFlows: (interval) => maps.controls.store(0, contract.control.offset("flow_interval"), BigInt(interval)),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Polls until it holds. @throws Error after `deadline` ms, saying what was waited for. */
export async function until(what: string, condition: () => boolean, deadline = 60_000): Promise<void> {
  const end = Date.now() + deadline;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${deadline} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A program of the tests, from its source. */
export function script(name: string, ...args: readonly string[]): [string, ...string[]] {
  return [process.execPath, "--import", import.meta.resolve("tsx"), new URL(name, import.meta.url).pathname, ...args];
}
