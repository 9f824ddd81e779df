/**
 * The control socket's path belongs to one agent: a second one is refused, and what a killed one left is taken
 * over. To look and to take over is one step under flock(2) of `<path>.lock`, which is there meanwhile only: done
 * without a lock, whoever looked first may take away what another has just put there.
 */
import { randomBytes } from "node:crypto";
import { closeSync, lstatSync, mkdirSync, openSync, renameSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { dirname, join } from "node:path";
import { UsageError } from "../errors.js";
import { AgentError, askAgent, checkPath } from "./controlClient.js";

/** Another agent has the path. */
export class AgentRuns extends Error {}

/** A lock that is held, and what takes one without waiting. `kernel/native.ts` has it. */
export interface PathLock {
  holds(): boolean;
  close(): void;
}
export type TakeLock = (path: string) => PathLock | undefined;

/** ms that another agent gets to say who it is: on a loaded node it may be late. */
const patience = 5000;
/** ms for the lock: several that start at once ask one another within it. */
const lockPatience = 60_000;
const remedy = "end it first, or name another socket with --control";

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

interface Identity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** The inode's number may be another's by now; rename leaves this time as it is. */
  readonly mtimeNs: bigint;
}

/** @returns undefined if nothing is there. @throws UsageError if it is something else than a socket. */
function identityOf(path: string): Identity | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat !== undefined && !stat.isSocket()) throw new UsageError(`--control ${path} is there and is not a socket`);
  return stat;
}

function same(a: Identity | undefined, b: Identity | undefined): boolean {
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino && a.mtimeNs === b.mtimeNs;
}

/** @throws AgentRuns if the path is another agent's; UsageError if something else than a socket is there. */
async function checkFree(path: string): Promise<void> {
  if (identityOf(path) === undefined) return;
  try {
    const asked = await askAgent(path, "/", patience);
    if (asked.agent) {
      const who = asked.pid === undefined ? "it does not say its pid" : `pid ${asked.pid}`;
      throw new AgentRuns(`another agent runs (${who}, control socket ${path}): ${remedy}`);
    }
  } catch (error) {
    // Whoever accepts the connection is alive, however silent.
    throw error instanceof AgentError ? new AgentRuns(`${path} is in use: ${error.message}; ${remedy}`) : error;
  }
}

/** Only the last part: Node 20 never returns from a recursive mkdir where nothing can be made, as under /proc. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === "EEXIST") return;
    const why = codeOf(error) === "ENOENT" ? `${dirname(path)} does not exist` : (error as Error).message;
    throw new UsageError(`--control: the directory ${path} cannot be made: ${why}`);
  }
}

/** Listens with mode 0600 from the first moment: bind() takes the umask, and Node calls it at once. */
function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

/** One try. A file that its holder unlinks between our open and our lock is nobody's lock any more. */
function tryLock(path: string, take: TakeLock): PathLock | undefined {
  let lock: PathLock | undefined;
  try {
    closeSync(openSync(path, "a", 0o600));
    lock = take(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new UsageError(`--control: ${path} cannot be locked: ${(error as Error).message}`);
  }
  if (lock?.holds()) return lock;
  lock?.close();
  return undefined;
}

/** Does one thing at a time, over all processes. */
async function alone<T>(path: string, take: TakeLock, work: () => Promise<T>): Promise<T> {
  const end = performance.now() + lockPatience;
  let lock = tryLock(path, take);
  while (lock === undefined) {
    if (performance.now() > end) throw new AgentRuns(`another agent starts, and holds ${path}: ${remedy}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    lock = tryLock(path, take);
  }
  try {
    return await work();
  } finally {
    unlinkSync(path);
    lock.close();
  }
}

/**
 * Makes `server` listen at `path`, alone.
 * @param path absolute. Its directory is made, mode 0700, if only that is missing, and stays.
 * @returns what takes the path away again, if it is still ours. Closing the server is the caller's, also after a throw.
 * @throws AgentRuns with the other's pid; UsageError if there can be no socket.
 */
export async function claimPath(server: Server, path: string, take: TakeLock): Promise<() => void> {
  const directory = dirname(path);
  // Under a name of its own: Node unlinks what a server listened at when it closes, and by then that may be another's.
  const own = join(directory, `.${randomBytes(4).toString("hex")}`);
  for (const each of [path, own]) checkPath(each);
  makeDirectory(directory);
  await listen(server, own);
  return await alone(`${path}.lock`, take, async () => {
    await checkFree(path);
    renameSync(own, path);
    const mine = identityOf(path);
    return () => {
      if (same(identityOf(path), mine)) unlinkSync(path);
    };
  });
}
