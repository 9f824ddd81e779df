/** Istio's golden files and the configurations that made them. */
import { readFileSync } from "node:fs";
import { baseConfig, type CaptureConfig, type CniPod, cniConfig } from "./config.js";

export interface Golden {
  readonly name: string;
  /** The file's content. */
  readonly text: string;
  readonly config: CaptureConfig;
  /** Of the cases that are made of a pod's annotations. */
  readonly pod: CniPod | undefined;
}

interface Case extends Partial<CniPod> {
  readonly rules: string;
  readonly config?: Partial<CaptureConfig>;
}

const directory = new URL("istio/", import.meta.url);

export function readGoldens(): Golden[] {
  const { base_config, cases } = JSON.parse(readFileSync(new URL("cases.json", directory), "utf8")) as {
    base_config: Partial<CaptureConfig>;
    cases: Record<string, Case>;
  };
  return Object.entries(cases).map(([name, { rules, config, annotations, ...rest }]) => {
    const pod = annotations && { annotations, ...rest };
    return {
      name,
      text: readFileSync(new URL(rules, directory), "utf8"),
      config: pod ? cniConfig(pod) : { ...baseConfig, ...base_config, ...config },
      pod,
    };
  });
}
