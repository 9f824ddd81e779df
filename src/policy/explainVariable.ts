/** Where a variable of the proxy's has its value from: the places of readSettings, in the order in which they win. Pure. */
import type { Mesh } from "../model/mesh.js";
import type { Pod } from "../model/pod.js";
import { proxyConfigKey, variableParsers, variables } from "./annotations.js";
import type { Origin } from "./explainOrigin.js";
import { findProxy, parseProxyMetadata, proxyContainerName } from "./proxy.js";

export const proxyEnvironment = `env of ${proxyContainerName}`;

/** @returns undefined if nobody has set it, or badly, which counts as absent: then the default holds. */
export function variableOrigin(pod: Pod, mesh: Mesh, which: keyof typeof variables): Origin | undefined {
  const name = variables[which];
  const isGood = (text: string): boolean => "value" in variableParsers[which](text);
  const metadata = parseProxyMetadata(pod.annotations.get(proxyConfigKey) ?? "");
  const annotated = "value" in metadata ? metadata.value.get(name) : undefined;
  const inherited = findProxy(pod)?.env.get(name);
  if (annotated !== undefined && isGood(annotated))
    return { rule: `proxyMetadata ${name}=${annotated}`, source: proxyConfigKey };
  if (inherited !== undefined && isGood(inherited)) return { rule: `${name}=${inherited}`, source: proxyEnvironment };
  if (annotated !== undefined || inherited !== undefined) return undefined;
  const meshes = mesh.proxyMetadata.get(name);
  if (meshes === undefined || !isGood(meshes)) return undefined;
  return { rule: `defaultConfig.proxyMetadata ${name}=${meshes}`, source: "MeshConfig" };
}
