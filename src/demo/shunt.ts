import { fileURLToPath } from "node:url";

/** The command line that starts `shunt` itself: the bundle, or from source `main.ts` through tsx. */
export function shuntArgv(): [string, ...string[]] {
  if (!import.meta.url.endsWith("/shunt.ts")) return [process.execPath, fileURLToPath(import.meta.url)];
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  return [process.execPath, "--import", import.meta.resolve("tsx"), main];
}
