import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.js";

/** The programs that the demo runs in its pods, each a process of its own that loads no other. */
const roles = {
  workload: async () => (await import("./workload.js")).runWorkload,
  proxy: async () => (await import("./proxy.js")).runProxy,
  call: async () => (await import("./call.js")).runCall,
} as const;
export type Role = keyof typeof roles;

/**
 * The command line that starts a role: the bundle's hidden command `__<role>`, or from source `roleMain.ts`
 * through tsx. Absolute paths only, so it does not matter where it is started.
 */
export function roleArgv(role: Role, args: readonly string[]): [string, ...string[]] {
  // In the bundle this file is part of shunt.js.
  const entry = import.meta.url.endsWith("/role.ts")
    ? ["--import", import.meta.resolve("tsx/esm"), fileURLToPath(new URL("roleMain.ts", import.meta.url))]
    : [fileURLToPath(import.meta.url)];
  return [process.execPath, ...entry, `__${role}`, ...args];
}

/**
 * Runs a role in this process. Resolves when a server listens, or a call is answered.
 * @throws UsageError for an unknown role or wrong arguments.
 */
export async function runRole(role: string, argv: readonly string[]): Promise<void> {
  if (!Object.hasOwn(roles, role)) throw new UsageError(`there is no role ${role}`);
  try {
    const run = await roles[role as Role]();
    await run(argv);
  } catch (error) {
    // parseArgs, URL and http.request throw TypeErrors for what is wrong with a value.
    const wrong = error instanceof RangeError || (error instanceof TypeError && "code" in error);
    if (wrong) throw new UsageError(`${role}: ${error.message}`);
    throw error;
  }
}
