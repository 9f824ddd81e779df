/** Parsing of the command line, and what several commands share. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { NodeError, UsageError } from "../errors.js";
import { ensureCgroup2 } from "../kernel/mounts.js";
import type { Native } from "../kernel/native.js";
import { findPodRoots } from "../node/root.js";

export const defaultBpffs = "/sys/fs/bpf";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** @throws UsageError in words, with the command to ask for help. */
export function parseOptions<T extends Options>(command: string, args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const why = (error as Error).message.split(". To specify")[0];
    throw new UsageError(`shunt ${command}: ${why}. See "shunt ${command} --help".`);
  }
}

/** @throws UsageError if a flag's value is none of its choices. */
export function choose<T extends string>(command: string, flag: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new UsageError(`shunt ${command}: --${flag} ${text}: ${choices.join(" or ")}`);
  return found;
}

/**
 * @param given `--cgroup-root`.
 * @returns the pods' root cgroup, and what unmounts cgroup2 if it had to be mounted to find it.
 * @throws NodeError if none is given and there is none, or more than one, by kubelet's names.
 */
export function podRoot(native: Native, given: string | undefined): { path: string; release(): void } {
  if (given !== undefined) return { path: given, release() {} };
  const { path, release } = ensureCgroup2(native);
  const [first, ...others] = findPodRoots(path);
  if (first !== undefined && others.length === 0) return { path: first, release };
  release();
  if (first === undefined) {
    throw new NodeError(
      `no kubepods cgroup under ${path}: start kubelet, or name the pods' root cgroup with --cgroup-root`,
    );
  }
  throw new NodeError(`several kubepods cgroups (${[first, ...others].join(", ")}): name one with --cgroup-root`);
}
