/** Objects of the API as the double keeps them: paths, selectors and patches. */

export interface Document {
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generateName?: string;
    readonly creationTimestamp?: string;
    readonly resourceVersion?: string;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** What a path names: a resource, or one object of it. */
export interface Target {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Of a field selector with one term: `spec.nodeName=a`. */
export function selects(selector: string | null, object: Document): boolean {
  if (!selector) return true;
  const [path = "", value] = selector.split("=");
  const found = path
    .split(".")
    .reduce<unknown>((at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined), object);
  return found === value;
}

/** RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === "object" && target !== null && !Array.isArray(target) ? target : {};
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** RFC 6902, as far as it is used here. @throws Error if a test fails. */
function jsonPatch(target: Document, steps: readonly { op: string; path: string; value?: unknown }[]): Document {
  const copy = structuredClone(target);
  for (const { op, path, value } of steps) {
    const keys = path.split("/").slice(1);
    const last = keys.pop() ?? "";
    const parent = keys.reduce<unknown>((at, key) => Reflect.get(at as object, key), copy) as object;
    const found: unknown = Reflect.get(parent, last);
    if (op === "test" && JSON.stringify(found) !== JSON.stringify(value)) throw new Error(`testing ${path} failed`);
    if (op === "remove" && Array.isArray(parent)) parent.splice(Number(last), 1);
    else if (op === "remove") Reflect.deleteProperty(parent, last);
  }
  return copy;
}

export function applyPatch(before: Document, patch: unknown, contentType: string): Document {
  if (contentType.startsWith("application/json-patch+json")) {
    return jsonPatch(before, patch as { op: string; path: string; value?: unknown }[]);
  }
  return merge(before, patch) as Document;
}

/** By resource. */
export const kinds: Readonly<Record<string, string>> = {
  pods: "Pod",
  namespaces: "Namespace",
  configmaps: "ConfigMap",
  sidecars: "Sidecar",
  nodes: "Node",
  events: "Event",
};

/** @returns undefined if the path names nothing that is served. */
export function targetOf(path: string, sidecarVersions: readonly string[]): Target | undefined {
  const [, core, sidecarVersion, rest = ""] =
    /^\/(?:(api\/v1)|apis\/networking\.istio\.io\/([^/]+))\/(.*)$/.exec(path) ?? [];
  const parts = rest.split("/").filter((part) => part !== "status");
  const inNamespace = parts[0] === "namespaces" && parts.length > 2;
  const [resource = "", name = ""] = inNamespace ? parts.slice(2) : parts;
  const known = core ? resource in kinds && resource !== "sidecars" : sidecarVersions.includes(sidecarVersion ?? "");
  if (!known || (!core && resource !== "sidecars")) return undefined;
  return { resource, namespace: inNamespace ? (parts[1] ?? "") : "", name };
}
