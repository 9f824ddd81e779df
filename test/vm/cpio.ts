/** The archive that the kernel unpacks as its first root file system: cpio's "newc" format. */

export interface Entry {
  /** From the root, without a leading slash. */
  readonly path: string;
  /** Permissions; 0644 if not given. */
  readonly mode?: number;
  readonly data: Uint8Array;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const pad = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);

function record(inode: number, path: string, mode: number, data: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, pad(header.length + name.length), data, pad(data.length)];
}

/** @returns the archive, with every directory before what is in it. */
export function cpio(entries: readonly Entry[]): Buffer {
  const parents = (path: string): string[] =>
    path
      .split("/")
      .slice(0, -1)
      .map((_, index, names) => names.slice(0, index + 1).join("/"));
  const directories = [...new Set(entries.flatMap((entry) => parents(entry.path)))].sort();
  const records = [
    ...directories.map((path) => ({ path, mode: S_IFDIR | 0o755, data: new Uint8Array() })),
    ...entries.map(({ path, mode = 0o644, data }) => ({ path, mode: S_IFREG | mode, data })),
    { path: "TRAILER!!!", mode: 0, data: new Uint8Array() },
  ];
  return Buffer.concat(records.flatMap(({ path, mode, data }, index) => record(index + 1, path, mode, data)));
}
