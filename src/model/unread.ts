/**
 * What cannot be read, and has not been since the source was opened. The policy of a pod that it may concern can have
 * come of what it said before: an agent that is started anew must not take it for gone.
 */

export interface Unread {
  /** Namespaces of the Sidecars; `all` where even that is not known. */
  readonly sidecars: "all" | ReadonlySet<string>;
  /** The mesh's configuration. */
  readonly mesh: boolean;
}

export const nothingUnread: Unread = { sidecars: new Set(), mesh: false };

/** @param names `namespace/name` of Sidecars that are refused; undefined of one whose name cannot be read. */
export function unreadSidecars(names: Iterable<string | undefined>): Unread["sidecars"] {
  const all = [...names];
  const known = all.filter((name) => name !== undefined);
  return known.length < all.length ? "all" : new Set(known.map((name) => name.slice(0, name.indexOf("/"))));
}

export function joinUnread(parts: Iterable<Unread>): Unread {
  const all = [...parts];
  const namespaces = all.map(({ sidecars }) => sidecars);
  const isEvery = namespaces.includes("all");
  return {
    sidecars: isEvery ? "all" : new Set(namespaces.flatMap((each) => (each === "all" ? [] : [...each]))),
    mesh: all.some(({ mesh }) => mesh),
  };
}

export function isNothing({ sidecars, mesh }: Unread): boolean {
  return !mesh && sidecars !== "all" && sidecars.size === 0;
}

/** Whether a pod's policy may depend on it: on a Sidecar of its namespace or of the root namespace, or on the mesh. */
export function mayConcern({ sidecars, mesh }: Unread, namespace: string, rootNamespace: string): boolean {
  return mesh || sidecars === "all" || sidecars.has(namespace) || sidecars.has(rootNamespace);
}
