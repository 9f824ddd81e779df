/** `shunt demo`: see it work on this machine. */
import { join } from "node:path";
import { type DemoLab, runDemo } from "../demo/demo.js";
import { roleArgv } from "../demo/role.js";
import { shuntArgv } from "../demo/shunt.js";
import { service } from "../demo/steps.js";
import { NodeError } from "../errors.js";
import { parseOptions } from "./options.js";

export const demoHelp = `Usage: shunt demo [--keep]

Makes three pods on this machine (cgroups, network namespaces), a service, a transparent proxy in each pod, and
starts the real agent on a directory of their manifests. Then it edits annotations, the client's and one
workload's, and shows which proxies each next call passes. Exit code 1 if a call goes elsewhere than Istio's
contract says. Nothing is left behind.

  --keep   leave it running at the end, and print commands to try; Ctrl-C takes everything away
`;

function hints({ lab, client, manifests, bpffs }: DemoLab): string {
  const shunt = shuntArgv().join(" ");
  const url = `http://${service.address}:${service.port}/`;
  const asApp = `nsenter --net=${client.netns} setpriv --reuid 1000 --regid 1000 --clear-groups`;
  const call = roleArgv("call", [url]).join(" ");
  const inPod = `sh -c 'echo 0 > ${client.container("app").cgroup}/cgroup.procs; exec ${asApp} ${call}'`;
  return `
It is still running. In another terminal, as root:

  call the service from the client's pod:
    ${inPod}
  edit the annotations of the client, or of a workload (the next call shows the effect):
    \${EDITOR:-vi} ${join(manifests, "client.yaml")}
    \${EDITOR:-vi} ${join(manifests, "helloworld-v1.yaml")}
  ask the agent:
    ${shunt} status --control ${bpffs}.sock
    ${shunt} flows --follow --all --control ${bpffs}.sock
    ${shunt} explain --live --pod demo/client --to ${service.address}:${service.port} --control ${bpffs}.sock --bpffs ${bpffs}
  look at what is in the kernel:
    bpftool cgroup tree ${lab.cgroupRoot}
    ls ${join(bpffs, "shunt")}/*
    ${shunt} doctor --cgroup-root ${lab.cgroupRoot} --bpffs ${bpffs}

Ctrl-C ends it and takes everything away.`;
}

/** @returns whether every call went as the contract says. */
export async function demo(args: readonly string[], print: (text: string) => void): Promise<boolean> {
  const { keep } = parseOptions("demo", args, { keep: { type: "boolean", default: false } });
  if (process.getuid?.() !== 0) throw new NodeError("shunt demo makes cgroups and network namespaces: run it as root");
  const abort = new AbortController();
  const interrupted = new Promise<void>((resolve) =>
    abort.signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  const onSignal = (signal: NodeJS.Signals): void =>
    abort.abort(new Error(`ended by ${signal}; everything was taken away`));
  const onPipe = (error: Error): void =>
    abort.abort(new Error(`nobody reads any more (${error.message}); everything was taken away`));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  // Unheard, it would end the process on the spot.
  process.stdout.once("error", onPipe);
  try {
    let good = true;
    let held = false;
    const hold = async (lab: DemoLab): Promise<void> => {
      print(hints(lab));
      held = true;
      await interrupted;
    };
    try {
      good = await runDemo({ print, signal: abort.signal, ...(keep ? { hold } : {}) });
    } catch (error) {
      if (!held || !abort.signal.aborted) throw error;
    }
    return good;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
    process.stdout.off("error", onPipe);
  }
}
