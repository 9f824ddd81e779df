/** The C programs of the comparison, compiled when they are needed. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { command } from "../../src/demo/process.js";

export interface Programs {
  /** Paths. */
  readonly serve: string;
  readonly ask: string;
  remove(): Promise<void>;
}

export async function compilePrograms(): Promise<Programs> {
  const directory = await mkdtemp(join(tmpdir(), "shunt-conformance-"));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const compile = async (name: string): Promise<string> => {
    const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
    const program = join(directory, name);
    await command(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
    return program;
  };
  try {
    // The proxy's user runs one of them.
    await command(["chmod", "755", directory]);
    return { serve: await compile("serve"), ask: await compile("ask"), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
