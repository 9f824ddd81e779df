/**
 * What the agent does in the pods' network namespaces, beside the maps and after them: what arrives is steered, the proxy
 * can bind ::6, and what has leaked around it ends.
 */
import { openInboundKeeper } from "./inbound.js";
import type { Datapath } from "./kernel/datapath.js";
import { openInbound } from "./kernel/inbound.js";
import type { Native } from "./kernel/native.js";
import { openLeaks, type PodsView } from "./leaks.js";
import type { Logger } from "./log.js";
import type { Contract } from "./maps/contract.js";
import { u64 } from "./maps/layout.js";
import type { Problem } from "./model/problem.js";
import { processInNamespace } from "./node/namespace.js";
import { openPassthrough, passthrough6 } from "./passthrough.js";

export interface PodNetworksOptions {
  readonly native: Native;
  readonly log: Logger;
  readonly datapath: Datapath;
  readonly contract: Contract;
  /** The object file. */
  readonly object: Uint8Array;
  readonly objectName: string;
  readonly bpffs: string;
  /** Path of a pod's cgroup; undefined once it is gone. */
  pathOf(pod: bigint): string | undefined;
  nameOf(pod: bigint): string;
  /** Connections that were ended. */
  onReset(count: number): void;
  /** Another pass is to be made. */
  onChange(): void;
}

export interface PodNetworks {
  /** These pods have a policy in the kernel for the first time, and what they have connected to before may have leaked. */
  arrived(pods: readonly bigint[]): void;
  /** Call it when the pods' records are in the kernel. @returns what is wrong now. */
  pass(view: PodsView): readonly Problem[];
  close(): void;
}

export function openPodNetworks(options: PodNetworksOptions): PodNetworks {
  const { native, log, datapath, contract, pathOf, nameOf, onChange } = options;
  const findProcess = (pod: bigint, netns: string): number | undefined => processInNamespace(pathOf(pod) ?? "", netns);
  let again: NodeJS.Timeout | undefined;

  const inbound = openInbound({
    ...{ native, object: options.object, objectName: options.objectName, bpffs: options.bpffs },
    ...{ maps: datapath.maps, encode: u64.encode },
    findProcess: ({ pod, netns }) => findProcess(pod, netns),
  });
  const keeper = openInboundKeeper({ inbound, datapath, contract, pathOf, nameOf });
  const passthrough = openPassthrough({
    add: (pid, netns) =>
      native.addLoopbackAddress(`/proc/${pid}/ns/net`, passthrough6.bytes, Number(/\d+/.exec(netns)?.[0])),
    ...{ findProcess, nameOf, onChange },
  });
  const leaks = openLeaks({
    ...{ native, pathOf, findProcess, nameOf, onChange },
    onReset(pod, count, to) {
      options.onReset(count);
      log.info({ event: "reset", pod: nameOf(pod), count, to }, `${count} connections around the proxy were reset`);
    },
  });

  return {
    arrived: (pods) => leaks.arrived(pods),
    pass(view) {
      const { pods, namespaces, enrolled } = view;
      const steered = keeper.pass(pods, namespaces, enrolled);
      clearTimeout(again);
      if (steered.again !== undefined) again = setTimeout(onChange, steered.again).unref();
      return [...steered.problems, ...passthrough.pass(pods, namespaces), ...leaks.pass(view)];
    },
    close() {
      clearTimeout(again);
      leaks.close();
    },
  };
}
