/** The whole demo as a process, to its end, interrupted, and killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Outcome, outcomeOf } from "../../src/demo/process.js";
import { steps } from "../../src/demo/steps.js";
import { scratchRoot, sweepLabs } from "../../src/demo/sweep.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { native } from "../../src/kernel/native.js";
import { bundle } from "../kernel/agentBed.js";
import { traces, until } from "./kit.js";

let directory: string;
let main: string;
const children = new Set<ChildProcess>();
test.before(async () => {
  directory = mkdtempSync(join(tmpdir(), "shunt-test-demo-"));
  main = await bundle(directory);
});
test.after(async () => {
  for (const child of children) child.kill("SIGKILL");
  // Only labs whose owners are dead: another demo on this machine goes on.
  await sweepLabs("demo");
  rmSync(directory, { recursive: true });
});

/** Of an object in the kernel. */
type Id = readonly ["program" | "map" | "link", number];

interface Demo {
  readonly child: ChildProcess;
  /** Of its lab's name, and of no other's. */
  readonly prefix: string;
  /** Of its bpffs; undefined while it has no lab. */
  bpffs(): string | undefined;
  /** Resolves when a line of its output fits. @throws Error if it ends before. */
  says(fits: RegExp): Promise<void>;
  readonly ended: Promise<Outcome>;
}

/** In a process group of its own, as a shell starts it. */
function startDemo(): Demo {
  const child = spawn(process.execPath, [main, "demo"], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  children.add(child);
  const prefix = `shunt-demo-${child.pid}-`;
  let printed = "";
  let over = false;
  const ended = outcomeOf(child).finally(() => {
    over = true;
    children.delete(child);
  });
  child.stdout.on("data", (text: string) => {
    printed += text;
  });
  return {
    child,
    prefix,
    bpffs() {
      const name = readdirSync(scratchRoot).find((each) => each.startsWith(prefix));
      return name && join(scratchRoot, name, "bpf");
    },
    async says(fits) {
      await until(`${fits}`, () => fits.test(printed) || over, 60_000);
      if (!fits.test(printed)) throw new Error(`it ended before: ${(await ended).stderr}`);
    },
    ended,
  };
}

/** What is pinned there now. */
function idsIn(bpffs: string | undefined): Id[] {
  const root = bpffs && pinDirectory(bpffs);
  if (root === undefined || !existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: "utf8" }).flatMap((name): Id[] => {
    const path = join(root, name);
    if (/^maps-[^/]+\/./.test(name)) {
      const map = native().openPinnedMap(path);
      map.close();
      return [["map", map.info.id]];
    }
    if (!/^links\/./.test(name)) return [];
    const link = native().openPinnedLink(path);
    const { id, programId } = link.info();
    link.close();
    const { mapIds } = native().programById(programId);
    return [["link", id], ["program", programId], ...mapIds.map((map): Id => ["map", map])];
  });
}

async function nothingLeft(demo: Demo, ids: readonly Id[]): Promise<void> {
  assert.equal(await traces(demo.prefix), []);
  await until("its programs, links and maps are gone", () => ids.every(([kind, id]) => !native().exists(kind, id)));
}

function assertWhole({ status, stdout, stderr }: Outcome): void {
  assert.is(status, 0, `${stdout}${stderr}`);
  assert.is(stderr, "");
  for (const { change } of steps) assert.ok(stdout.includes(`\n✓ ${change}`), `${change} in ${stdout}`);
  assert.not.match(stdout, /✗|WRONG/);
  assert.match(stdout, /\nEvery call went as the contract says\.\n$/);
}

/** ms that a demo takes here. */
let duration = 0;

test("a demo shows every step, and leaves nothing", async () => {
  const began = performance.now();
  const demo = startDemo();
  await demo.says(/^✓/m);
  const ids = idsIn(demo.bpffs());
  assert.ok(["link", "program", "map"].every((kind) => ids.some(([each]) => each === kind)));
  const outcome = await demo.ended;
  duration = performance.now() - began;
  assertWhole(outcome);
  await nothingLeft(demo, ids);
});

interface Interruption {
  readonly signal: "SIGINT" | "SIGTERM";
  /** As Ctrl-C in a terminal does: the agent, the proxy and the workloads get it as well. */
  readonly group: boolean;
  /** Whether it is that far. */
  readonly when: (demo: Demo) => Promise<void>;
}

const interrupted =
  ({ signal, group, when }: Interruption) =>
  async (): Promise<void> => {
    const demo = startDemo();
    await when(demo);
    const ids = idsIn(demo.bpffs());
    const { pid = 0 } = demo.child;
    const began = performance.now();
    process.kill(group ? -pid : pid, signal);
    const { status, stdout, stderr } = await demo.ended;
    // Of the deadlines that the demo has while it runs, the shortest are a minute.
    assert.ok(performance.now() - began < 50_000, "it waits for nothing that cannot come any more");
    assert.is(status, 1);
    assert.is(stderr, `ended by ${signal}; everything was taken away\n`);
    assert.not.match(stdout, /✗/);
    await nothingLeft(demo, ids);
  };
const hasLab = (demo: Demo) => until("it has a lab", () => demo.bpffs() !== undefined, 60_000);
const hasStep = (demo: Demo) => demo.says(/^✓/m);

test("Ctrl-C in the middle takes everything away", interrupted({ signal: "SIGINT", group: true, when: hasStep }));
test("SIGTERM in the middle, to it alone", interrupted({ signal: "SIGTERM", group: false, when: hasStep }));
test("SIGTERM while it is being set up", interrupted({ signal: "SIGTERM", group: false, when: hasLab }));

test("whose reader goes away (shunt demo | head) takes everything away as well", async () => {
  const demo = startDemo();
  await hasStep(demo);
  const ids = idsIn(demo.bpffs());
  demo.child.stdout?.destroy();
  const { status, stderr } = await demo.ended;
  assert.is(status, 1);
  assert.is(stderr, "nobody reads any more (write EPIPE); everything was taken away\n");
  await nothingLeft(demo, ids);
});

test("killed at any moment: unload takes out of the kernel what it had there, the next demo sweeps the rest", async () => {
  const killed: { demo: Demo; ids: Id[] }[] = [];
  for (const unloads of [true, true, false]) {
    const demo = startDemo();
    await sleep(Math.random() * duration);
    demo.child.kill("SIGKILL");
    await demo.ended;
    const processes = async (): Promise<string[]> =>
      (await traces(demo.prefix)).filter((line) => /^process/.test(line));
    for (let left = await processes(); left.length > 0; left = await processes()) await sleep(10);
    const bpffs = demo.bpffs();
    const ids = idsIn(bpffs);
    killed.push({ demo, ids });
    if (!unloads || bpffs === undefined) continue;
    const outcome = await outcomeOf(spawn(process.execPath, [main, "unload", "--bpffs", bpffs]));
    assert.equal([outcome.status, outcome.stderr], [0, ""], outcome.stdout);
    assert.equal(
      ids.filter(([kind, id]) => native().exists(kind, id)),
      [],
    );
  }
  const last = startDemo();
  assertWhole(await last.ended);
  for (const { demo, ids } of killed) await nothingLeft(demo, ids);
  await nothingLeft(last, []);
});

test.run();
