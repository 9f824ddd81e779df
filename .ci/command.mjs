/** Runs the tools of the build: quiet when they succeed, the end of what they said when they fail. */
import { spawn } from "node:child_process";

/** A failure that needs no stack trace: the tool has said what is wrong. */
export class CommandFailed extends Error {}

const tail = (text, lines) => text.trimEnd().split("\n").slice(-lines).join("\n");

/**
 * @param options.env the environment, instead of the caller's.
 * @param options.signal passes a request to stop on to the command; the promise still waits for its end.
 * @param options.lines how much of the output a failure shows.
 * @returns what it printed.
 * @throws CommandFailed
 */
export function run(command, args, { cwd, env, signal, lines = 40 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
      });
    }
    const stop = () => child.kill(signal.reason);
    signal?.addEventListener("abort", stop);
    child.once("error", (error) => reject(new CommandFailed(`${command}: ${error.message}`)));
    child.once("close", (code, killedBy) => {
      signal?.removeEventListener("abort", stop);
      if (code === 0) return resolve(output);
      const why = killedBy ? `was ended by ${killedBy}` : `failed with status ${code}`;
      reject(new CommandFailed(`${tail(output, lines)}\n${command} ${args.join(" ")} ${why}`));
    });
  });
}
