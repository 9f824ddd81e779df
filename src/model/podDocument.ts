/**
 * A parsed document that says `kind: Pod`, checked. Unknown fields are ignored, as Kubernetes adds some every
 * release. A field of the wrong type that decides over capture leaves the whole pod out, because a pod read
 * without its containers would look as if it wanted no capture; the source then keeps what it knew before.
 */
import type { Container, Pod } from "./pod.js";
import { type Problem, shownValue } from "./problem.js";
import {
  anything,
  boolean,
  check,
  type Issue,
  integer,
  list,
  object,
  optional,
  record,
  type Shape,
  type Shaped,
  string,
  text,
  upTo,
} from "./shape.js";

/** On the object that stands for a static pod: kubelet made the pod before the API server knew of it, under this uid. */
const mirrorKey = "kubernetes.io/config.mirror";

/** Problems of one document that are listed; a document of another shape altogether would have hundreds. */
const listedProblems = 8;

/** Characters: what Kubernetes takes of any name. */
const longestName = 253;
/** Characters of all annotations of a pod, keys included: what Kubernetes takes (in bytes; validation.TotalAnnotationSizeLimitB). */
const longestAnnotations = 256 * 1024;

/** What Kubernetes accepts: 0 to 2^31 - 1. */
const id = optional(integer(0, 0x7fffffff));
const securityContext = optional(object({ runAsUser: id, runAsGroup: id }));

const containerShape = object({
  name: text,
  args: list(anything),
  env: list(object({ name: text, value: anything })),
  securityContext,
  restartPolicy: optional(string),
});

const podShape = object({
  metadata: object({
    uid: upTo(longestName, text),
    name: upTo(longestName, text),
    namespace: optional(upTo(longestName, string)),
    labels: record,
    annotations: record,
  }),
  spec: optional(
    object({
      hostNetwork: optional(boolean),
      securityContext,
      containers: list(containerShape),
      initContainers: list(containerShape),
    }),
  ),
  status: anything,
});

/** The status is not the author's: what of it cannot be read is as if it were not there yet. */
const containerStatus = object({ name: text, containerID: text, state: object({ running: object({}) }) });
const podIp = object({ ip: text });

/**
 * @param document any value whatsoever, as YAML or JSON gives it.
 * @param where for messages: `a.yaml:12`.
 * @returns the pod unless a problem keeps it from being read. A value that is not text where text belongs
 *   (`5000` without quotes) is a problem of that value alone. Never throws.
 */
export function readPod(document: unknown, where: string): { pod?: Pod; problems: Problem[] } {
  const checked = check(podShape, document);
  if (!("value" in checked)) return { problems: documentProblems(checked.issues, document, where) };
  const { metadata, spec, status } = checked.value;
  const size = annotationsSize(metadata.annotations);
  if (size > longestAnnotations) {
    const why = `have ${size} characters; at most ${longestAnnotations} are allowed`;
    return { problems: documentProblems([{ path: "metadata.annotations", value: "", why }], document, where) };
  }
  const namespace = metadata.namespace || "default";
  const problems: Problem[] = [];
  const report = (kind: Problem["kind"], key: string, value: unknown, why: string): void => {
    problems.push({ kind, where, pod: `${namespace}/${metadata.name}`, key, value: shownValue(value), why });
  };

  const labels = texts(metadata.labels, (key, value) =>
    report("pod", `label ${key}`, value, `${mend(value)}; it is left out`),
  );
  const badAnnotations = new Set<string>();
  const annotations = texts(metadata.annotations, (key, value) => {
    badAnnotations.add(key);
    report("annotation", key || "(an empty key)", value, `${mend(value)}; it is left out`);
  });

  const readContainer = (field: string) => {
    return (container: Shaped<typeof containerShape>): Container => {
      const scalar = (what: string, value: unknown): string => {
        if (typeof value === "string") return value;
        report("pod", `spec.${field} ${container.name} ${what}`, value, mend(value));
        return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
      };
      const literal = container.env.filter((entry) => entry.value !== undefined && entry.value !== null);
      return {
        name: container.name,
        args: container.args.map((arg) => scalar("args", arg)),
        env: new Map(literal.map((entry) => [entry.name, scalar(`env ${entry.name}`, entry.value)])),
        runAsUser: container.securityContext?.runAsUser ?? spec?.securityContext?.runAsUser,
        runAsGroup: container.securityContext?.runAsGroup ?? spec?.securityContext?.runAsGroup,
        sidecar: field === "initContainers" && container.restartPolicy === "Always",
      };
    };
  };

  const pod: Pod = {
    uid: metadata.uid,
    cgroupUid: annotations.get(mirrorKey) || metadata.uid,
    namespace,
    name: metadata.name,
    labels,
    annotations,
    badAnnotations,
    hostNetwork: spec?.hostNetwork ?? false,
    containers: (spec?.containers ?? []).map(readContainer("containers")),
    initContainers: (spec?.initContainers ?? []).map(readContainer("initContainers")),
    addresses: readable(status, "podIPs", podIp).map(({ ip }) => ip),
    containerIds: new Map(
      [
        ...readable(status, "initContainerStatuses", containerStatus),
        ...readable(status, "containerStatuses", containerStatus),
      ].map(({ name, containerID }) => [name, containerID.replace(/^[^/]*:\/\//, "")]),
    ),
    where,
  };
  return { pod, problems };
}

function annotationsSize(annotations: Readonly<Record<string, unknown>>): number {
  let size = 0;
  for (const [key, value] of Object.entries(annotations))
    size += key.length + (typeof value === "string" ? value.length : 0);
  return size;
}

/** The entries whose value is text; `bad` hears of the others. */
function texts(
  from: Readonly<Record<string, unknown>>,
  bad: (key: string, value: unknown) => void,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(from)) {
    if (typeof value === "string") found.set(key, value);
    else bad(key, value);
  }
  return found;
}

function mend(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return `not text: put it in quotes, "${value}"`;
  if (value === null || value === undefined) return 'not text: it has no value; write "" for an empty one';
  return "not text: put it in quotes";
}

/** The items of a list in the status that have the form. */
function readable<T>(status: unknown, field: string, shape: Shape<T>): T[] {
  if (typeof status !== "object" || status === null) return [];
  const items: unknown = (status as Record<string, unknown>)[field];
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: unknown) => {
    const checked = check(shape, item);
    return "value" in checked ? [checked.value] : [];
  });
}

function documentProblems(issues: readonly Issue[], document: unknown, where: string): Problem[] {
  const named = check(object({ metadata: object({ name: text, namespace: optional(anything) }) }), document);
  const { name, namespace } = "value" in named ? named.value.metadata : { name: "", namespace: "" };
  const pod = name === "" ? "" : `${typeof namespace === "string" && namespace !== "" ? namespace : "default"}/${name}`;
  return issues.slice(0, listedProblems).map(({ path, value, why }) => {
    const missing = value === undefined || value === null;
    return {
      kind: "document",
      where,
      pod,
      key: path || "document",
      value: missing ? "" : shownValue(value),
      why: `${missing ? "missing" : why}: the pod is left out`,
    };
  });
}
