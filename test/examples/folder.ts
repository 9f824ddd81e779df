/** A folder of deploy/examples: its documents, what is expected of them, its README. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import { readConfigFile } from "../../src/cli/config.js";
import type { Pod, Snapshot } from "../../src/model/pod.js";
import { podName } from "../../src/model/pod.js";
import { check, list, object, optional, string, text } from "../../src/model/shape.js";
import { type Verdict, verdicts } from "../../src/model/verdict.js";
import { noConfig, policyOptions } from "../../src/policy/config.js";
import type { PolicyOptions } from "../../src/policy/podPolicy.js";
import { openManifests } from "../../src/source/manifests.js";

export const root = fileURLToPath(new URL("../../", import.meta.url));
const examples = join(root, "deploy/examples");

/** One question to a pod, and the answer. */
export interface Expectation {
  /** `namespace/name`. */
  readonly pod: string;
  /** `app` or `proxy`; of an outbound one. */
  readonly as: string;
  /** What the socket is bound to; "" if to nothing. */
  readonly from: string;
  /** `address:port`; "" of an inbound one. */
  readonly to: string;
  /** Port; "" of an outbound one. */
  readonly inbound: string;
  readonly verdict: Verdict;
  readonly reason: string;
  /** Where it is redirected to; "" of others. */
  readonly proxy: string;
  /** `none` where no socket of the pod listens at the port but the proxy's. */
  readonly listener: string;
}

export interface Folder {
  readonly name: string;
  readonly path: string;
  /** Names of the files that an agent reads. */
  readonly manifests: readonly string[];
  readonly snapshot: Snapshot;
  readonly options: PolicyOptions;
  /** Path of the settings for the whole mesh, if it has any. */
  readonly config: string | undefined;
  readonly expectations: readonly Expectation[];
  /** Parts of the problems that the folder makes, each of one. */
  readonly problems: readonly string[];
  readonly readme: string;
}

const shape = object({
  decisions: list(
    object({
      pod: text,
      as: optional(string),
      from: optional(string),
      to: optional(string),
      inbound: optional(string),
      verdict: text,
      reason: text,
      proxy: optional(string),
      listener: optional(string),
    }),
  ),
  problems: list(text),
});

/** @throws Error for anything that is missing or does not fit together: an example without expectations is none. */
export function readExpectations(
  yaml: string,
  pods: readonly Pod[],
): { expectations: Expectation[]; problems: readonly string[] } {
  const checked = check(shape, load(yaml));
  if ("issues" in checked) throw new Error(checked.issues.map(({ path, why }) => `${path}: ${why}`).join("; "));
  const { decisions, problems } = checked.value;
  const expectations = decisions.map((each): Expectation => {
    const verdict = verdicts.find((one) => one === each.verdict);
    const { as = "app", from = "", to = "", inbound = "", proxy = "", listener = "" } = each;
    const whole = { ...each, as, from, to, inbound, proxy, listener };
    const fail = (why: string): never => {
      throw new Error(`${JSON.stringify(each)}: ${why}`);
    };
    if (verdict === undefined) return fail("no such verdict");
    if ((to === "") === (inbound === "")) fail("either to or inbound");
    if ((verdict === "redirect") !== (proxy !== "")) fail("a redirect, and no other verdict, leads to the proxy");
    if (!["", "none"].includes(listener)) fail("listener is none, or left out");
    if (!pods.some((pod) => podName(pod) === each.pod)) fail("no such pod");
    return { ...whole, verdict };
  });
  const silent = pods.filter((pod) => !expectations.some((each) => each.pod === podName(pod))).map(podName);
  if (pods.length === 0) throw new Error("no pods");
  if (silent.length > 0) throw new Error(`nothing is expected of ${silent.join(", ")}`);
  return { expectations, problems };
}

/** Nothing is watched: one look is enough. */
const unwatched = { add: () => -1, remove() {}, unref() {}, ref() {}, close() {} };

export function folderNames(): string[] {
  return readdirSync(examples, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** The test file that a folder belongs to: several run at once, each with an agent of its own. Every folder has one. */
export function groupOf(name: string): "ingress" | "egress" | "sidecar" | "other" {
  if (name.startsWith("ingress-")) return "ingress";
  if (name.startsWith("egress-")) return "egress";
  return /^(?:sidecar|policy)-/.test(name) ? "sidecar" : "other";
}

/** @throws Error if anything is missing in it. */
export function readFolder(name: string): Folder {
  const path = join(examples, name);
  const read = (file: string): string => readFileSync(join(path, file), "utf8");
  const source = openManifests({ directory: path, openInotify: () => unwatched, onChange() {} });
  const snapshot = source.snapshot();
  source.close();
  const { expectations, problems } = readExpectations(read("expect.yaml"), snapshot.pods);
  const config = existsSync(join(path, "config.yaml")) ? join(path, "config.yaml") : undefined;
  return {
    name,
    path,
    manifests: readdirSync(path).filter(
      (file) => /\.yaml$/.test(file) && !["expect.yaml", "config.yaml"].includes(file),
    ),
    snapshot,
    options: policyOptions(noConfig, readConfigFile("explain", config)),
    config,
    expectations,
    problems,
    readme: read("README.md"),
  };
}
