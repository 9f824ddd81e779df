/** `--compile`: the object made on this machine, from the sources that were shipped, once for each content. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeError } from "../errors.js";

/** GNU's name for the machine: where Debian keeps <asm/types.h>. */
const triples: Partial<Record<NodeJS.Architecture, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

function run(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") {
      throw new NodeError(
        `--compile needs ${command}, which is not installed: apt-get install clang llvm bpftool libbpf-dev`,
      );
    }
    throw new NodeError(`${command} failed: ${(stderr ?? "").trim() || message}`);
  }
}

/**
 * @param sources directory of the .bpf.c files. @param cache directory where objects are kept by content.
 * @returns path of the object, and whether it was compiled now.
 * @throws NodeError if the compiler is missing or refuses.
 */
export function compileObject(sources: string, cache: string): { path: string; compiled: boolean } {
  const files = readdirSync(sources)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const include = `-I/usr/include/${triples[process.arch] ?? process.arch}`;
  const flags = ["-O2", "-g", "-target", "bpf", "-Wall", "-Wextra", "-Werror", include];
  const hash = createHash("sha256")
    .update(run("clang", ["--version"]))
    .update(flags.join(" "));
  for (const name of files) hash.update(`\0${name}\0`).update(readFileSync(join(sources, name)));
  mkdirSync(cache, { recursive: true });
  const path = join(cache, `${hash.digest("hex").slice(0, 16)}.bpf.o`);
  if (existsSync(path)) return { path, compiled: false };

  const scratch = mkdtempSync(join(tmpdir(), "shunt-compile-"));
  try {
    const objects = files
      .filter((name) => name.endsWith(".bpf.c"))
      .map((name) => {
        const object = join(scratch, name.replace(/c$/, "o"));
        run("clang", [...flags, "-c", join(sources, name), "-o", object]);
        return object;
      });
    const linked = join(scratch, "shunt.bpf.o");
    run("bpftool", ["gen", "object", linked, ...objects]);
    run("llvm-strip", ["-g", linked]);
    // Aside, then renamed: another agent that starts meanwhile sees none or all of it.
    const aside = join(cache, `.${process.pid}.o`);
    copyFileSync(linked, aside);
    renameSync(aside, path);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return { path, compiled: true };
}
