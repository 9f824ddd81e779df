/**
 * Runs the tests: each `*.test.ts` in a process of its own, several at a time. uvu's own runner would pass a file
 * that runs no test, so this one counts, and checks that the machine is left as it was.
 *
 * Usage: tsx test/run.ts [options] [part of a path]...
 *   --root DIR       where to look, default: test/
 *   --deadline S     for one file, default: 600
 *   --jobs N         files at a time, default: one a CPU
 *   --coverage       measure it, and report it in coverage/
 *   --no-machine     do not compare the machine's state
 *   --again N        a file that failed has another try, alone, when the others have ended; not if more than N failed.
 *                    What failed stays in the output, and a file that passes then is listed as unsteady.
 *
 * A file whose first line is `// @serial` runs alone, after the others.
 * The last line is `N passed, N failed`. Exit 1 if a test failed or none ran.
 */
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { widenPath } from "../.ci/machine.mjs";
import { coverageDirectory, reportCoverage } from "./setup/coverage.js";
import { type Result, runFile } from "./setup/file.js";
import { leftovers, snapshot } from "./setup/machine.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values, positionals: filters } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    root: { type: "string", default: join(root, "test") },
    deadline: { type: "string", default: "600" },
    jobs: { type: "string", default: String(availableParallelism()) },
    coverage: { type: "boolean", default: false },
    machine: { type: "boolean", default: true },
    again: { type: "string", default: "0" },
  },
});

const files = readdirSync(values.root, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => join(values.root, name))
  .filter((file) => filters.length === 0 || filters.some((filter) => relative(root, file).includes(filter)))
  .sort();
const serial = (file: string) => readFileSync(file, "utf8").split("\n", 1)[0]?.trim() === "// @serial";

widenPath();
const env = { ...process.env };
if (values.coverage) env["NODE_V8_COVERAGE"] = coverageDirectory(root);
const stopped = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stopped.abort());

const results: Result[] = [];
function report(result: Result): void {
  results.push(result);
  const { passed, failed, skipped, seconds } = result;
  const name = relative(root, result.file);
  console.log(`${failed > 0 ? "FAIL" : "ok  "}  ${name}  ${passed}/${passed + failed}  ${seconds.toFixed(1)} s`);
  if (failed > 0)
    console.log(`${result.output.trimEnd()}\n${result.problems.map((each) => `  ${name} ${each}\n`).join("")}`);
  if (skipped > 0)
    console.log(`SKIPPED  ${name}  ${skipped}\n${result.skips.map((line) => `  ${name}:${line}\n`).join("")}`);
}

async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined && !stopped.signal.aborted; file = queue.shift()) {
    report(await runFile(file, { deadline: Number(values.deadline) * 1000, env, signal: stopped.signal }));
  }
}

const before = values.machine ? snapshot() : undefined;
const parallel = files.filter((file) => !serial(file));
await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, () => work(parallel)));
await work(files.filter(serial));

// Real processes on a loaded machine: one that misses a deadline says little about the code. Many do.
const failures = results.filter((result) => result.failed > 0);
const unsteady: string[] = [];
if (failures.length <= Number(values.again)) {
  for (const first of failures) {
    console.log(`again ${relative(root, first.file)}`);
    results.splice(results.indexOf(first), 1);
    await work([first.file]);
    if (results.at(-1)?.failed === 0) unsteady.push(relative(root, first.file));
  }
}
const none = !results.some((result) => result.passed + result.failed > 0);
if (before) {
  const left = await leftovers(before);
  const problems = left.map((line) => `left: ${line}`);
  const counts = { passed: left.length > 0 ? 0 : 1, failed: left.length > 0 ? 1 : 0, skipped: 0, seconds: 0 };
  report({ file: join(root, "leaves the machine as it was"), ...counts, problems, skips: [], output: "" });
}
if (stopped.signal.aborted) process.exit(130);

if (values.coverage) console.log(reportCoverage(root, env["NODE_V8_COVERAGE"] ?? "", ["text", "lcov"]));
const sum = (count: (result: Result) => number) => results.reduce((total, result) => total + count(result), 0);
const passed = sum((result) => result.passed);
const failed = sum((result) => result.failed);
const skipped = sum((result) => result.skipped);
if (unsteady.length > 0) console.log(`UNSTEADY: failed at first, see above: ${unsteady.join(", ")}`);
if (none) console.log(files.length === 0 ? "no test file matches" : "no test ran");
if (skipped > 0) console.log(`SKIPPED: ${skipped} tests, see above`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || none ? 1 : 0;
