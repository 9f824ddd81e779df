/** The pod that the real agent steers, by its manifest alone. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startAgentProcess } from "../../src/demo/agentProcess.js";
import { writeManifest } from "../../src/demo/manifests.js";
import { shuntArgv } from "../../src/demo/shunt.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { baseConfig, type CniPod } from "./config.js";
import { manifestOf, podOf } from "./manifest.js";
import { type Surroundings, surroundingsText } from "./sidecar.js";
import type { Site } from "./site.js";

export interface Steered {
  /** The pod's manifest is to say this; resolves when the kernel goes by it. @returns the file: one edit changes all. */
  apply(settings: CniPod, surroundings?: Surroundings): Promise<string>;
  /** Ends the agent and removes what it has put into the kernel. The site stays. @throws Error if something stays. */
  close(): Promise<void>;
}

/** Unlike every configuration that is compared, so that the next one is certainly another policy, and is announced. */
const between = podOf({ ...baseConfig, OutboundPortsExclude: "64999" });

export async function openShunt(site: Site): Promise<Steered> {
  const { lab, pod } = site;
  const manifests = join(lab.directory, "manifests");
  const bpffs = join(lab.directory, "bpf");
  mkdirSync(manifests);
  const agent = startAgentProcess({ shunt: shuntArgv(), manifests, cgroupRoot: lab.cgroupRoot, bpffs });
  const close = async (): Promise<void> => {
    await agent.stop("SIGKILL");
    const { held } = await unload(native(), bpffs);
    releaseBpffs(native(), bpffs);
    if (held.length > 0) throw new Error(`still in the kernel: ${held.join(", ")}`);
  };
  const write = async (settings: CniPod, surroundings?: Surroundings): Promise<string> => {
    const around = surroundings === undefined ? "" : surroundingsText(surroundings);
    const text = manifestOf(pod, settings) + around;
    const from = agent.events.length;
    await writeManifest(manifests, "pod.yaml", text);
    await agent.waitFor(({ event }) => event === "policy", from, 60_000);
    return text;
  };
  try {
    await agent.waitFor(({ event }) => event === "ready", 0, 180_000);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async apply(settings, surroundings) {
      await write(between);
      return write(settings, surroundings);
    },
    close,
  };
}
