/**
 * A parsed document that says `kind: Pod`, checked. Unknown fields are ignored, as Kubernetes adds some every
 * release. A field of the wrong type that decides over capture leaves the whole pod out, because a pod read
 * without its containers would look as if it wanted no capture; the source then keeps what it knew before.
 */
import { z } from "zod";
import type { Container, Pod } from "./pod.js";
import { type Problem, shownValue } from "./problem.js";

/** On the object that stands for a static pod: kubelet made the pod before the API server knew of it, under this uid. */
const mirrorKey = "kubernetes.io/config.mirror";

/** Problems of one document that are listed; a document of another shape altogether would have hundreds. */
const listedProblems = 8;

/** Absent and null are one in Kubernetes. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined);
const record = optional(z.record(z.string(), z.unknown()));
const list = <T extends z.ZodType>(item: T) => optional(z.array(item)).transform((items) => items ?? []);
const text = z.string().min(1, "must not be empty");

/** What Kubernetes accepts: 0 to 2^31 - 1. */
const id = optional(z.int().min(0).max(0x7fffffff));
const securityContext = optional(z.object({ runAsUser: id, runAsGroup: id }));

const containerSchema = z.object({
  name: text,
  args: list(z.unknown()),
  env: list(z.object({ name: text, value: z.unknown().optional() })),
  securityContext,
  restartPolicy: optional(z.string()),
});

const podSchema = z.object({
  metadata: z.object({
    uid: text,
    name: text,
    namespace: optional(z.string()).transform((name) => name || "default"),
    labels: record,
    annotations: record,
  }),
  spec: optional(
    z.object({
      hostNetwork: optional(z.boolean()),
      securityContext,
      containers: list(containerSchema),
      initContainers: list(containerSchema),
    }),
  ),
  status: z.unknown().optional(),
});

/** The status is not the author's: what of it cannot be read is as if it were not there yet. */
const containerStatus = z.object({ name: text, containerID: text, state: z.object({ running: z.object({}) }) });
const podIp = z.object({ ip: text });

/**
 * @param document any value whatsoever, as YAML or JSON gives it.
 * @param where for messages: `a.yaml:12`.
 * @returns the pod unless a problem keeps it from being read. A value that is not text where text belongs
 *   (`5000` without quotes) is a problem of that value alone. Never throws.
 */
export function readPod(document: unknown, where: string): { pod?: Pod; problems: Problem[] } {
  const parsed = podSchema.safeParse(document);
  if (!parsed.success) return { problems: documentProblems(parsed.error, document, where) };
  const { metadata, spec, status } = parsed.data;
  const problems: Problem[] = [];
  const report = (kind: Problem["kind"], key: string, value: unknown, why: string): void => {
    problems.push({ kind, where, pod: `${metadata.namespace}/${metadata.name}`, key, value: shownValue(value), why });
  };

  const labels = texts(metadata.labels, (key, value) =>
    report("pod", `label ${key}`, value, `${mend(value)}; it is left out`),
  );
  const badAnnotations = new Set<string>();
  const annotations = texts(metadata.annotations, (key, value) => {
    badAnnotations.add(key);
    report("annotation", key, value, `${mend(value)}; it is left out`);
  });

  const readContainer = (field: string) => {
    return (container: z.infer<typeof containerSchema>): Container => {
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
    namespace: metadata.namespace,
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

/** The entries whose value is text; `bad` hears of the others. */
function texts(
  from: Record<string, unknown> | undefined,
  bad: (key: string, value: unknown) => void,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(from ?? {})) {
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
function readable<T>(status: unknown, field: string, schema: z.ZodType<T>): T[] {
  if (typeof status !== "object" || status === null) return [];
  const items: unknown = (status as Record<string, unknown>)[field];
  if (!Array.isArray(items)) return [];
  return items.flatMap((item: unknown) => {
    const parsed = schema.safeParse(item);
    return parsed.success ? [parsed.data] : [];
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

function documentProblems(error: z.ZodError, document: unknown, where: string): Problem[] {
  const name = valueAt(document, ["metadata", "name"]);
  const namespace = valueAt(document, ["metadata", "namespace"]);
  const known = typeof name === "string" && name !== "";
  const pod = known ? `${typeof namespace === "string" && namespace !== "" ? namespace : "default"}/${name}` : "";
  return error.issues.slice(0, listedProblems).map((issue) => {
    const value = valueAt(document, issue.path);
    const said = issue.message.replace(/^Invalid input: /, "");
    const missing = value === undefined || value === null;
    return {
      kind: "document",
      where,
      pod,
      key: issue.path.map(String).join(".") || "document",
      value: missing ? "" : shownValue(value),
      why: `${missing ? "missing" : said}: the pod is left out`,
    };
  });
}
