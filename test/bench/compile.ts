/**
 * From 1,000 pods and 200 Sidecars of 50 rules each to the operations that write them: the first pass of a process that has
 * just begun, as at every start of the agent, later ones, and the pass after an edit of one pod. Documents have been
 * read before, and nothing is written. The code is bundled as the agent's is.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { podsWanted, sidecarsWanted } from "./compileInput.js";
import type { CompileRun, Spent } from "./compileRun.js";
import { median } from "./statistics.js";

/** Processes. */
const rounds = 9;
const execute = promisify(execFile);

/** The same way as .ci/build.mjs, but for what this needs not. */
async function bundle(directory: string): Promise<string> {
  const outfile = join(directory, "compileRun.cjs");
  const entry = fileURLToPath(new URL("compileRun.ts", import.meta.url));
  await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", format: "cjs", target: "node20" });
  return outfile;
}

function described(name: string, all: readonly Spent[]): string {
  const of = (key: keyof Spent): string => {
    const values = all.map((spent) => spent[key]);
    return `${median(values).toFixed(1)} ms (least ${Math.min(...values).toFixed(1)})`;
  };
  return `  ${name.padEnd(34)} CPU ${of("cpu")}, on the clock ${of("wall")}`;
}

/** Prints medians over the processes, and the least. */
export async function benchCompile(print: (text: string) => void): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "shunt-compile-"));
  try {
    const script = await bundle(directory);
    const runs: CompileRun[] = [];
    for (let round = 0; round < rounds; round++) {
      const { stdout } = await execute(process.execPath, [script]);
      runs.push(JSON.parse(stdout) as CompileRun);
    }
    const { operations = 0, policies = 0, rules = 0 } = runs[0] ?? {};
    print(
      [
        `compile: ${podsWanted} pods and ${sidecarsWanted} Sidecars of 50 rules each make ${policies} policies with ${rules} rules, ${operations} operations; ${rounds} processes`,
        described(
          "first pass of a process",
          runs.map((run) => run.cold),
        ),
        described(
          "a pass over all, the code warm",
          runs.map((run) => run.warm),
        ),
        described(
          "one pod edited, median of 51",
          runs.map((run) => run.edit),
        ),
        described(
          "one pod edited, longest of 51",
          runs.map((run) => run.longestEdit),
        ),
      ].join("\n"),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}
