/** Coverage as V8 counts it in every process below the runner, put together by c8. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** @returns what NODE_V8_COVERAGE is to be, empty. */
export function coverageDirectory(root: string): string {
  const directory = join(root, "coverage/tmp");
  rmSync(directory, { recursive: true, force: true });
  return directory;
}

/** @param reporters of c8: `text`, `text-summary`, `lcov`. @returns what c8 printed. */
export function reportCoverage(root: string, directory: string, reporters: readonly string[]): string {
  const c8 = join(dirname(createRequire(import.meta.url).resolve("c8/package.json")), "bin/c8.js");
  const options = ["--temp-directory", directory, "--include", "src/**", "--exclude-after-remap"];
  const text = execFileSync(
    process.execPath,
    [c8, "report", ...options, ...reporters.flatMap((name) => ["--reporter", name])],
    { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 },
  ).trimEnd();
  // A hundred megabytes, and the next run begins anew.
  rmSync(directory, { recursive: true, force: true });
  return text;
}
