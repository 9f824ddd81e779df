/** `shunt wait`: inside a pod, until the pod is captured. */
import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../errors.js";
import { originalDestination } from "../kernel/originalDestination.js";
import { parsePort } from "../policy/values.js";
import { type Finding, listensHere, probeCapture } from "./captureProbe.js";
import { parseOptions } from "./options.js";

export const waitHelp = `Usage: shunt wait [--timeout S]

Returns once this pod is captured: an init container before istio-proxy, so that no container of the pod starts
before its connections are steered. Run it as the proxy's user (runAsUser and runAsGroup 1337, unless
istio-proxy has others; 0 counts as 1337); it needs no privileges and no mounts. Exit code 1 if the pod is not
captured in time.

It does what istio-validation does: it listens where the proxy will listen, connects from 127.0.0.1 to
127.0.0.6:15002, where nobody listens, and looks where the connection arrives and what it was meant for. If a
proxy has the port already, it is enough that the proxy takes the connection; where the agent knows proxies by
their cgroup (--proxy-identity=cgroup), that holds inside the proxy's own container only.

  --timeout S         seconds (default: 30); 0 tries once
  --outbound-port P   where the proxy listens for outbound connections (default: 15001)
  --inbound-port P    where the proxy listens for inbound connections (default: 15006)
`;

const target = { address: "127.0.0.6", port: 15002 } as const;
const source = "127.0.0.1";
/** ms from one attempt to the next: an init container holds up its pod. */
const pause = 100;

/**
 * Tries again until the pod is captured or the time is over; at least once.
 * @param timeout ms.
 * @returns the last finding.
 */
export async function untilCaptured(probe: () => Promise<Finding>, timeout: number): Promise<Finding> {
  const end = performance.now() + timeout;
  for (;;) {
    const finding = await probe();
    if (finding.captured || performance.now() + pause > end) return finding;
    await sleep(pause);
  }
}

/** @throws UsageError */
function parseProxyPort(option: string, text: string): number {
  const port = parsePort(text);
  if ("value" in port && port.value > 0) return port.value;
  throw new UsageError(`shunt wait: ${option} ${text} is not a port to listen on: 1 to 65535`);
}

/** @throws UsageError; Error, in one sentence with what was seen, if the pod is not captured in time. */
export async function wait(args: readonly string[], print: (text: string) => void): Promise<void> {
  const values = parseOptions("wait", args, {
    timeout: { type: "string", default: "30" },
    "outbound-port": { type: "string", default: "15001" },
    "inbound-port": { type: "string", default: "15006" },
  });
  if (!/^\d+(\.\d+)?$/.test(values.timeout)) {
    throw new UsageError(`shunt wait: --timeout ${values.timeout} is not a number of seconds`);
  }
  const at = (option: "--outbound-port" | "--inbound-port", text: string) => ({
    address: source,
    port: parseProxyPort(option, text),
  });
  const listeners = [
    at("--inbound-port", values["inbound-port"]),
    at("--outbound-port", values["outbound-port"]),
  ] as const;
  const began = performance.now();
  const probe = (): Promise<Finding> =>
    probeCapture({ listeners, target, source, patience: 1000, originalDestination, listens: listensHere });
  const { captured, saw } = await untilCaptured(probe, Number(values.timeout) * 1000);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const what = `a connection to ${target.address}:${target.port} ${saw}`;
  if (captured) return print(`captured after ${seconds} s: ${what}`);
  const ids = `uid ${process.getuid?.()} and gid ${process.getgid?.()}`;
  throw new Error(
    `not captured after ${seconds} s: ${what}. Is the pod enrolled, the agent of its node ready, and the proxy's user the one that this ran as (${ids})?`,
  );
}
