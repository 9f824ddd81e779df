/**
 * The command line, and the only place that knows exit codes: 0 ok, 1 failed, 2 wrong usage or bad input,
 * 3 the kernel or the node cannot.
 */
import { NodeError, UsageError } from "./errors.js";
import type { KernelError } from "./kernel/native.js";
import { version } from "./version.js";

const help = `Usage: shunt COMMAND [options]

Steers the sockets of Kubernetes mesh pods to their sidecar proxy, or lets them bypass it, without iptables.

  run       the agent
  demo      see it work on this machine: real pods, a real proxy, real connections
  status    the agent, its pods and policies, problems, programs; without an agent, what is in the kernel
  flows     decisions as they happen
  explain   what becomes of one connection of a pod, and the rule behind it
  doctor    can this kernel and this node do it, and who else is here
  wait      inside a pod, as its proxy's user: return once the pod is captured
  unload    remove every program, link, pin and map, and prove it

"shunt COMMAND --help" tells more. Exit codes: 0 ok, 1 failed, 2 wrong usage or bad input, 3 the kernel or
the node cannot.
`;

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

interface Command {
  readonly help: string;
  /** @returns the exit code. */
  run(args: readonly string[]): number | Promise<number>;
}

/** Each loads its own code only: the agent's memory and its start have no room for the demo's. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  async run() {
    const { run, runHelp } = await import("./cli/run.js");
    return { help: runHelp, run: (args) => run(args).then(() => 0) };
  },
  async demo() {
    const { demo, demoHelp } = await import("./cli/demo.js");
    return { help: demoHelp, run: async (args) => ((await demo(args, print)) ? 0 : 1) };
  },
  async status() {
    const { status, statusHelp } = await import("./cli/status.js");
    return { help: statusHelp, run: (args) => status(args, print) };
  },
  async flows() {
    const { flows, flowsHelp } = await import("./cli/flows.js");
    return { help: flowsHelp, run: (args) => flows(args, { print, note }) };
  },
  async explain() {
    const { explain, explainHelp } = await import("./cli/explain.js");
    return { help: explainHelp, run: (args) => explain(args, print) };
  },
  async doctor() {
    const { doctor, doctorHelp } = await import("./cli/doctor.js");
    return { help: doctorHelp, run: async (args) => ((await doctor(args, print)) ? 0 : 3) };
  },
  async wait() {
    const { wait, waitHelp } = await import("./cli/wait.js");
    return { help: waitHelp, run: (args) => wait(args, print).then(() => 0) };
  },
  async unload() {
    const { unload, unloadHelp } = await import("./cli/unload.js");
    return { help: unloadHelp, run: async (args) => ((await unload(args, print)) ? 0 : 1) };
  },
};

/** What the kernel said, in words; the verifier's lines below. */
function describe(error: Error): string {
  const { verifier } = error as Partial<KernelError>;
  return verifier === undefined || verifier === "" ? error.message : `${error.message}\n${verifier}`;
}

/** What is left to do after the special cases. */
async function runCommand(name: string, args: readonly string[]): Promise<number> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) throw new UsageError(`shunt: there is no command ${name}. See "shunt --help".`);
  if (process.platform !== "linux") throw new NodeError("shunt needs Linux: this is another system");
  const command = await load();
  if (!args.includes("--help") && !args.includes("-h")) return await command.run(args);
  print(command.help);
  return 0;
}

async function main(args: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = args;
  if (["--help", "-h", "help"].includes(name)) print(help);
  else if (name === "--version") print(version);
  else if (name.startsWith("__")) await (await import("./demo/role.js")).runRole(name.slice(2), rest);
  else return await runCommand(name, rest);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : error instanceof NodeError ? 3 : 1;
    // A handle that is still open must not keep a failed command alive.
    setImmediate(() => process.exit());
  },
);
