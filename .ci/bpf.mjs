/**
 * From C to one loadable object. No dependencies but clang, bpftool and llvm-strip: the agent does the same
 * for `shunt run --compile`.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { arch } from "node:os";
import { basename, dirname, join } from "node:path";

/** Where Debian keeps asm/types.h, which clang does not search for the bpf target. */
function architectureHeaders() {
  try {
    const triple = execFileSync("gcc", ["-print-multiarch"], { encoding: "utf8", stdio: "pipe" }).trim();
    if (triple !== "") return `/usr/include/${triple}`;
  } catch {
    // A node that compiles may have clang alone.
  }
  const machine = { x64: "x86_64", arm64: "aarch64", ppc64: "powerpc64le" }[arch()] ?? arch();
  return `/usr/include/${machine}-linux-gnu`;
}

const tool = (name, ...args) => execFileSync(name, args, { encoding: "utf8", stdio: "pipe" });

/**
 * Compiles every `*.bpf.c` of a directory and links them into one object with BTF and without DWARF.
 * The output appears whole or, on an error, not at all.
 * @throws Error with what the tool printed in `stderr`.
 */
export function compile(sources, output) {
  mkdirSync(dirname(output), { recursive: true });
  // Beside the output, so that the last step can be a rename.
  const scratch = mkdtempSync(`${output}.`);
  try {
    const headers = architectureHeaders();
    const objects = readdirSync(sources)
      .filter((name) => name.endsWith(".bpf.c"))
      .sort()
      .map((name) => {
        const object = join(scratch, `${basename(name, ".c")}.o`);
        tool(
          "clang",
          "-O2",
          "-g",
          "-target",
          "bpf",
          "-Wall",
          "-Wextra",
          "-Werror",
          `-I${headers}`,
          "-c",
          join(sources, name),
          "-o",
          object,
        );
        return object;
      });
    const linked = join(scratch, "linked.o");
    tool("bpftool", "gen", "object", linked, ...objects);
    tool("llvm-strip", "-g", linked);
    renameSync(linked, output);
  } catch (error) {
    rmSync(output, { force: true });
    throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
