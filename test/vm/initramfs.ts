/** A root file system of what the guest needs and nothing else: node, the built agent's parts, one script. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { hasCommand } from "../../.ci/machine.mjs";
import { artifact } from "../../src/kernel/artifact.js";
import { cpio, type Entry } from "./cpio.js";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The shared libraries of a binary, the loader among them. */
function libraries(binary: string): string[] {
  let text = "";
  try {
    text = execFileSync("ldd", [binary], { encoding: "utf8", stdio: "pipe" });
  } catch {
    return []; // A static one.
  }
  return [...text.matchAll(/(?:=>\s+|^\s+)(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
}

function launcher(directory: string): Uint8Array {
  const path = join(directory, "init");
  execFileSync("gcc", ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o", path, here("init.c")]);
  return readFileSync(path);
}

/** @param script its imports come along, so that it can use `src/`. */
async function bundle(script: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [script],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    banner: {
      js: 'import { createRequire as guestRequire } from "node:module";\nconst require = guestRequire(import.meta.url);',
    },
  });
  return outputFiles[0]?.contents ?? new Uint8Array();
}

function which(command: string): string {
  const directory = (process.env["PATH"] ?? "").split(delimiter).find((each) => hasCommand(command, { PATH: each }));
  if (!directory) throw new Error(`${command} is not installed`);
  return join(directory, command);
}

/**
 * Writes an initramfs whose init runs `script` with node. Beside the script lie shunt.node and shunt.bpf.o, where
 * `artifact()` finds them.
 * @param commands programs to bring along into /bin, by name.
 * @param path where to write it.
 */
export async function initramfs(script: string, commands: readonly string[], path: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "shunt-initramfs-"));
  try {
    const addon = artifact("shunt.node");
    const binaries = [
      ["bin/node", process.execPath],
      ...commands.map((command) => [`bin/${command}`, which(command)]),
    ] as const;
    const needed = new Set([...binaries.map(([, from]) => from ?? ""), addon].flatMap(libraries));
    const copy = (to: string, from: string, mode: number): Entry => ({ path: to, mode, data: readFileSync(from) });
    writeFileSync(
      path,
      cpio([
        { path: "init", mode: 0o755, data: launcher(scratch) },
        { path: "dev/.keep", data: new Uint8Array() },
        ...binaries.map(([to, from]) => copy(to ?? "", from ?? "", 0o755)),
        // The loader has its path from the binaries, the others are found in /lib wherever they were here.
        ...[...needed].map((from) =>
          copy(/\/ld-[^/]+$/.test(from) ? from.slice(1) : `lib/${basename(from)}`, from, 0o755),
        ),
        copy("shunt/shunt.node", addon, 0o755),
        copy("shunt/shunt.bpf.o", artifact("shunt.bpf.o"), 0o644),
        { path: "shunt/guest.mjs", data: await bundle(script) },
      ]),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
