/** What a README shows, run as it stands there. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { explain } from "../../src/cli/explain.js";
import { root } from "./folder.js";

interface Shown {
  readonly command: string;
  /** Lines that it prints, in order; others may stand between them where there is `…`. */
  readonly lines: readonly string[];
}

/** Commands with what they print: lines after `$ ` in a block of code. */
export function shownIn(readme: string): Shown[] {
  const blocks = [...readme.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const [command = "", ...lines] = part.replaceAll("\\\n", "").trimEnd().split("\n");
        return { command: command.replaceAll(/ +/g, " "), lines: lines.filter((line) => line !== "") };
      }),
  );
}

const prefix = "node dist/shunt.js explain ";

/** @returns what is wrong, a line each. */
export async function checkReadme(readme: string): Promise<string[]> {
  const wrong: string[] = [];
  for (const [, path = ""] of readme.matchAll(/(deploy\/examples\/[\w./-]*\w)/g))
    if (!existsSync(join(root, path))) wrong.push(`${path} is not there`);
  const shown = shownIn(readme);
  if (shown.length === 0) wrong.push("it shows no command");
  for (const { command, lines } of shown) {
    if (!command.startsWith(prefix)) {
      wrong.push(`${command}: only explain can be checked`);
      continue;
    }
    const printed: string[] = [];
    await explain(command.slice(prefix.length).split(" "), (text) => printed.push(...text.split("\n")));
    wrong.push(...differences(printed, lines).map((line) => `${command}: ${line}`));
    if (!lines.some((line) => line.startsWith("verdict "))) wrong.push(`${command}: it does not show the verdict`);
  }
  return wrong;
}

/** The lines that are shown, in what was printed: one after the other, and after `…` anywhere below. */
function differences(printed: readonly string[], lines: readonly string[]): string[] {
  let next = 0;
  let skips = false;
  for (const line of lines) {
    if (line === "…") {
      skips = true;
      continue;
    }
    const at = printed.findIndex((each, i) => i >= next && each.trimEnd() === line);
    if (at < 0 || (!skips && at !== next))
      return [`${JSON.stringify(line)}, where it prints ${JSON.stringify(printed[next])}`];
    next = at + 1;
    skips = false;
  }
  return [];
}
