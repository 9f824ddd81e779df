/** Runs the runner on files made for it. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { processesWith } from "./processes.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const mark = `RUN_TEST_MARK=${process.pid}`;

const uvu = `import { suite, test } from "uvu";\n`;
const pass = `${uvu}test("a", () => {});\ntest("b", () => {});\ntest.run();\n`;
const make = "suite"; // Written out, this very file would be found to forget one.
const skip = `${uvu}test.skip("later", () => {});\ntest.run();\n`;
const sleeper = (options: string) => `import { spawn } from "node:child_process";
const [name, value] = "${mark}".split("=");
spawn("sleep", ["1000"], { env: { ...process.env, [name]: value }, ${options} }).unref();
`;

interface Outcome {
  readonly status: number | null;
  readonly text: string;
  readonly lines: readonly string[];
  /** What is said about one file: its line, its output and problems. */
  about(file: string): string;
}

/** @param files text by name; they import uvu, so they must be below the repository. */
async function run(files: Readonly<Record<string, string>>, ...args: string[]): Promise<Outcome> {
  mkdirSync(join(root, "build"), { recursive: true });
  const directory = mkdtempSync(join(root, "build/run-test-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const command = ["--import", "tsx", join(root, "test/run.ts"), "--root", directory, "--no-machine", ...args];
    const child = spawn(process.execPath, command, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    const parts = text.split(/^(?=ok |FAIL )/m);
    const about = (file: string) => parts.find((part) => part.split("\n", 1)[0]?.includes(`/${file}.test.ts`)) ?? "";
    return { status, text, lines: text.trimEnd().split("\n"), about };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const test = suite("test/run.ts");
let all: Outcome;
test.before(async () => {
  const files = {
    "pass.test.ts": pass,
    "fail.test.ts": `${uvu}test("a", () => {});\ntest("wrong", () => { throw new Error("because"); });\ntest.run();\n`,
    "empty.test.ts": `${uvu}test.run();\n`,
    "unrun.test.ts": `${uvu}test("a", () => {});\n`,
    "forgotten.test.ts": `${pass}const other = ${make}("other");\nother("c", () => {});\n`,
    "import.test.ts": `${uvu}throw new Error("at import");\n`,
    "signal.test.ts": `${uvu}test("a", () => process.kill(process.pid, "SIGSEGV"));\ntest.run();\n`,
    "never.test.ts": `${uvu}test("a", () => new Promise(() => {}));\ntest.run();\n`,
    "status.test.ts": `${pass}process.on("exit", () => { process.exitCode = 9; });\n`,
    "hook.test.ts": `${uvu}test.before(() => { throw new Error("lost"); });\ntest("a", () => {});\ntest.run();\n`,
    "stray.test.ts": `${sleeper('detached: true, stdio: "inherit"')}${pass}`,
    "skip.test.ts": `${pass}test.skip("later", () => {});\ntest.run();\n`,
    "helper.ts": "throw new Error('no test');",
  };
  all = await run(files, "--jobs", "4");
});

test("the last line is the summary of all files, and a failure is an exit status", () => {
  // pass, forgotten, status, stray and skip have two good tests each, fail has one.
  assert.is(all.lines.at(-1), "11 passed, 10 failed");
  assert.is(all.status, 1);
});

test("one line for a file that passes", () => {
  assert.match(all.about("pass"), /^ok .*pass\.test\.ts {2}2\/2 {2}\d+\.\d s\n$/);
});

const failures: readonly [string, string, RegExp][] = [
  ["fail", "1/2", /because/],
  ["empty", "0/1", /empty\.test\.ts has no tests/],
  ["unrun", "0/1", /never calls test\.run\(\)/],
  ["forgotten", "2/3", /never calls other\.run\(\)/],
  ["import", "0/1", /at import/],
  ["signal", "0/1", /was ended by SIGSEGV/],
  ["never", "0/1", /Exiting early/],
  ["status", "2/3", /exited with status 9/],
  ["hook", "0/1", /hook threw/],
  ["stray", "2/3", /left processes behind: sleep \(\d+\)/],
];
for (const [file, count, words] of failures) {
  test(`${file}: fails, with what it printed`, () => {
    assert.match(all.about(file), new RegExp(`^FAIL .*${file}\\.test\\.ts {2}${count} `));
    assert.match(all.about(file), words);
  });
}

test("what is not done at its deadline is ended, and fails", async () => {
  const hang = `${sleeper("")}${uvu}test("a", () => new Promise(() => setInterval(() => {}, 9)));\ntest.run();\n`;
  const { status, about } = await run({ "hang.test.ts": hang }, "--deadline", "5");
  assert.match(about("hang"), /^FAIL .*hang\.test\.ts {2}0\/1 /);
  assert.match(about("hang"), /was not done after 5 s/);
  assert.is(status, 1);
});

test("no process stays, in whatever group it is", async () => {
  // Killed is not gone yet.
  for (const end = Date.now() + 60_000; processesWith(mark).length > 0 && Date.now() < end; ) await sleep(10);
  assert.equal(processesWith(mark), []);
});

test("skipped tests are listed and counted", () => {
  assert.match(all.about("skip"), /^ok .*\nSKIPPED .*skip\.test\.ts {2}1\n.*skip\.test\.ts:5: test\.skip\("later"/);
  assert.is(all.lines.at(-2), "SKIPPED: 1 tests, see above");
});

test("nothing but skipped tests is a failure", async () => {
  const { status, lines } = await run({ "a.test.ts": skip });
  assert.is(status, 1);
  assert.equal(lines.slice(-3), ["no test ran", "SKIPPED: 1 tests, see above", "0 passed, 0 failed"]);
});

test("no file at all is a failure", async () => {
  const { status, lines } = await run({ "a.test.ts": pass }, "no such file");
  assert.is(status, 1);
  assert.equal(lines, ["no test file matches", "0 passed, 0 failed"]);
});

test("--again: a file that failed has another try, and is named if it passes then; many have none", async () => {
  const once = (name: string) => `${uvu}import { existsSync, writeFileSync } from "node:fs";
const log = new URL("${name}", import.meta.url);
test("a", () => {
  if (existsSync(log)) return;
  writeFileSync(log, "");
  throw new Error("the first time");
});
test.run();
`;
  const bad = `${uvu}test("a", () => { throw new Error("each time"); });\ntest.run();\n`;
  const files = { "1.test.ts": once("1"), "2.test.ts": bad, "3.test.ts": pass };
  const { status, text, lines } = await run(files, "--again", "2");
  assert.match(text, /FAIL .*the first time.*\nagain \S*1\.test\.ts\nok {4}\S*1\.test\.ts {2}1\/1/s);
  assert.is(text.match(/each time/g)?.length, 2);
  assert.match(lines.at(-2) ?? "", /^UNSTEADY: failed at first, see above: \S*1\.test\.ts$/);
  assert.is(lines.at(-1), "3 passed, 1 failed");
  assert.is(status, 1);

  const steady = await run({ "1.test.ts": once("1") }, "--again", "1");
  assert.is(steady.lines.at(-1), "1 passed, 0 failed");
  assert.is(steady.status, 0);

  const many = await run({ "1.test.ts": once("1"), "2.test.ts": once("2") }, "--again", "1");
  assert.not.match(many.text, /^again/m);
  assert.is(many.lines.at(-1), "0 passed, 2 failed");
});

test("serial files run alone and last; any argument that matches chooses a file", async () => {
  const busy = (name: string) => `${uvu}import { appendFileSync } from "node:fs";
const log = new URL("log", import.meta.url);
test("a", async () => {
  appendFileSync(log, "${name}<");
  await new Promise((resolve) => setTimeout(resolve, 300));
  appendFileSync(log, ">");
});
test.run();
`;
  const last = `// @serial\n${uvu}import { readFileSync } from "node:fs";
test("log", () => { throw new Error("LOG " + readFileSync(new URL("log", import.meta.url), "utf8")); });
test.run();
`;
  const files = {
    "1.test.ts": `// @serial\n${busy("s")}`,
    "2.test.ts": `// @serial\n${busy("s")}`,
    "3.test.ts": busy("p"),
    "4.test.ts": last,
    "5.test.ts": pass,
  };
  const { text, lines } = await run(files, "--jobs", "4", "1.test", "2.test", "3.test", "4.test");
  assert.match(text, "LOG p<>s<>s<>");
  assert.is(lines.at(-1), "3 passed, 1 failed");
});

test.run();
