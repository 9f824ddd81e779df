import { fileURLToPath } from "node:url";

/** The command line that starts `shunt` itself: the bundle, or from source `main.ts` through tsx. */
export function shuntArgv(): [string, ...string[]] {
  if (!import.meta.url.endsWith("/shunt.ts")) {
    // This may be a part that the bundle loads when it is needed; the bundle itself lies beside it.
    return [process.execPath, fileURLToPath(new URL("./shunt.js", import.meta.url))];
  }
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  return [process.execPath, "--import", import.meta.resolve("tsx"), main];
}
