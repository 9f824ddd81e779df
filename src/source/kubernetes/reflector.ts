/**
 * One kind of object as the API server has it: a list, then a watch that goes on where the list ended.
 *
 * What is known stays as it is whatever happens to the connection; only the server's own word changes it.
 * A watch ends by the server's clock every few minutes, by ours when nothing comes for too long, and by any
 * failure; it goes on from the last version that was seen. If the server has forgotten that version (410),
 * everything is listed again. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
import { setTimeout as sleep } from "node:timers/promises";
import { makeBackoff } from "./backoff.js";
import { ApiError, type Client, Silence } from "./client.js";
import { type Meta, metaOf } from "./meta.js";
import type { Times } from "./times.js";

/** Objects a page: a page of pods has some 5 MB at most. */
const pageSize = 250;

export interface ReflectorOptions<T> {
  readonly client: Client;
  /** @returns the path to list and watch, or undefined if the server does not know this kind. */
  locate(signal: AbortSignal): Promise<string | undefined>;
  /** Which objects: `fieldSelector`. */
  readonly query: Readonly<Record<string, string>>;
  /** @param before what this made of the same object last. */
  read(document: unknown, meta: Meta, before: T | undefined): T;
  /** Something is different: an object, `synced` or `trouble`. */
  onChange(): void;
  readonly times: Times;
}

export interface Reflector<T> {
  /** By uid: an object that was made again under the same name is another one. */
  readonly items: ReadonlyMap<string, T>;
  /** Everything has been listed once. */
  readonly synced: boolean;
  /** Why the server cannot be read now; "" if it can. */
  readonly trouble: string;
  close(): void;
}

interface Held<T> {
  readonly resourceVersion: string;
  readonly value: T;
}

export function openReflector<T>(options: ReflectorOptions<T>): Reflector<T> {
  const { client, query, times } = options;
  const ended = new AbortController();
  const { signal } = ended;
  const backoff = makeBackoff({ first: times.firstRetry, longest: times.longestRetry, random: Math.random });
  const looks = makeBackoff({ first: 5 * times.firstRetry, longest: times.longestLook, random: Math.random });
  let held = new Map<string, Held<T>>();
  let items: ReadonlyMap<string, T> | undefined;
  let synced = false;
  let trouble = "";
  let path: string | undefined;
  /** Where the watch goes on; undefined: list first. */
  let resourceVersion: string | undefined;
  let missingSince: number | undefined;

  const changed = (): void => {
    items = undefined;
    options.onChange();
  };
  const say = (now: string): void => {
    if (now === trouble) return;
    trouble = now;
    options.onChange();
  };
  const hold = (document: unknown, meta: Meta, before: Held<T> | undefined): Held<T> =>
    before?.resourceVersion === meta.resourceVersion
      ? before
      : { resourceVersion: meta.resourceVersion, value: options.read(document, meta, before?.value) };

  const list = async (at: string): Promise<void> => {
    const found = new Map<string, Held<T>>();
    let version = "";
    let next = "";
    do {
      const page = await client.json({
        path: at,
        // No resourceVersion: what a cache of the server is behind with must not take a policy away.
        query: { ...query, limit: `${pageSize}`, ...(next === "" ? {} : { continue: next }) },
        silence: times.listSilence,
        signal,
      });
      const { items: documents, continueToken, resourceVersion: seen } = readPage(page);
      for (const document of documents) {
        const meta = metaOf(document);
        if (meta !== undefined) found.set(meta.uid, hold(document, meta, held.get(meta.uid)));
      }
      version = seen;
      next = continueToken;
    } while (next !== "");
    const same = synced && found.size === held.size && [...found].every(([uid, now]) => held.get(uid) === now);
    held = found;
    synced = true;
    resourceVersion = version;
    if (!same) changed();
  };

  const apply = (line: string): void => {
    const { type, object } = JSON.parse(line) as { type?: unknown; object?: unknown };
    if (type === "ERROR") throw statusError(object);
    const meta = metaOf(object);
    if (meta === undefined) throw new Error(`the watch sent ${String(type)} without metadata`);
    resourceVersion = meta.resourceVersion;
    if (type === "BOOKMARK") return;
    const before = held.get(meta.uid);
    if (type === "DELETED") {
      if (!held.delete(meta.uid)) return;
    } else {
      const now = hold(object, meta, before);
      if (now === before) return;
      held.set(meta.uid, now);
    }
    changed();
  };

  /** Resolves when the server ended the watch. */
  const watch = async (at: string, from: string): Promise<void> => {
    const seconds = Math.ceil((times.watchLength * (1 + Math.random())) / 1000);
    const begin = performance.now();
    let [opened, heard] = [false, false];
    const lasted = (): number => performance.now() - begin;
    const more = {
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: from,
      timeoutSeconds: `${seconds}`,
    };
    const request = { path: at, query: { ...query, ...more }, silence: times.listSilence, signal };
    const onLine = (line: string): void => {
      apply(line);
      heard = true;
      backoff.reset();
    };
    const onOpen = (): void => {
      opened = true;
      say("");
    };
    try {
      await client.lines(request, { silence: times.watchSilence, onOpen, onLine });
    } catch (error) {
      // Either the connection is dead or nothing happens in the cluster: to ask again tells, and costs little.
      if (!(error instanceof Silence && opened)) throw error;
    } finally {
      if (lasted() > times.longestRetry) backoff.reset();
    }
    // A server that ends each watch at once would be asked without a pause.
    if (!heard && lasted() < times.firstRetry) throw new Error("the watch ended as it began");
  };

  /** The server does not know this kind (now). */
  const missing = async (): Promise<void> => {
    missingSince ??= performance.now();
    // A server that starts says so of kinds that it has yet to read: not at once of what was there.
    const believed = held.size === 0 || performance.now() - missingSince >= times.goneAfter;
    if (believed && (!synced || held.size > 0)) {
      held = new Map();
      synced = true;
      changed();
    }
    say("");
    resourceVersion = undefined;
    await sleep(looks.next(), undefined, { signal });
  };

  const step = async (): Promise<void> => {
    path ??= await options.locate(signal);
    if (path === undefined) return await missing();
    if (resourceVersion === undefined) await list(path);
    missingSince = undefined;
    looks.reset();
    if (resourceVersion !== undefined) await watch(path, resourceVersion);
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await step();
      } catch (error) {
        if (signal.aborted) return;
        const { status = 0, retryAfter = 0, message } = error as Partial<ApiError>;
        if (status === 410) resourceVersion = undefined;
        // Not an error: the server's way to say "begin again".
        else say(message ?? String(error));
        if (status === 404) path = undefined;
        await sleep(backoff.next(retryAfter), undefined, { signal }).catch(() => {});
      }
    }
  };
  void run();

  return {
    get items() {
      items ??= new Map([...held].map(([uid, { value }]) => [uid, value]));
      return items;
    },
    get synced() {
      return synced;
    },
    get trouble() {
      return trouble;
    },
    close: () => ended.abort(),
  };
}

interface Page {
  readonly items: readonly unknown[];
  readonly continueToken: string;
  readonly resourceVersion: string;
}

/** @throws Error if the answer is no list: a proxy in between may answer anything. */
function readPage(page: unknown): Page {
  const { items, metadata } = (page ?? {}) as { items?: unknown; metadata?: Record<string, unknown> };
  const { resourceVersion, continue: token } = metadata ?? {};
  if (typeof resourceVersion !== "string" || !(Array.isArray(items) || items === null || items === undefined)) {
    throw new Error("the answer is not a list");
  }
  return { items: items ?? [], continueToken: typeof token === "string" ? token : "", resourceVersion };
}

/** What an ERROR event carries: a Status object. */
function statusError(object: unknown): ApiError {
  const { code, reason, message } = (object ?? {}) as { code?: unknown; reason?: unknown; message?: unknown };
  const status = typeof code === "number" ? code : 0;
  return new ApiError(status, typeof reason === "string" ? reason : "", `${message ?? "the watch failed"}`);
}
