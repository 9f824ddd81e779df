/** The part of `metadata` that every object of the API has. */

export interface Meta {
  readonly uid: string;
  readonly resourceVersion: string;
  /** "" of an object that lives in none. */
  readonly namespace: string;
  readonly name: string;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** @returns undefined if the value has no resourceVersion: it is no object of the API. A bookmark has no more than that. */
export function metaOf(document: unknown): Meta | undefined {
  const { metadata } = (document ?? {}) as { metadata?: Record<string, unknown> };
  const resourceVersion = text(metadata?.["resourceVersion"]);
  if (resourceVersion === "") return undefined;
  const { uid, namespace, name } = metadata ?? {};
  return { uid: text(uid), resourceVersion, namespace: text(namespace), name: text(name) };
}

/** Without what only servers read (who set which field): often half of the object. */
export function withoutManagedFields(document: unknown): unknown {
  const { metadata, ...rest } = (document ?? {}) as { metadata?: Record<string, unknown> };
  const { managedFields: _, ...kept } = metadata ?? {};
  return { ...rest, metadata: kept };
}
