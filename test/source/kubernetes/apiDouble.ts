/**
 * As much of an API server as list and watch need, in this process: versions, selectors, pages, bookmarks,
 * 410 after a compaction, tokens and refusals. What it does was compared with a real one by running one suite on both.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Certificate } from "./certificate.js";
import { applyPatch, type Document, kinds, selects, type Target, targetOf } from "./documents.js";

interface Change {
  readonly version: number;
  readonly resource: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Document;
  /** Before a modification: a selector may have matched then. */
  readonly before: Document | undefined;
}

interface Watcher {
  readonly resource: string;
  readonly namespace: string;
  readonly selector: string;
  readonly response: ServerResponse;
}

class Refusal extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

export interface ApiDouble {
  readonly port: number;
  /** Each request that was made with one of `tokens`: `GET /api/v1/pods?limit=…`. */
  readonly requests: string[];
  /** Bearer tokens of the agent. The administrator's is `admin`. */
  readonly tokens: Set<string>;
  /** Resources that the agent may not read now. */
  readonly forbidden: Set<string>;
  /** From now on Sidecars are served under these versions, the preferred one first; there are none yet. */
  serveSidecars(versions: readonly string[]): void;
  /** Forgets all versions but the present one. */
  compact(): void;
  /** New connections are shown this one. */
  useCertificate(certificate: Certificate): void;
  close(): Promise<void>;
}

export interface ApiDoubleOptions {
  /** ms between bookmarks. */
  readonly bookmarks: number;
  readonly certificate: Certificate;
  /** Behind a real server, which has asked already who it is and whether he may. */
  readonly behind?: boolean;
  /** A new object has the uid that it comes with, if it does; a real server makes one of its own. */
  readonly keepUids?: boolean;
  /** Called right before the watches are told. */
  readonly onChange?: (type: string, object: Document) => void;
}

export async function openApiDouble(options: ApiDoubleOptions): Promise<ApiDouble> {
  const objects = new Map<string, Document>();
  const watchers = new Set<Watcher>();
  let changes: Change[] = [];
  let version = 1;
  let oldest = 0;
  let sidecarVersions: readonly string[] = [];

  const keyOf = ({ resource, namespace, name }: Target): string => `${resource}/${namespace}/${name}`;
  const resourceOf = (key: string): string => key.slice(0, key.indexOf("/"));
  const change = (resource: string, type: Change["type"], object: Document, before?: Document): void => {
    const entry = { version, resource, type, object: { ...object, kind: kinds[resource] ?? "" }, before };
    changes.push(entry);
    options.onChange?.(type, object);
    for (const watcher of watchers) if (watcher.resource === resource) tell(watcher, entry);
  };
  const store = (at: Target, body: Document, before?: Document): Document => {
    version++;
    const metadata = {
      ...body.metadata,
      name: at.name,
      ...(at.namespace === "" ? {} : { namespace: at.namespace }),
      uid: before?.metadata.uid ?? (options.keepUids ? body.metadata.uid : undefined) ?? randomUUID(),
      creationTimestamp: before?.metadata.creationTimestamp ?? "2026-01-01T00:00:00Z",
      resourceVersion: `${version}`,
    };
    const object = { ...body, metadata };
    objects.set(keyOf(at), object);
    change(at.resource, before === undefined ? "ADDED" : "MODIFIED", object, before);
    return object;
  };

  const list = (at: Target, query: URLSearchParams): object => {
    const [at0, from] = (query.get("continue") ?? "").split(":");
    const limit = Number(query.get("limit") ?? 0) || Number.POSITIVE_INFINITY;
    if (at0 && Number(at0) < oldest) throw new Refusal(410, "Expired", "The provided continue parameter is too old");
    const all = [...objects]
      .filter(([key, object]) => resourceOf(key) === at.resource && selects(query.get("fieldSelector"), object))
      .filter(([, object]) => at.namespace === "" || object.metadata.namespace === at.namespace)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const begin = Number(from ?? 0);
    const page = all.slice(begin, begin + limit);
    const more = begin + limit < all.length ? { continue: `${at0 || version}:${begin + limit}` } : {};
    return { kind: "List", metadata: { resourceVersion: `${version}`, ...more }, items: page.map(([, each]) => each) };
  };

  const watch = (at: Target, query: URLSearchParams, response: ServerResponse): void => {
    const from = Number(query.get("resourceVersion"));
    if (from < oldest) throw new Refusal(410, "Expired", `too old resource version: ${from} (${oldest})`);
    const watcher = { ...at, selector: query.get("fieldSelector") ?? "", response };
    response.writeHead(200, { "Content-Type": "application/json" });
    response.flushHeaders();
    for (const each of changes) if (each.resource === at.resource && each.version > from) tell(watcher, each);
    watchers.add(watcher);
    const end = setTimeout(() => response.end(), Number(query.get("timeoutSeconds")) * 1000);
    response.on("close", () => {
      clearTimeout(end);
      watchers.delete(watcher);
    });
  };

  const bookmarks = setInterval(() => {
    for (const { response, resource } of watchers) {
      const object = { kind: kinds[resource], metadata: { resourceVersion: `${version}`, creationTimestamp: null } };
      send(response, "BOOKMARK", object);
    }
  }, options.bookmarks);

  const one = (at: Target): Document => {
    const found = objects.get(keyOf(at));
    if (found === undefined) throw new Refusal(404, "NotFound", `${at.resource} "${at.name}" not found`);
    return found;
  };
  const discovery = (path: string): object | undefined => {
    const [, , version] = /^\/apis\/networking\.istio\.io(\/([^/]+))?$/.exec(path) ?? ["", "", "none"];
    const versions = sidecarVersions.map((each) => ({ version: each }));
    if (version === undefined) return versions.length === 0 ? undefined : { versions, preferredVersion: versions[0] };
    return sidecarVersions.includes(version) ? { resources: [{ name: "sidecars" }] } : undefined;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<object | undefined> => {
    const url = new URL(request.url ?? "", "http://double");
    const { method = "GET" } = request;
    const token = options.behind ? "admin" : (request.headers.authorization?.replace(/^Bearer /, "") ?? "");
    if (token !== "admin") {
      if (!double.tokens.has(token)) throw new Refusal(401, "Unauthorized", "Unauthorized");
      double.requests.push(`${method} ${request.url}`);
    }
    const found = discovery(url.pathname);
    if (found !== undefined) return found;
    const at = targetOf(url.pathname, sidecarVersions);
    if (at === undefined) throw new Refusal(404, "NotFound", "the server could not find the requested resource");
    if (token !== "admin" && double.forbidden.has(at.resource)) {
      throw new Refusal(403, "Forbidden", `${at.resource} is forbidden: User "agent" cannot ${method} it`);
    }
    if (method === "GET" && at.name !== "") return one(at);
    if (method === "GET" && url.searchParams.get("watch") !== "true") return list(at, url.searchParams);
    if (method === "GET") {
      watch(at, url.searchParams, response);
      return undefined;
    }
    if (method === "DELETE") {
      const gone = one(at);
      version++;
      objects.delete(keyOf(at));
      const last = { ...gone, metadata: { ...gone.metadata, resourceVersion: `${version}` } };
      change(at.resource, "DELETED", last, gone);
      return last;
    }
    const body = JSON.parse(await textOf(request)) as Document;
    if (method === "PATCH") {
      const before = one(at);
      return store(at, applyPatch(before, body, request.headers["content-type"] ?? ""), before);
    }
    const name = at.name || body.metadata.name || `${body.metadata.generateName}${version}`;
    if (method === "POST" && objects.has(keyOf({ ...at, name }))) {
      throw new Refusal(409, "AlreadyExists", `${at.resource} "${name}" already exists`);
    }
    return store({ ...at, name }, body, objects.get(keyOf({ ...at, name })));
  };

  const respond = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).then(
      (body) => {
        if (body === undefined) return;
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify(body));
      },
      (error: Error) => {
        const { code = 422, reason = "Invalid" } = error as Partial<Refusal>;
        response.writeHead(code, { "Content-Type": "application/json" });
        response.end(JSON.stringify({ kind: "Status", status: "Failure", code, reason, message: error.message }));
      },
    );
  };
  const server = createServer({ ...options.certificate }, respond);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const double: ApiDouble = {
    port: (server.address() as { port: number }).port,
    requests: [],
    tokens: new Set(),
    forbidden: new Set(),
    serveSidecars(versions) {
      sidecarVersions = versions;
      for (const key of objects.keys()) if (resourceOf(key) === "sidecars") objects.delete(key);
      for (const { resource, response } of watchers) if (resource === "sidecars") response.end();
    },
    compact() {
      changes = [];
      oldest = version;
    },
    useCertificate: (certificate) => server.setSecureContext({ ...certificate }),
    close() {
      clearInterval(bookmarks);
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return double;
}

function tell({ response, selector, namespace }: Watcher, { type, object, before }: Change): void {
  const inside = namespace === "" || object.metadata.namespace === namespace;
  const now = type !== "DELETED" && selects(selector, object);
  const then = before !== undefined && selects(selector, before);
  if (!inside || (!now && !then)) return;
  const seen = now ? (then ? "MODIFIED" : "ADDED") : "DELETED";
  send(response, seen, object);
}

/** A watch that was ended is told nothing more, though its connection may still be there. */
function send(response: ServerResponse, type: string, object: object): void {
  if (!response.writableEnded) response.write(`${JSON.stringify({ type, object })}\n`);
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
