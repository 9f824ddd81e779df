import { readMounts } from "../kernel/mounts.js";
import { CommandError, command } from "./process.js";

/**
 * Takes away every mount below a directory, the newest first. Lazily: a holder of an open file (an agent that
 * watches a namespace) shall not keep the others there.
 * @throws Error that names what is still mounted.
 */
export async function unmountBelow(directory: string): Promise<void> {
  const below = (): string[] =>
    readMounts()
      .map((mount) => mount.target)
      .filter((target) => target.startsWith(`${directory}/`));
  const targets = below().reverse();
  if (targets.length === 0) return;
  let why = "";
  try {
    await command(["umount", "--lazy", "--no-mtab", ...targets]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    why = error.outcome.stderr.trim(); // another sweep may have been quicker: what counts is what is left
  }
  const left = below();
  if (left.length > 0) throw new Error(`cannot unmount ${left.join(", ")}: ${why}`);
}
