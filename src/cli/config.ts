/** `--config FILE`: settings for the whole mesh, read at the start and followed while the agent runs. */
import { UsageError } from "../errors.js";
import type { Native } from "../kernel/native.js";
import { describeProblem, type Problem } from "../model/problem.js";
import type { OpenSource } from "../model/source.js";
import { type Config, noConfig, policyOptions, readConfig } from "../policy/config.js";
import type { PolicyOptions } from "../policy/podPolicy.js";
import { type FileText, readText, watchFile } from "../source/watchedFile.js";

function read(file: string, found: FileText): ReturnType<typeof readConfig> {
  if ("text" in found) return readConfig(found.text, file);
  return { problems: [{ kind: "mesh", where: file, pod: "", key: "file", value: "", why: found.why }] };
}

/**
 * Reads the file once.
 * @param file undefined: there is none.
 * @throws UsageError with all that is wrong, a line each: the file, the key in it, the value, why.
 */
export function readConfigFile(command: string, file: string | undefined): Config {
  if (file === undefined) return noConfig;
  const found = read(file, readText(file));
  if ("config" in found) return found.config;
  throw new UsageError(found.problems.map((each) => `shunt ${command}: --config ${describeProblem(each)}`).join("\n"));
}

export interface Settings {
  /** What holds now; the same object until an edit. */
  options(): PolicyOptions;
  /** The source with the file's edits and problems beside its own. A bad edit changes nothing but the problems. */
  beside(open: OpenSource): OpenSource;
}

export interface SettingsOptions {
  /** Undefined: there is none, and nothing is followed. */
  readonly file: string | undefined;
  /** They win over the file. */
  readonly flags: Config;
  readonly dns: NonNullable<PolicyOptions["dns"]>;
  readonly openInotify: Native["openInotify"];
}

/** @throws UsageError as {@link readConfigFile}. */
export function openSettings(command: string, { file, flags, dns, openInotify }: SettingsOptions): Settings {
  const merged = (config: Config): PolicyOptions => ({ ...policyOptions(flags, config), dns });
  let options = merged(readConfigFile(command, file));
  if (file === undefined) return { options: () => options, beside: (open) => open };
  let problems: readonly Problem[] = [];
  const take = (found: ReturnType<typeof readConfig>): void => {
    problems = "problems" in found ? found.problems.map(kept) : [];
    if ("config" in found) options = merged(found.config);
  };
  return {
    options: () => options,
    beside: (open) => (onChange) => {
      const source = open(onChange);
      let opened = false;
      try {
        const watched = watchFile({
          path: file,
          openInotify: (onEvents) => openInotify(onEvents),
          onText(text) {
            take(read(file, text));
            // Whoever opens it has no source to ask yet, and will ask it in any case.
            if (opened) onChange();
          },
        });
        opened = true;
        return {
          ...source,
          name: `${source.name}, settings ${file}`,
          snapshot() {
            const snapshot = source.snapshot();
            return { ...snapshot, problems: [...problems, ...snapshot.problems] };
          },
          close() {
            watched.close();
            source.close();
          },
        };
      } catch (error) {
        source.close();
        throw error;
      }
    },
  };
}

function kept(problem: Problem): Problem {
  return { ...problem, why: `${problem.why}; what the file said before stays` };
}
