/** Which source `shunt run` has: a directory of manifests, or a cluster by a kubeconfig file or by the pod's own account. */
import { hostname } from "node:os";
import { UsageError } from "../errors.js";
import type { Native } from "../kernel/native.js";
import type { Logger } from "../log.js";
import type { OpenSource } from "../model/source.js";
import { accessTo, isInCluster } from "../source/kubernetes/access.js";
import { openClient } from "../source/kubernetes/client.js";
import { openKubernetes } from "../source/kubernetes/source.js";
import { defaultTimes } from "../source/kubernetes/times.js";
import { openManifests } from "../source/manifests.js";
import { version } from "../version.js";

/** Where Istio's own configuration is, unless the mesh was installed elsewhere. */
const rootNamespace = "istio-system";

export type SourceChoice =
  | { readonly manifests: string }
  | { readonly kubeconfig: string | undefined; readonly node: string };

export interface SourceFlags {
  readonly manifests?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly "node-name"?: string | undefined;
}

/** @throws UsageError if the flags name no source, or two. */
export function chooseSource(flags: SourceFlags, env: NodeJS.ProcessEnv, inCluster = isInCluster(env)): SourceChoice {
  const { manifests, kubeconfig } = flags;
  if (manifests !== undefined && kubeconfig !== undefined) {
    throw new UsageError("shunt run: --manifests and --kubeconfig are two sources: give one of them");
  }
  if (manifests !== undefined) return { manifests };
  if (kubeconfig === undefined && !inCluster) {
    throw new UsageError(
      'shunt run: --manifests DIR or --kubeconfig F is needed outside of a cluster. See "shunt run --help".',
    );
  }
  return { kubeconfig, node: flags["node-name"] || env["NODE_NAME"] || hostname() };
}

/** Opens what was chosen when the agent asks for it. @param inotify of the native addon. */
export function sourceOpener(choice: SourceChoice, inotify: Native["openInotify"], log: Logger): OpenSource {
  if ("manifests" in choice) {
    return (onChange) =>
      openManifests({ directory: choice.manifests, openInotify: (onEvents) => inotify(onEvents), onChange });
  }
  const { kubeconfig, node } = choice;
  const name = `${kubeconfig === undefined ? "the cluster" : `kubeconfig ${kubeconfig}`}, node ${node}`;
  log.info({ event: "source", source: name, node }, name);
  const client = openClient(accessTo(kubeconfig), `shunt/${version}`);
  const onNote = (level: "info" | "warn", text: string): void => log[level]({ event: "cluster" }, text);
  return (onChange) => openKubernetes({ client, node, rootNamespace, name, times: defaultTimes, onChange, onNote });
}
