/** The text of a manifest or of settings, whatever stands under its name: nothing here waits, and nothing is read without an end. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";

/** Bytes. A manifest of a pod has some kilobytes; a larger file than this is a mistake. */
export const largestFile = 16 * 1024 * 1024;
const firstRead = 64 * 1024;

/**
 * Symbolic links are followed. A pipe is not opened: whoever reads one waits for its writer.
 * @returns undefined if there is no such file, else its text or why there is none.
 */
export function readManifest(path: string): { readonly text: string } | { readonly why: string } | undefined {
  try {
    const why = refuse(statSync(path));
    if (why !== undefined) return { why };
    // Another file may have come under the name since, a pipe among others.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const other = refuse(fstatSync(fd));
      return other === undefined ? decode(readAll(fd)) : { why: other };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") return { why: "cannot be read: symbolic links in a circle" };
    if (code === "EACCES") return { why: "cannot be read: no permission to read it" };
    return { why: `cannot be read: ${code ?? message}` };
  }
}

function refuse(stat: Stats): string | undefined {
  if (stat.isDirectory()) return "is a directory, not a file";
  if (!stat.isFile()) return "is neither a file nor a link to one";
  return stat.size > largestFile ? `has ${stat.size} bytes; at most ${largestFile} are read` : undefined;
}

/** To the end, or one byte past the limit: a file may grow meanwhile, and some of /proc say that they have 0 bytes. */
function readAll(fd: number): Buffer | undefined {
  let bytes = Buffer.allocUnsafe(Math.min(fstatSync(fd).size + 1, largestFile + 1) || firstRead);
  for (let length = 0; ; ) {
    const read = readSync(fd, bytes, length, bytes.length - length, null);
    if (read === 0) return bytes.subarray(0, length);
    length += read;
    if (length > largestFile) return undefined;
    if (length === bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(Math.max(2 * length, firstRead), largestFile + 1));
      bytes.copy(larger, 0, 0, length);
      bytes = larger;
    }
  }
}

/** Kubernetes takes UTF-8 alone, and refuses what is not; a byte order mark is passed over. */
export function decode(bytes: Uint8Array | undefined): { readonly text: string } | { readonly why: string } {
  if (bytes === undefined) return { why: `grows past ${largestFile} bytes while it is read; at most so many are read` };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { why: `is not UTF-8${bytes.includes(0) ? ": it has NUL bytes, as UTF-16 and binary files have" : ""}` };
  }
}
