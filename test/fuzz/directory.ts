/** Whole directories: what stands under a manifest's name is not always a file, and not always there for long. */
import { execFileSync, spawn } from "node:child_process";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { InotifyEvent } from "../../src/kernel/native.js";
import { openManifests } from "../../src/source/manifests.js";
import { documents, type Kind } from "./arbitrary.js";
import { checkGood, checkProblem, goodFiles } from "./check.js";

/** What is no plain manifest → what makes it at `path`, from where it is moved to `end`. `pool` has a pipe and a socket. */
const oddities = {
  directory: (path) => mkdirSync(path),
  pipe: (path, pool) => linkSync(join(pool, "pipe"), path),
  "link to a pipe": (path, pool) => symlinkSync(join(pool, "pipe"), path),
  socket: (path, pool) => linkSync(join(pool, "socket"), path),
  "link to itself": (path, _, end) => symlinkSync(end, path),
  "link to nowhere": (path) => symlinkSync(`${path}.none`, path),
  "link to a directory": (path) => symlinkSync("/proc/self", path),
  "endless device": (path) => symlinkSync("/dev/zero", path),
  // Root may read anything; this cannot be read by anybody: EIO.
  unreadable: (path) => symlinkSync("/proc/self/mem", path),
  "of 0 bytes, it says": (path) => symlinkSync("/proc/self/status", path),
  empty: (path) => writeFileSync(path, ""),
  "too large": (path) => {
    writeFileSync(path, "kind: Pod\n");
    truncateSync(path, 17 * 1024 * 1024);
  },
  "being written": (path, pool) => symlinkSync(join(pool, "changing"), path),
} as const satisfies Record<string, (path: string, pool: string, end: string) => void>;
export type Oddity = keyof typeof oddities;
const oddNames = Object.keys(oddities) as Oddity[];

type Entry = { readonly odd: Oddity } | { readonly kind: Kind; readonly bytes: Uint8Array };
const anyEntry: fc.Arbitrary<Entry> = fc.oneof(
  fc.constantFrom(...oddNames).map((odd) => ({ odd })),
  ...(Object.keys(documents) as Kind[]).map((kind) => documents[kind].map((bytes) => ({ kind, bytes }))),
);
/** What is there at first, and what stands there later. */
export const anyDirectory = fc.tuple(
  fc.array(anyEntry, { minLength: 1, maxLength: 5 }),
  fc.array(anyEntry, { minLength: 1, maxLength: 5 }),
);
export type Directory = readonly [readonly Entry[], readonly Entry[]];

export interface DirectoryBed {
  /** @returns entries that had a problem, and those that had none. @throws Error where something does not hold. */
  check(directory: Directory): { readonly refused: number; readonly silent: number };
  close(): Promise<void>;
}

/** A process that rewrites a file in place, again and again: who reads it gets parts of several. It ends with us. */
const writer = `const fs = require("node:fs");
process.stdin.resume().once("end", () => process.exit());
let i = 0;
setInterval(() => fs.writeFileSync(process.argv[1], i++ % 3 ? "kind: Pod\\nmetadata: {name: c, uid: c}\\n" + "#".repeat(i * 997 % 90000) : Buffer.alloc(i * 991 % 70000, i)), 1);`;

export async function openDirectoryBed(): Promise<DirectoryBed> {
  const root = mkdtempSync(join(tmpdir(), "shunt-fuzz-"));
  const pool = join(root, "pool");
  mkdirSync(pool);
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(join(pool, "socket"), resolve));
  execFileSync("mkfifo", [join(pool, "pipe")]);
  writeFileSync(join(pool, "changing"), "");
  const changing = spawn(process.execPath, ["-e", writer, join(pool, "changing")], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  const ended = new Promise<void>((resolve) => changing.once("exit", () => resolve()));
  let count = 0;

  const put = (entry: Entry, path: string): void => {
    const aside = join(root, "aside");
    if ("odd" in entry) oddities[entry.odd](aside, pool, path);
    else writeFileSync(aside, entry.bytes);
    rmSync(path, { recursive: true, force: true });
    renameSync(aside, path);
  };
  return {
    check([first, later]) {
      const directory = join(root, `d${count++}`);
      mkdirSync(directory);
      for (const [name, text] of Object.entries(goodFiles)) writeFileSync(join(directory, name), text);
      const pathOf = (i: number): string => join(directory, `m${i}.yaml`);
      for (const [i, entry] of first.entries()) put(entry, pathOf(i));
      let tell = (_: InotifyEvent[]): void => {};
      const source = openManifests({
        directory,
        openInotify: (onEvents) => {
          tell = onEvents;
          return { add: () => 1, remove: () => {}, unref: () => {}, ref: () => {}, close: () => {} };
        },
        onChange: () => {},
      });
      try {
        const look = (): Set<string> => {
          const problems = checkGood(source.snapshot());
          const named = (where: string): string => where.replace(/:\d+$/, "");
          for (const problem of problems) checkProblem(problem, named(problem.where));
          for (const { where } of problems)
            if (!where.startsWith(join(directory, "m"))) throw new Error(`a problem at ${where}`);
          return new Set(problems.map(({ where }) => named(where)));
        };
        look();
        for (const [i, entry] of later.entries()) put(entry, pathOf(i));
        // The queue overflowed: everything is read again.
        tell([{ watch: -1, mask: 0x4000, name: "" }]);
        const refused = look();
        for (const [i, entry] of later.entries())
          if ("odd" in entry && !quiet.has(entry.odd) && !refused.has(pathOf(i)))
            throw new Error(`${entry.odd}: nobody is told`);
        const entries = Math.max(first.length, later.length);
        return { refused: refused.size, silent: entries - refused.size };
      } finally {
        source.close();
        rmSync(directory, { recursive: true });
      }
    },
    async close() {
      changing.kill("SIGKILL");
      await ended;
      await new Promise((resolve) => server.close(resolve));
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Where nothing need be wrong: no file, or one that may say anything. */
const quiet: ReadonlySet<Oddity> = new Set(["link to nowhere", "being written", "of 0 bytes, it says"] as const);
