/** The command line as a person meets it: exit codes, and what is on which stream. */
import { type SpawnOptions, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Outcome, outcomeOf } from "../../src/demo/process.js";
import { ensureBpffs, readMounts } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { bundle } from "../kernel/agentBed.js";

/** Everybody may read it, unlike perhaps the repository. */
let directory: string;
let main: string;
test.before(async () => {
  directory = mkdtempSync(join(tmpdir(), "shunt-test-cli-"));
  main = await bundle(directory);
});
test.after(() => {
  for (const { target } of readMounts()) if (target.startsWith(`${directory}/`)) native().unmount(target);
  rmSync(directory, { recursive: true });
});

function start(argv: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  const [program = "", ...args] = argv;
  return outcomeOf(spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] }));
}
const shunt = (...args: readonly string[]): Promise<Outcome> => start([process.execPath, main, ...args]);
/** As a user who may do nothing, and who cannot write coverage either. */
const asNobody = (...args: readonly string[]): Promise<Outcome> => {
  // Empty: what is missing, Node adds.
  const env = { ...process.env, NODE_V8_COVERAGE: "" };
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  return start([...nobody, process.execPath, main, ...args], { env, cwd: "/" });
};

/** What was asked, the exit code, and what the one line on stderr says; nothing is on stdout. */
type Complaint = readonly [outcome: Promise<Outcome>, status: number, says: RegExp];

async function complain(...complaints: readonly Complaint[]): Promise<void> {
  for (const [promise, status, says] of complaints) {
    const outcome = await promise;
    assert.is(outcome.status, status, outcome.stderr);
    assert.match(outcome.stderr, says);
    assert.match(outcome.stderr, /^[^\n]+\n$/, "one line, no stack");
    assert.is(outcome.stdout, "");
  }
}

const options: Readonly<Record<string, readonly string[]>> = {
  run: [
    "--manifests",
    "--kubeconfig",
    "--node-name",
    "--cgroup-root",
    "--bpffs",
    "--listen",
    "--control",
    "--compile",
    "--compile-cache",
  ],
  demo: ["--keep"],
  status: ["--control", "--bpffs", "--json"],
  flows: ["--follow", "--control", "--json"],
  explain: ["--pod", "--to", "--udp", "--as", "--inbound", "--manifests", "--live", "--control", "--bpffs", "--json"],
  doctor: ["--cgroup-root", "--bpffs", "--json"],
  wait: ["--timeout", "--outbound-port", "--inbound-port"],
  unload: ["--bpffs", "--json"],
};
const commands = Object.keys(options);

test("help, in every way to ask for it", async () => {
  const ways = await Promise.all([[], ["--help"], ["-h"], ["help"]].map((args) => shunt(...args)));
  for (const { status, stdout, stderr } of ways) {
    assert.equal([status, stderr], [0, ""]);
    assert.is(stdout, ways[0]?.stdout);
    assert.match(stdout, /^Usage: shunt COMMAND/);
    for (const command of commands) assert.match(stdout, new RegExp(`^ +${command} +\\S`, "m"));
    for (const code of ["0 ok", "1 failed", "2 wrong usage", "3 the kernel"]) assert.ok(stdout.includes(code), code);
  }
});

test("each command's help names its options, whatever else is said", async () => {
  const helps = commands.map((command) => Promise.all([shunt(command, "--help"), shunt(command, "--nonsense", "-h")]));
  for (const [i, [help, late]] of (await Promise.all(helps)).entries()) {
    const command = commands[i] ?? "";
    assert.equal([help.status, help.stderr], [0, ""]);
    assert.match(help.stdout, new RegExp(`^Usage: shunt ${command}\\b`));
    for (const option of options[command] ?? []) assert.ok(help.stdout.includes(option), `${command} ${option}`);
    assert.is(late.stdout, help.stdout);
    assert.ok(help.stdout.split("\n").every((line) => line.length <= 120));
  }
});

test("--version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const { status, stdout, stderr } = await shunt("--version");
  assert.equal([status, stdout, stderr], [0, `${version}\n`, ""]);
});

test("wrong usage is exit 2 and one line that says what is wrong", async () => {
  await complain(
    [shunt("frobnicate"), 2, /no command frobnicate.*"shunt --help"/],
    [shunt("constructor"), 2, /no command constructor/],
    [shunt("--frobnicate"), 2, /--frobnicate/],
    [shunt("__frobnicate"), 2, /no role frobnicate/],
    [shunt("run"), 2, /--manifests DIR or --kubeconfig F is needed.*"shunt run --help"/],
    [shunt("run", "--manifests"), 2, /--manifests.*argument missing/],
    [shunt("doctor", "extra"), 2, /'extra'/],
  );
  await complain(
    ...commands.map((command): Complaint => {
      const says = new RegExp(`shunt ${command}: .*--frobnicate.*"shunt ${command} --help"`);
      return [shunt(command, "--frobnicate"), 2, says];
    }),
  );
});

test("directories that are not there, or are none, are exit 2 and named", async () => {
  const run = (...args: readonly string[]) => shunt("run", "--manifests", directory, ...args);
  const file = join(directory, "file");
  writeFileSync(file, "");
  await complain(
    [shunt("run", "--manifests", "/nonexistent"), 2, /--manifests \/nonexistent does not exist/],
    [shunt("run", "--manifests", file), 2, /--manifests .*\/file is not a directory/],
    [run("--cgroup-root", "/nonexistent"), 2, /--cgroup-root \/nonexistent does not exist/],
    [run("--cgroup-root", file), 2, /--cgroup-root .*\/file is not a directory/],
    [run("--cgroup-root", directory), 2, /--cgroup-root .* is not a directory of cgroup2/],
    [run("--bpffs", "/nonexistent/bpf"), 2, /--bpffs \/nonexistent does not exist/],
  );
});

test("who is not root is told so, with exit 3", async () => {
  await complain(
    [asNobody("run", "--manifests", directory), 3, /as root/],
    [asNobody("demo"), 3, /as root/],
    [asNobody("unload"), 3, /as root/],
  );
  const doctor = await asNobody("doctor");
  assert.equal([doctor.status, doctor.stderr], [3, ""]);
  assert.match(doctor.stdout, /^FAIL +root +.*as root/);
});

test("doctor says that this machine can, in lines and as JSON", async () => {
  const [text, json] = await Promise.all([shunt("doctor"), shunt("doctor", "--json")]);
  assert.equal([text.status, text.stderr], [0, ""], text.stdout);
  for (const name of ["root", "kernel", "BTF", "cgroup2", "bpffs", "pins"]) {
    assert.match(text.stdout, new RegExp(`^(ok  |note)  ${name} +\\S`, "m"));
  }
  assert.match(text.stdout, /\nshunt can run here\n$/);
  assert.is(json.status, 0);
  const report = JSON.parse(json.stdout) as {
    able: boolean;
    checks: { name: string; state: string; detail: string }[];
  };
  assert.is(report.able, true);
  for (const { name, state, detail } of report.checks) {
    assert.ok(name !== "" && detail !== "" && ["ok", "note"].includes(state), `${name} ${state} ${detail}`);
  }
});

test("unload where nothing is says so; a bpffs that is somebody else's stays", async () => {
  const theirs = join(directory, "theirs");
  const ours = join(directory, "ours");
  for (const path of [theirs, ours]) mkdirSync(path);
  native().mount("bpf", "somebody", theirs);
  ensureBpffs(native(), ours);
  const mounted = (path: string): boolean => readMounts().some(({ target }) => target === path);

  const none = await shunt("unload", "--bpffs", "/nonexistent");
  assert.equal([none.status, none.stdout, none.stderr], [0, "nothing of shunt is pinned under /nonexistent\n", ""]);
  const kept = await shunt("unload", "--bpffs", theirs);
  assert.equal([kept.status, kept.stdout], [0, `nothing of shunt is pinned under ${theirs}\n`]);
  assert.ok(mounted(theirs));
  const taken = await shunt("unload", "--bpffs", ours, "--json");
  assert.is(taken.status, 0);
  assert.equal(JSON.parse(taken.stdout), { links: [], maps: [], held: [], unmounted: ours });
  assert.not(mounted(ours));
});

test.run();
