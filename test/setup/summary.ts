/** What uvu printed at the end of a file. */
import { stripVTControlCharacters } from "node:util";

export interface Summary {
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
}

/** @returns undefined where uvu said nothing: `test.run()` was not called, or the process ended before. */
export function parseSummary(output: string): Summary | undefined {
  const found = [
    ...stripVTControlCharacters(output).matchAll(
      /^ {2}Total: {5}(\d+)\n {2}Passed: {4}(\d+)\n {2}Skipped: {3}(\d+)\n {2}Duration:/gm,
    ),
  ].at(-1);
  return found && { total: Number(found[1]), passed: Number(found[2]), skipped: Number(found[3]) };
}

/** Suites of a file that are made and never run: uvu passes over them in silence. */
export function suitesNotRun(source: string): string[] {
  const names = [...source.matchAll(/\b(?:const|let)\s+(\w+)\s*=\s*suite\s*(?:<[^;]*?>)?\(/g)].map(
    (match) => match[1] ?? "",
  );
  return names.filter((name) => !new RegExp(`\\b${name}\\.run\\s*\\(`).test(source));
}

/** uvu counts skipped tests without their names; the source has the lines. */
export function skipLines(source: string): string[] {
  return source
    .split("\n")
    .map((line, index) => `${index + 1}: ${line.trim()}`)
    .filter((line) => /\.(skip|only)\b/.test(line));
}
