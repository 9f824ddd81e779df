/** Tables for people. */

/**
 * What a terminal would act on instead of showing it: control characters and those that turn the direction of
 * writing. Names of processes and pods come from whoever runs there.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The text with the others written as `\u001b`. */
export function plain(text: string): string {
  return text.replace(unprintable, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @param widths of the columns, in characters; they grow with what does not fit. */
export function row(cells: readonly string[], widths: number[]): string {
  const shown = cells.map((cell) => plain(cell) || "–");
  for (const [i, cell] of shown.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return shown
    .map((cell, i) => cell.padEnd(widths[i] ?? 0))
    .join("  ")
    .trimEnd();
}

/** Columns as wide as their widest cell. @param lines the head first. */
export function table(lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) row(line, widths);
  const [head = "", ...rest] = lines.map((line) => row(line, widths));
  return [head, widths.map((width) => "─".repeat(width)).join("  "), ...rest].join("\n");
}
