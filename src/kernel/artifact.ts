/** Where the built files are: beside the bundle when shipped, in `dist/` when run from source. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

function near(places: readonly string[], name: string): string | undefined {
  return places.map((place) => join(fileURLToPath(new URL(place, import.meta.url)), name)).find(existsSync);
}

/**
 * @param name `shunt.node`, `shunt.bpf.o` or `shunt.js`.
 * @returns its absolute path.
 * @throws Error that names the file and says how to build it.
 */
export function artifact(name: string): string {
  const path = near(["./", "../../dist/"], name);
  if (path === undefined) throw new Error(`${name} is not built: run "npm run build"`);
  return path;
}

/** @returns the directory of the programs' sources, for `--compile`. @throws Error if they were not shipped. */
export function sources(): string {
  const path = near(["./", "../", "../../"], "bpf");
  if (path === undefined) throw new Error("the programs' sources (bpf/) were not shipped with this build");
  return path;
}
