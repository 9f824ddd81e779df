/**
 * One file that is followed through every way of replacing it: written in place, renamed over, or, as a ConfigMap's
 * volume does it, by another target of the link `..data` beside it. A link to a file elsewhere is followed too, by
 * that file itself.
 */
import { basename, dirname, join } from "node:path";
import type { InotifyEvent, NativeInotify } from "../kernel/native.js";
import {
  directoryMask,
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_MOVE_SELF,
} from "./inotify.js";
import { isPlain } from "./manifests.js";
import { readManifest } from "./readManifest.js";

/** ms between attempts to find a directory again that went away. */
const retryInterval = 500;

/** A file's text, or why there is none, in words. */
export type FileText = { readonly text: string } | { readonly why: string };

/** Never throws. */
export function readText(path: string): FileText {
  return readManifest(path) ?? { why: "is not there" };
}

export interface WatchedFileOptions {
  readonly path: string;
  openInotify(onEvents: (events: InotifyEvent[]) => void): NativeInotify;
  /** It reads differently now. Called before this returns as well. */
  onText(read: FileText): void;
}

export function watchFile({ path, openInotify, onText }: WatchedFileOptions): { close(): void } {
  const [directory, name] = [dirname(path), basename(path)];
  let last: string | undefined;
  /** Watch descriptors. */
  let ofDirectory = -1;
  let ofFile = -1;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const read = (): void => {
    const now = readText(path);
    const text = JSON.stringify(now);
    if (text === last) return;
    last = text;
    onText(now);
  };
  /** What the name leads to may be another file by now. The watch comes first, so that no edit falls between. */
  const follow = (): void => {
    const before = ofFile;
    try {
      ofFile = inotify.add(path, IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF);
    } catch {
      ofFile = -1; // reading it says why
    }
    if (before !== -1 && before !== ofFile) inotify.remove(before);
    read();
  };
  const begin = (): void => {
    if (closed) return;
    const before = ofDirectory;
    try {
      ofDirectory = inotify.add(directory, directoryMask);
    } catch {
      ofDirectory = -1;
      timer = setTimeout(begin, retryInterval);
    }
    if (before !== -1 && before !== ofDirectory) inotify.remove(before);
    follow();
  };
  const concerns = ({ watch, mask, name: entry }: InotifyEvent): boolean => {
    if (watch === -1) return true; // the queue overflowed
    if (watch === ofFile) return (mask & IN_IGNORED) === 0;
    if (watch !== ofDirectory || (entry !== name && !entry.startsWith(".."))) return false;
    // Its writer has yet to close it.
    return !(entry === name && mask & IN_CREATE && isPlain(join(directory, entry)));
  };
  const inotify = openInotify((events) => {
    if (closed) return;
    const lost = events.some(
      ({ watch, mask }) => watch === ofDirectory && mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED),
    );
    if (lost) {
      clearTimeout(timer);
      begin();
    } else if (events.some(concerns)) follow();
  });
  begin();

  return {
    close() {
      closed = true;
      clearTimeout(timer);
      inotify.close();
    },
  };
}
