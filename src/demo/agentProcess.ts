/** The real agent as a process of its own, and what it says. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { mortal } from "./process.js";

/** One line of the agent's log. */
export interface AgentEvent {
  readonly event: string;
  readonly level: string;
  readonly msg: string;
  readonly pod?: string;
  /** Of `listening`. */
  readonly address?: string;
  readonly policy?: string;
  /** ms from the change's being seen to its policy in the kernel. */
  readonly latency?: number;
  /** ns, CLOCK_MONOTONIC, as text. */
  readonly at?: string;
}

export interface AgentProcess {
  readonly pid: number;
  /** Everything that it has said so far. */
  readonly events: readonly AgentEvent[];
  /**
   * The first event, from `from` on in {@link events}, that fits; those to come included.
   * @throws Error with the agent's last words if it ends before, or after `deadline` ms.
   */
  waitFor(fits: (event: AgentEvent) => boolean, from?: number, deadline?: number): Promise<AgentEvent>;
  /** Ends it with a signal. @returns its exit code, null if the signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface AgentProcessOptions {
  /** How `shunt` is started: program and first arguments. */
  readonly shunt: readonly string[];
  /** Absent if `args` name another source. */
  readonly manifests?: string;
  readonly cgroupRoot: string;
  readonly bpffs: string;
  readonly args?: readonly string[];
}

/** Starts `shunt run`. It dies with this process. */
export function startAgentProcess(options: AgentProcessOptions): AgentProcess {
  const { manifests, cgroupRoot, bpffs } = options;
  // Any port: several labs may run on a machine. The last of a flag counts, so `args` may say otherwise.
  const listen = ["--listen", "127.0.0.1:0", "--control", `${bpffs}.sock`];
  const source = manifests === undefined ? [] : ["--manifests", manifests];
  const places = [...source, "--cgroup-root", cgroupRoot, "--bpffs", bpffs];
  const flags = [...places, ...listen, ...(options.args ?? [])];
  const [program = "", ...argv] = mortal([...options.shunt, "run", ...flags]);
  const child = spawn(program, argv, { stdio: ["ignore", "pipe", "pipe"] });
  const events: AgentEvent[] = [];
  const waiting = new Set<() => void>();
  let ended: number | null | undefined;
  let errors = "";
  const wake = (): void => {
    for (const look of [...waiting]) look();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    events.push(parseLine(line));
    wake();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const exited = new Promise<number | null>((resolve) => {
    child.on("close", (code) => {
      ended = code;
      wake();
      resolve(code);
    });
    child.on("error", (error) => {
      errors += error.message;
      ended = 1;
      wake();
      resolve(1);
    });
  });
  const lastWords = (): string => [...events.slice(-3).map((event) => event.msg), errors].join("\n");

  return {
    pid: child.pid ?? 0,
    events,
    waitFor(fits, from = 0, deadline = 60_000) {
      return new Promise((resolve, reject) => {
        const done = (act: () => void): void => {
          clearTimeout(timer);
          waiting.delete(look);
          act();
        };
        const look = (): void => {
          const found = events.slice(from).find(fits);
          if (found !== undefined) done(() => resolve(found));
          else if (ended !== undefined) done(() => reject(new Error(`the agent ended with ${ended}: ${lastWords()}`)));
        };
        const timer = setTimeout(() => {
          done(() =>
            reject(new Error(`the agent did not say it within ${deadline} ms. Its last words: ${lastWords()}`)),
          );
        }, deadline);
        waiting.add(look);
        look();
      });
    },
    stop(signal = "SIGTERM") {
      if (ended === undefined) child.kill(signal);
      return exited;
    },
  };
}

function parseLine(line: string): AgentEvent {
  try {
    return JSON.parse(line) as AgentEvent;
  } catch {
    return { event: "", level: "", msg: line };
  }
}
