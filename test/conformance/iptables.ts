/** The pod that carries Istio's rules. */
import { command } from "../../src/demo/process.js";
import type { CaptureConfig } from "./config.js";
import { type Family, restoreInput } from "./generate.js";
import type { Site } from "./site.js";
import { familyOf, type Socket } from "./sockets.js";

const tables = ["mangle", "nat", "raw"] as const;
const families: readonly Family[] = [4, 6];
const program = (family: Family, name: string): string => `${family === 4 ? "iptables" : "ip6tables"}${name}`;

function inPod(site: Site, argv: readonly string[], input = ""): Promise<string> {
  return command(["nsenter", `--net=${site.pod.netns}`, ...argv], input);
}

/** Puts the rules in the place of those that were there. A family without rules has none. */
export async function loadRules(site: Site, rules: Readonly<Record<Family, string>>): Promise<void> {
  const load = (family: Family): Promise<string> => {
    // A table that is named is emptied first.
    const others = tables.filter((table) => !rules[family].includes(`* ${table}\n`));
    const input = others.map((table) => `* ${table}\nCOMMIT\n`).join("") + rules[family];
    return inPod(site, [program(family, "-restore")], input);
  };
  await Promise.all(families.map(load));
  await site.flush();
}

export function generatedRules(config: CaptureConfig): Record<Family, string> {
  return { 4: restoreInput(config, 4), 6: restoreInput(config, 6) };
}

/** The restore input of a golden file: its blocks of the first family, then of the second. */
export function goldenRules(text: string): Record<Family, string> {
  const blocks = text.match(/^\* [\s\S]*?^COMMIT\n/gm) ?? [];
  const second = blocks.findIndex((block, i) => i > 0 && block.startsWith("* nat"));
  const cut = blocks[0]?.startsWith("* nat") && second > 0 ? second : blocks.length;
  return { 4: blocks.slice(0, cut).join(""), 6: blocks.slice(cut).join("") };
}

/** Opens the socket once more and tells which rules counted its first packet, in the order of the tables. */
export async function matchedRules(site: Site, socket: Socket): Promise<string[]> {
  const family = familyOf(socket);
  for (const table of tables) await inPod(site, [program(family, ""), "-t", table, "-Z"]);
  await site.flush();
  await site.ask([socket]);
  const saved = await inPod(site, [program(family, "-save"), "-c"]);
  return saved.split("\n").flatMap((line) => {
    const [, packets = "0", rule = ""] = /^\[(\d+):\d+\] (-A .*)$/.exec(line) ?? [];
    return packets === "0" ? [] : [rule];
  });
}
