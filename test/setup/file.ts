/** Runs one test file in a process group of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { kill, processesWith } from "./processes.js";
import { parseSummary, skipLines, suitesNotRun } from "./summary.js";

export interface Result {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  /** What went wrong beside tests that failed, a sentence each. */
  readonly problems: readonly string[];
  /** Lines of the source that skip something. */
  readonly skips: readonly string[];
  readonly output: string;
}

export interface Options {
  /** Milliseconds. */
  readonly deadline: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** What a process may need to end after its parent has. */
const grace = 10_000;

let started = 0;

/** @param file absolute path. Never rejects: a file that cannot run has failed. */
export async function runFile(file: string, { deadline, env, signal }: Options): Promise<Result> {
  const begin = performance.now();
  const mark = `${process.pid}.${started++}`;
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), file], {
    detached: true, // The leader of a group, so that all of it can be ended.
    env: { ...env, SHUNT_TEST_FILE: mark },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const problems: string[] = [];
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }

  const late = setTimeout(() => {
    problems.push(`was not done after ${deadline / 1000} s`);
    endGroup(child);
  }, deadline);
  const stop = () => endGroup(child);
  signal.addEventListener("abort", stop);
  const [code, by] = await ended(child);
  signal.removeEventListener("abort", stop);
  clearTimeout(late);

  const strays = await endStrays(`SHUNT_TEST_FILE=${mark}`);
  if (strays.length > 0) problems.push(`left processes behind: ${strays.join(", ")}`);
  await drained(child);

  const summary = parseSummary(output);
  if (by !== null) problems.push(`was ended by ${by}`);
  else if (code !== 0 && (!summary || summary.passed === summary.total)) problems.push(`exited with status ${code}`);
  if (!summary) problems.push("printed no summary: it crashed or never calls test.run()");
  else if (summary.total + summary.skipped === 0) problems.push("has no tests");
  else if (code === 0 && summary.passed < summary.total)
    problems.push("a before() or each() hook threw, and uvu swallowed the error");
  const source = readFileSync(file, "utf8");
  for (const name of suitesNotRun(source)) problems.push(`never calls ${name}.run()`);

  const { passed, total, skipped } = summary ?? { passed: 0, total: 0, skipped: 0 };
  return {
    file,
    passed,
    failed: Math.max(total - passed, problems.length > 0 ? 1 : 0),
    skipped,
    seconds: (performance.now() - begin) / 1000,
    problems,
    skips: skipped > 0 ? skipLines(source) : [],
    output,
  };
}

const ended = (child: ChildProcess) =>
  new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once("exit", (code, by) => resolve([code, by]));
    child.once("error", () => resolve([1, null]));
  });

/** The rest of what was written; a stray that keeps the pipe was ended before. */
const drained = (child: ChildProcess) =>
  Promise.race([
    Promise.all([child.stdout, child.stderr].map((stream) => closed(stream))),
    sleep(10_000, undefined, { ref: false }),
  ]);
const closed = (stream: NodeJS.ReadableStream | null) =>
  new Promise<void>((resolve) => {
    if (!stream || ("closed" in stream && stream.closed)) resolve();
    else stream.once("close", () => resolve());
  });

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const group = -child.pid;
  kill(group, "SIGTERM");
  setTimeout(() => {
    if (child.exitCode === null && child.signalCode === null) kill(group, "SIGKILL");
  }, grace).unref();
}

/** @returns the processes that had to be ended: those that did not follow their parent. */
async function endStrays(variable: string): Promise<string[]> {
  const until = performance.now() + grace;
  let strays = processesWith(variable);
  while (strays.length > 0 && performance.now() < until) {
    await sleep(20);
    strays = processesWith(variable);
  }
  for (const stray of strays) kill(stray.pid, "SIGKILL");
  return strays.map((stray) => `${stray.name} (${stray.pid})`);
}
