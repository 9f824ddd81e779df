/** When a pod's inbound side is in the kernel: some milliseconds after its policy, with its first process. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { artifact } from "../kernel/artifact.js";
import { pinDirectory } from "../kernel/datapath.js";
import { inboundDirectory } from "../kernel/inbound.js";
import { native } from "../kernel/native.js";
import { bindContract } from "../maps/contract.js";

/** How many sockets of proxies inbound connections can be steered to. */
function listeners(bpffs: string): number {
  const path = artifact("shunt.bpf.o");
  const { hash } = bindContract(native().readBtf(readFileSync(path), path));
  const map = native().openPinnedMap(join(pinDirectory(bpffs), `maps-${hash}`, "listeners"));
  try {
    return map.entries().count;
  } finally {
    map.close();
  }
}

/**
 * Polls until each pod's namespace has its program, and the proxies' sockets are known.
 * @param pods by cgroup id. @param sockets of all their proxies.
 * @throws Error after `within` ms; what `signal` was aborted with.
 */
export async function untilCaptured(
  bpffs: string,
  pods: readonly { readonly cgroupId: bigint }[],
  sockets: number,
  { within = 60_000, signal }: { readonly within?: number; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const directory = inboundDirectory(bpffs);
  const end = performance.now() + within;
  for (;;) {
    signal?.throwIfAborted();
    const pins = existsSync(directory) ? readdirSync(directory) : [];
    const attached = pods.filter(({ cgroupId }) => pins.some((name) => name.startsWith(`${cgroupId}-`))).length;
    const known = attached < pods.length ? 0 : listeners(bpffs);
    if (attached === pods.length && known >= sockets) return;
    if (performance.now() > end) {
      const have = `${attached} of ${pods.length} pods, ${known} of ${sockets} listeners`;
      throw new Error(`inbound connections are not captured in ${within} ms: ${have}`);
    }
    await sleep(5);
  }
}
