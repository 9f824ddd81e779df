import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";

/** How a program ended. */
export interface Outcome {
  /** Exit status; null if a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that the lab needs failed. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly argv: readonly string[];
  readonly outcome: Outcome;

  constructor(argv: readonly string[], outcome: Outcome) {
    const how = outcome.signal === null ? `status ${outcome.status}` : `signal ${outcome.signal}`;
    super(`${argv.join(" ")}: ${how}: ${outcome.stderr.trim() || outcome.stdout.trim() || "no message"}`);
    this.argv = argv;
    this.outcome = outcome;
  }
}

/** Collects what a program prints until it ends and its pipes are closed. Rejects if it cannot be started. */
export function outcomeOf(child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const printed = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        printed[name] += text;
      });
    }
    child.once("error", reject);
    child.once("close", (status, signal) => resolve({ status, signal, ...printed }));
  });
}

/**
 * Runs a command to its end.
 * @returns its standard output.
 * @throws CommandError unless it exits with 0.
 */
export async function command(argv: readonly [string, ...string[]], input = ""): Promise<string> {
  const child = spawn(argv[0], argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // EPIPE: it ended without reading; its status says why
  child.stdin.end(input);
  const outcome = await outcomeOf(child);
  if (outcome.status !== 0) throw new CommandError(argv, outcome);
  return outcome.stdout;
}

/**
 * Waits for the first line that a program prints, which for a server means that it listens.
 * From then on both pipes are drained, so the program never blocks on a full one.
 * @param child with stdout (and, for the message, stderr) as pipes.
 * @param within milliseconds.
 * @throws Error with what the program wrote to stderr if it ends first, or after `within`.
 */
export function firstLine(child: ChildProcess, within = 120_000): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      child.stdout?.off("data", onOut).resume();
      child.stderr?.off("data", onErr).resume();
      child.off("close", onClose).off("error", fail);
      act();
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const onOut = (text: Buffer): void => {
      out += text;
      const end = out.indexOf("\n");
      if (end >= 0) settle(() => resolve(out.slice(0, end)));
    };
    const onErr = (text: Buffer): void => {
      err += text;
    };
    const onClose = (status: number | null, signal: string | null): void =>
      fail(new Error(`process ${child.pid} ended (${signal ?? status}) before it printed a line: ${err.trim()}`));
    const timer = setTimeout(
      () => fail(new Error(`process ${child.pid} printed no line in ${within} ms: ${err.trim()}`)),
      within,
    );
    child.stdout?.on("data", onOut);
    child.stderr?.on("data", onErr);
    child.once("close", onClose).once("error", fail);
  });
}

/** Where a program runs and as whom. */
export interface Place {
  /** Path of the cgroup2 directory. */
  readonly cgroup: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** Real, effective and saved ids; as ours when absent. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * A program that is killed when we die (PR_SET_PDEATHSIG). If we have died before that was set, nobody tells it: its
 * parent is another one then, and it ends by itself, with 125.
 * @param ids options of setpriv(1), which sets it after the change of ids, as it has to be (util-linux 2.38): that
 *   clears it.
 */
export function mortal(argv: readonly string[], ids: readonly string[] = []): string[] {
  const script = '[ "$PPID" = "$0" ] || exit 125; exec "$@"';
  return ["setpriv", ...ids, "--pdeathsig=SIGKILL", "--", "sh", "-c", script, `${process.pid}`, ...argv];
}

/**
 * Starts a program inside a cgroup and a network namespace, as a container runtime would: it is there before
 * its first instruction. Each step replaces the one before (no fork), so the pid is the program's own.
 *
 * It dies with us ({@link mortal}). What it forks does not inherit that; {@link sweepLabs} finds those.
 * Exits with 125 if the cgroup cannot be entered.
 */
export function launch(
  place: Place,
  argv: readonly string[],
  options: { readonly stdio?: StdioOptions; readonly env?: NodeJS.ProcessEnv },
): ChildProcess {
  const ids = [
    ...(place.uid === undefined ? [] : [`--reuid=${place.uid}`]),
    ...(place.gid === undefined ? [] : [`--regid=${place.gid}`]),
    ...(place.uid === undefined && place.gid === undefined ? [] : ["--clear-groups"]),
  ];
  const script = 'echo 0 > "$0/cgroup.procs" || exit 125; exec "$@"';
  const enter = ["nsenter", `--net=${place.netns}`, ...mortal(argv, ids)];
  return spawn("sh", ["-c", script, place.cgroup, ...enter], {
    stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
}
