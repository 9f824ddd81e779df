/**
 * A directory of manifests as a source: no cluster needed. Files ending in .yaml, .yml or .json count, not
 * those whose name begins with a dot. Only a file that changed is read again.
 *
 * What cannot be read does not go away: what a file held before it broke stays as it was.
 */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { InotifyEvent, NativeInotify } from "../kernel/native.js";
import { closedMesh, defaultMesh } from "../model/mesh.js";
import type { Problem } from "../model/problem.js";
import type { Source } from "../model/source.js";
import { isNothing, joinUnread, type Unread, unreadSidecars } from "../model/unread.js";
import { emptyFile, type FileContent, readDocuments } from "./documents.js";
import { directoryMask, IN_CREATE, IN_DELETE_SELF, IN_IGNORED, IN_MOVE_SELF } from "./inotify.js";
import { keepLastGood, mergeFiles } from "./mergeFiles.js";
import { readManifest } from "./readManifest.js";

/** ms between attempts to find a directory again that went away. */
const retryInterval = 500;

export interface ManifestOptions {
  readonly directory: string;
  openInotify(onEvents: (events: InotifyEvent[]) => void): NativeInotify;
  /** Another snapshot is to be had. */
  onChange(): void;
}

export function isManifest(name: string): boolean {
  return !name.startsWith(".") && /\.(?:ya?ml|json)$/.test(name);
}

/** @returns undefined if there is no such file. */
function readFile(path: string): FileContent | undefined {
  const read = readManifest(path);
  if (read === undefined) return undefined;
  if ("text" in read) return readDocuments(read.text, path);
  return emptyFile({ kind: "document", where: path, pod: "", key: "file", value: "", why: read.why });
}

/** What of a file cannot be read. */
function unreadOf({ hides, refused, meshes }: FileContent): Unread {
  return { sidecars: hides ? "all" : unreadSidecars(refused), mesh: hides || meshes.some(({ bad }) => bad) };
}

/** @throws ENOENT, ENOTDIR or EACCES if the directory cannot be read at all at the start. */
export function openManifests(options: ManifestOptions): Source {
  const { directory } = options;
  const files = new Map<string, FileContent>();
  /** Files that broke before they were ever seen whole: what they hold is not known. */
  const unknown = new Set<string>();
  /** By file, what was never read: since the start, because what comes later was not there when it began. */
  const unread = new Map<string, Unread>();
  let opening = true;
  /** A file that was broken from the start may be the mesh's configuration. */
  let mesh = closedMesh;
  let lost: Problem | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const readOne = (name: string): void => {
    const before = files.get(name);
    const neverWhole = unknown.delete(name) || before === undefined;
    const now = readFile(join(directory, name));
    const isUnread = now !== undefined && (opening || unread.has(name)) && !isNothing(unreadOf(now));
    if (isUnread) unread.set(name, unreadOf(now));
    else unread.delete(name);
    if (now === undefined) {
      files.delete(name);
      return;
    }
    files.set(name, keepLastGood(now, before));
    if (now.damaged && neverWhole) unknown.add(name);
  };
  const readAll = (): void => {
    const names = readdirSync(directory).filter(isManifest);
    for (const name of new Set([...files.keys(), ...names])) readOne(name);
  };
  const watch = (): void => {
    inotify.add(directory, directoryMask);
    lost = undefined;
    readAll();
  };
  const retry = (): void => {
    if (closed) return;
    try {
      watch();
      options.onChange();
    } catch {
      timer = setTimeout(retry, retryInterval);
    }
  };
  const lose = (why: string): void => {
    if (lost !== undefined) return;
    lost = { kind: "document", where: directory, pod: "", key: "directory", value: "", why };
    timer = setTimeout(retry, retryInterval);
  };

  const handle = (event: InotifyEvent): void => {
    const { mask, name } = event;
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
      lose("the directory was moved or removed: pods stay as they were until it is there again");
    } else if (event.watch === -1 || name.startsWith("..")) {
      // The queue overflowed, or a volume of Kubernetes swapped its ..data link.
      readAll();
    } else if (isManifest(name)) {
      if (mask & IN_CREATE && isPlain(join(directory, name))) return; // its writer has yet to close it
      readOne(name);
    }
  };
  const inotify = options.openInotify((events) => {
    if (closed) return;
    // One reading a file, however often it was written in the batch.
    const last = new Map(events.map((event) => [`${event.name}/${event.mask & IN_CREATE}`, event]));
    try {
      for (const event of last.values()) handle(event);
    } catch (error) {
      lose(`cannot be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
    }
    options.onChange();
  });
  try {
    watch();
    opening = false;
  } catch (error) {
    inotify.close();
    throw error;
  }

  return {
    name: `manifests ${directory}`,
    synced: Promise.resolve(),
    snapshot() {
      const complete = lost === undefined && unknown.size === 0;
      const all = joinUnread(unread.values());
      const noMesh = lost === undefined && !all.mesh ? defaultMesh : mesh;
      const snapshot = mergeFiles(files, lost === undefined ? [] : [lost], complete, noMesh);
      mesh = snapshot.mesh;
      return { ...snapshot, unread: all };
    },
    close() {
      closed = true;
      clearTimeout(timer);
      inotify.close();
    },
  };
}

/** A regular file with one name: a link to it would be made whole at once. */
export function isPlain(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.nlink === 1;
}
