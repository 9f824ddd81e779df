/** The C programs of the comparison, compiled when they are needed. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command } from "../../src/demo/process.js";

/** Paths. */
export interface Programs {
  readonly serve: string;
  readonly ask: string;
}

/** @param directory that any user can read, and that goes with its owner: a lab's. */
export async function compilePrograms(directory: string): Promise<Programs> {
  const compile = async (name: string): Promise<string> => {
    const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
    const program = join(directory, name);
    await command(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
    return program;
  };
  return { serve: await compile("serve"), ask: await compile("ask") };
}
