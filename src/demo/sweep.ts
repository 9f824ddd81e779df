import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { cgroup2Mount, removeCgroup } from "./cgroup.js";
import { ownerLives, parseLabName } from "./labName.js";
import { unmountBelow } from "./mounts.js";

/** The two places where a lab has something: everything else hangs below them. */
export interface LabPlaces {
  /** `<cgroup2>/<name>`. */
  readonly cgroup: string;
  /** `/run/<name>`. */
  readonly directory: string;
}

/** Scratch directories are here: a tmpfs, gone after a reboot as cgroups are. */
export const scratchRoot = "/run";

/**
 * Removes what a lab has: processes, cgroups, mounts (and with them the namespaces), files. What is not there is
 * no error, and one part that fails does not keep the others from going.
 * @throws AggregateError whose message says what is left and why.
 */
export async function removeLab(places: LabPlaces): Promise<void> {
  const steps = [
    () => removeCgroup(places.cgroup),
    async () => {
      await unmountBelow(places.directory);
      await rm(places.directory, { recursive: true, force: true }); // never while something is mounted in it
    },
  ];
  const errors: Error[] = [];
  for (const step of steps) await step().catch((error: Error) => errors.push(error));
  if (errors.length > 0) throw new AggregateError(errors, errors.map((error) => error.message).join("; "));
}

export interface Swept {
  readonly name: string;
  /** Whether nothing of it is left. */
  readonly removed: boolean;
  /** Why something is left. */
  readonly error?: Error;
}

/**
 * Removes the labs whose owner died without closing them (kill -9). A lab whose owner lives is left alone.
 * @param kind only labs of this kind.
 * @param cgroup2 where to look; the cgroup2 mount by default.
 */
export async function sweepLabs(kind: string, cgroup2?: string): Promise<Swept[]> {
  const root = cgroup2 ?? cgroup2Mount();
  const entries = [...(await readdir(root)), ...(await readdir(scratchRoot))];
  const dead = [...new Set(entries)].filter((entry) => {
    const name = parseLabName(entry);
    return name !== undefined && name.kind === kind && !ownerLives(name);
  });
  return Promise.all(
    dead.map(async (name): Promise<Swept> => {
      try {
        await removeLab({ cgroup: join(root, name), directory: join(scratchRoot, name) });
        return { name, removed: true };
      } catch (error) {
        return { name, removed: false, error: error as Error };
      }
    }),
  );
}
