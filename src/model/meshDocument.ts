/**
 * The ConfigMap `istio`, whose `data.mesh` is a MeshConfig as YAML. istiod keeps the old one as a whole if a value is
 * bad; so does a source that knew a better one. Where there was none, what is bad counts as what captures most.
 */
import { loadAll } from "js-yaml";
import { fieldOf, isAbsent, isRecord, shapeReader } from "./documentShape.js";
import { closedMesh, defaultMesh, type Mesh } from "./mesh.js";
import { type Problem, shownValue } from "./problem.js";
import { outboundModes } from "./sidecar.js";

/** Problems of one document that are listed, and characters of a path: the keys in it are anybody's. */
const listedProblems = 8;
const longestPath = 200;

/** Whether a document is for {@link readMesh}: other ConfigMaps are none of ours. */
export function isMeshDocument(document: unknown): boolean {
  if (fieldOf(document, "kind") !== "ConfigMap") return false;
  return (
    fieldOf(fieldOf(document, "metadata"), "name") === "istio" && !isAbsent(fieldOf(fieldOf(document, "data"), "mesh"))
  );
}

/**
 * @param document one that {@link isMeshDocument}.
 * @param where for messages: `a.yaml:12`.
 * @returns what stands in where nothing better is known, if there are problems. Never throws.
 */
export function readMesh(
  document: unknown,
  where: string,
): { readonly mesh: Mesh; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const given = fieldOf(fieldOf(document, "metadata"), "namespace");
  const namespace = typeof given === "string" && given !== "" ? given : "default";
  const read = shapeReader((path, value, why) => {
    if (problems.length === listedProblems) return;
    const key = `MeshConfig ${shownValue(path, longestPath)}`;
    problems.push({ kind: "mesh", where, pod: "", key, value: isAbsent(value) ? "" : shownValue(value), why });
  });
  const closed: Mesh = { ...closedMesh, namespace, where };

  const text = read.text(fieldOf(fieldOf(document, "data"), "mesh"), "data.mesh");
  let config: unknown;
  try {
    config = loadAll(text, { maxAliases: 100 })[0];
  } catch (error) {
    read.refuse("data.mesh", undefined, `not YAML: ${shownValue((error as Error).message.split("\n")[0], 200)}`);
  }
  if (problems.length > 0) return { mesh: closed, problems };
  if (!isAbsent(config) && !isRecord(config)) {
    read.refuse("data.mesh", config, "not a YAML mapping");
    return { mesh: closed, problems };
  }

  const policy = fieldOf(config, "outboundTrafficPolicy");
  // As in a Sidecar: a policy without a mode has Istio's value 0.
  const mode = read.choice(
    fieldOf(read.record(policy, "outboundTrafficPolicy"), "mode"),
    "outboundTrafficPolicy.mode",
    outboundModes,
  );
  const rootNamespace = read.text(fieldOf(config, "rootNamespace"), "rootNamespace");
  const defaultConfig = read.record(fieldOf(config, "defaultConfig"), "defaultConfig");
  const mesh: Mesh = {
    outboundMode: isAbsent(policy) ? defaultMesh.outboundMode : (mode ?? "REGISTRY_ONLY"),
    rootNamespace: rootNamespace === "" ? defaultMesh.rootNamespace : rootNamespace,
    proxyMetadata: read.texts(fieldOf(defaultConfig, "proxyMetadata"), "defaultConfig.proxyMetadata"),
    namespace,
    where,
  };
  return { mesh, problems };
}
