/**
 * A parsed document that says `kind: Sidecar`, checked as Istio does it before it admits one: the schema of its
 * CRD, then ValidateSidecar (pkg/config/validation, Istio 1.26). A Sidecar that Istio would not admit is left out
 * whole. What Istio only warns of (a selector without labels, the same host twice) is fine here too.
 */
import { isDnsLabel, refuseFqdn, refuseWildcardName } from "./dnsName.js";
import { fieldOf, isAbsent, isRecord, type ShapeReader, shapeReader } from "./documentShape.js";
import { type Problem, shownValue } from "./problem.js";
import { type OutboundTrafficPolicy, outboundModes, type Sidecar, sidecarName } from "./sidecar.js";
import { checkPool } from "./sidecarExtras.js";
import { readEgress, readIngress } from "./sidecarListeners.js";
import { refusePort } from "./sidecarValues.js";

/** Problems of one document that are listed; a document of another shape altogether would have hundreds. */
const listedProblems = 8;
/** Characters: what Kubernetes takes of any name. */
const longestName = 253;
/** Characters of a path that are shown: the keys in it are anybody's. */
const longestPath = 200;

const apiVersions = ["v1", "v1beta1", "v1alpha3"].map((version) => `networking.istio.io/${version}`);

/** Whether a document is for {@link readSidecar}: other groups have kinds of this name too. */
export function isSidecarDocument(document: unknown): boolean {
  const group = fieldOf(document, "apiVersion");
  return (
    fieldOf(document, "kind") === "Sidecar" && typeof group === "string" && group.startsWith("networking.istio.io/")
  );
}

/**
 * @param document any value whatsoever, as YAML or JSON gives it.
 * @param where for messages: `a.yaml:12`.
 * @returns the Sidecar, unless there is any problem. `name` is that of the document, where it can be read: a source
 *   keeps what it knew under it. Never throws.
 */
export function readSidecar(
  document: unknown,
  where: string,
): { readonly sidecar?: Sidecar; readonly name: string | undefined; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const metadata = fieldOf(document, "metadata");
  const [name, given] = [fieldOf(metadata, "name"), fieldOf(metadata, "namespace")];
  const namespace = typeof given === "string" && given !== "" ? given : "default";
  const known = typeof name === "string" && name !== "" ? sidecarName({ namespace, name }) : undefined;
  const read = shapeReader((path, value, why) => {
    if (problems.length === listedProblems) return;
    const name = known === undefined ? [] : [shownValue(known)];
    const key = ["Sidecar", ...name, shownValue(path, longestPath)].join(" ");
    const shown = isAbsent(value) ? "" : shownValue(value);
    problems.push({ kind: "sidecar", where, pod: "", key, value: shown, why: `${why}; the Sidecar is left out` });
  });

  const version = fieldOf(document, "apiVersion");
  if (!apiVersions.some((each) => each === version))
    read.refuse("apiVersion", version, `must be one of ${apiVersions.join(", ")}`);
  if (known === undefined) read.refuse("metadata.name", name, isAbsent(name) ? "missing" : "must be a name");
  for (const [path, text] of [["metadata.name", name] as const, ["metadata.namespace", given] as const])
    if (typeof text === "string" && text.length > longestName)
      read.refuse(path, text, `has ${text.length} characters; at most ${longestName} are allowed`);
  if (!isAbsent(given) && typeof given !== "string") read.refuse("metadata.namespace", given, "must be text");
  const created = readTime(read, fieldOf(metadata, "creationTimestamp"));

  const spec = read.record(fieldOf(document, "spec"), "spec");
  const has = (key: string): boolean => !isAbsent(fieldOf(spec, key));
  const selector = readSelector(read, fieldOf(spec, "workloadSelector"));
  const ingress = readIngress(read, fieldOf(spec, "ingress"));
  const egress = readEgress(read, fieldOf(spec, "egress"));
  const outboundTrafficPolicy = readPolicy(read, fieldOf(spec, "outboundTrafficPolicy"));
  checkPool(read, fieldOf(spec, "inboundConnectionPool"), "spec.inboundConnectionPool");
  const isEmpty = (key: string): boolean => read.list(fieldOf(spec, key), `spec.${key}`).length === 0;
  if (problems.length === 0 && isEmpty("ingress") && isEmpty("egress"))
    if (!has("outboundTrafficPolicy") && !has("inboundConnectionPool"))
      read.refuse("spec", spec, "says nothing: it needs ingress, egress or outboundTrafficPolicy");

  if (problems.length > 0 || typeof name !== "string") return { name: known, problems };
  const sidecar = { namespace, name, created, selector, ingress, egress, outboundTrafficPolicy, where };
  return { sidecar, name: known, problems };
}

/** RFC 3339, as the API server writes it. */
function readTime(read: ShapeReader, value: unknown): number | undefined {
  const path = "metadata.creationTimestamp";
  const text = read.text(value, path);
  if (text === "") return undefined;
  const form = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[-+]\d{2}:\d{2})$/;
  const time = form.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  read.refuse(path, text, "must be a time such as 2024-05-01T12:00:00Z");
  return undefined;
}

function readSelector(read: ShapeReader, value: unknown): ReadonlyMap<string, string> | undefined {
  const path = "spec.workloadSelector";
  const selector = read.record(value, path);
  if (selector === undefined) return undefined;
  const labels = read.texts(fieldOf(selector, "labels"), `${path}.labels`);
  for (const [key, label] of labels) {
    if (key === "") read.refuse(`${path}.labels`, `${key}=${label}`, "a label must have a key");
    if (key.includes("*") || label.includes("*"))
      read.refuse(`${path}.labels.${key}`, label, "* is not supported: write the whole label");
    if (label.length > 63) read.refuse(`${path}.labels.${key}`, label, "a label has at most 63 characters");
  }
  return labels;
}

/** `{}` means REGISTRY_ONLY, which is 0 in Istio's protocol; absent means the mesh's. */
function readPolicy(read: ShapeReader, value: unknown): OutboundTrafficPolicy | undefined {
  const path = "spec.outboundTrafficPolicy";
  const policy = read.record(value, path);
  if (policy === undefined) return undefined;
  const mode = read.choice(fieldOf(policy, "mode"), `${path}.mode`, outboundModes) ?? "REGISTRY_ONLY";
  const proxy = read.record(fieldOf(policy, "egressProxy"), `${path}.egressProxy`);
  if (proxy === undefined) return { mode, egressProxy: undefined };
  const at = `${path}.egressProxy`;
  if (mode !== "ALLOW_ANY") read.refuse(at, proxy, "is for the mode ALLOW_ANY alone");
  const host = read.text(fieldOf(proxy, "host"), `${at}.host`);
  const bad = refuseFqdn(host) ?? refuseWildcardName(host);
  if (bad !== undefined) read.refuse(`${at}.host`, host, bad);
  const port = fieldOf(proxy, "port");
  const number = read.integer(fieldOf(read.record(port, `${at}.port`), "number"), `${at}.port.number`);
  if (isAbsent(port)) read.refuse(`${at}.port`, undefined, "missing");
  else if (isRecord(port) && refusePort(number ?? 0) !== undefined)
    read.refuse(`${at}.port.number`, number, "a port is 1 to 65535");
  const subset = read.text(fieldOf(proxy, "subset"), `${at}.subset`);
  if (subset !== "" && !isDnsLabel(subset)) read.refuse(`${at}.subset`, subset, "must be a DNS label");
  return { mode, egressProxy: host };
}
