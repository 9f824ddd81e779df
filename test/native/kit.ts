/** What the tests of the addon share. Everything made here goes at exit, also when a test fails. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { type KernelError, type NativeMap, type NativeObject, native } from "../../src/kernel/native.js";

const undo: (() => void)[] = [];

/** Runs at exit, last in first out. A second failure must not keep the rest from being undone. */
export function atExit(action: () => void): void {
  if (undo.length === 0) {
    // A runner that loses patience gets a clean machine too.
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1));
    process.on("exit", () => {
      for (const step of undo.reverse()) {
        try {
          step();
        } catch (error) {
          console.error(error);
        }
      }
    });
  }
  undo.push(action);
}

export function unique(what: string): string {
  return `shunt-${what}-${process.pid}-${randomBytes(3).toString("hex")}`;
}

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "shunt-test-"));
  atExit(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

let objects: string | undefined;

/** Compiles `name`.bpf.c beside this file. @returns the object's path. */
export function compilePath(name: string): string {
  objects ??= temporaryDirectory();
  const path = join(objects, `${name}.o`);
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const source = fileURLToPath(new URL(`${name}.bpf.c`, import.meta.url));
  const include = `-I/usr/include/${machine}-linux-gnu`;
  execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-mcpu=v3", include, "-c", source, "-o", path]);
  return path;
}

const compiled = new Map<string, Uint8Array>();

export function compile(name: string): Uint8Array {
  const bytes = compiled.get(name) ?? readFileSync(compilePath(name));
  compiled.set(name, bytes);
  return bytes;
}

/** Opens an object and excludes all but these programs. */
export function openOnly(bytes: Uint8Array, ...programs: string[]): NativeObject {
  const object = native().openObject(bytes, "test");
  for (const { name } of object.programs()) object.setAutoload(name, programs.includes(name));
  return object;
}

/** A map of maps.bpf.c. */
export function makeMap(name: string, entries?: number): NativeMap {
  const object = openOnly(compile("maps"));
  if (entries !== undefined) object.setMaxEntries(name, entries);
  object.load();
  const map = object.map(name);
  object.close();
  return map;
}

/** Where cgroup2 is mounted on this machine. */
export function cgroupMount(): string {
  for (const line of readFileSync("/proc/mounts", "utf8").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path !== undefined) return path;
  }
  throw new Error("cgroup2 is not mounted");
}

/** A cgroup of its own, right below the root. */
export function makeCgroup(): string {
  const path = join(cgroupMount(), unique("cgroup"));
  mkdirSync(path);
  atExit(() => removeCgroup(path));
  return path;
}

/** A process that was killed just now is in there for a moment longer. */
function removeCgroup(path: string): void {
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY" || tries === 200) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** A bpffs of its own. */
export function makeBpffs(): string {
  const path = temporaryDirectory();
  native().mount("bpf", "shunt-test", path);
  atExit(() => native().unmount(path, true));
  return path;
}

/** A network namespace with lo up. @returns its name for ip(8). */
export function makeNetns(): string {
  const name = unique("ns");
  execFileSync("ip", ["netns", "add", name]);
  atExit(() => execFileSync("ip", ["netns", "del", name]));
  execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
  return name;
}

/** bash in a cgroup; its /dev/udp/… makes a connect(2) without another program. */
export function shellIn(cgroup: string, script: string): ChildProcess {
  const child = spawn("bash", ["-c", `echo $$ > "$0/cgroup.procs" && ${script}`, cgroup], { stdio: "ignore" });
  atExit(() => child.kill("SIGKILL"));
  return child;
}

/** @returns whether one connect() from inside the cgroup came through. */
export async function connects(cgroup: string): Promise<boolean> {
  const [code] = await once(shellIn(cgroup, "exec 3<>/dev/udp/127.0.0.1/9"), "exit");
  return code === 0;
}

/** Reads something of each of this process's threads, but for those that end meanwhile. @param read is given /proc/self/task/ID. */
export function ofThreads<T>(read: (task: string) => T): T[] {
  return readdirSync("/proc/self/task").flatMap((id) => {
    try {
      return [read(`/proc/self/task/${id}`)];
    } catch (error) {
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
      throw error;
    }
  });
}

/** Waits until `done` holds. @throws after the deadline. */
export async function until(what: string, done: () => boolean, seconds = 60): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(2);
  }
}

function checkError(error: unknown, code: string): KernelError {
  assert.instance(error, Error);
  const failure = error as KernelError;
  assert.is(failure.code, code, failure.message);
  assert.type(failure.errno, "number");
  assert.is(failure.errno > 0, !code.startsWith("ERR_"), "errno fits the code");
  assert.type(failure.syscall, "string");
  assert.type(failure.subject, "string");
  const start = [failure.syscall, failure.subject].filter((part) => part !== "").join(" ");
  assert.is(failure.message.startsWith(`${start}: ${code}: `), true, failure.message);
  return failure;
}

/** Asserts that a KernelError with this code is thrown. @returns it. */
export function fails(code: string, call: () => unknown): KernelError {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return checkError(error, code);
  }
  throw new Error(`expected ${code}, got ${String(result)}`);
}

export async function rejects(code: string, promise: Promise<unknown>): Promise<KernelError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  assert.ok(outcome, `expected ${code}`);
  return checkError(outcome.error, code);
}

export function u32(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

export function u64(...values: (number | bigint)[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(values.map(BigInt)).buffer);
}

/** Host order, as the kernel on this machine has it. */
export function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}

export function longs(bytes: Uint8Array): BigUint64Array {
  return new BigUint64Array(bytes.slice().buffer);
}

/** Bytes of the `index`th of elements of `size` bytes. */
export function element(bytes: Uint8Array, index: number, size: number): Uint8Array {
  return bytes.subarray(index * size, (index + 1) * size);
}

export const attachType = { connect4: 10, skLookup: 36 } as const;
export const linkType = { cgroup: 3, netns: 5 } as const;
export const mapType = { hash: 1, array: 2, perCpuHash: 5, lruHash: 9, lpmTrie: 11, stack: 23, ringbuf: 27 } as const;

/** The value, or a failed test. */
export function present<T>(value: T | undefined): T {
  assert.ok(value !== undefined, "it is there");
  return value as T;
}
