import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { atExit } from "./kit.js";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const node = (...command: string[]) =>
  execFileSync(process.execPath, ["--import", "tsx", ...command], { encoding: "utf8", timeout: 250_000 });

test("what is garbage is closed", () => {
  assert.is(node("--expose-gc", path("collect.ts")), "collected\n");
});

for (const mode of ["unref", "again", "close"]) {
  test(`open handles do not hold the process after ${mode}`, () => {
    assert.is(node(path("linger.ts"), mode), "");
  });
}

test("open handles hold the process", async () => {
  const child = fork(path("linger.ts"), ["ref"], { execArgv: ["--import", "tsx"] });
  atExit(() => child.kill("SIGKILL"));
  const exit = once(child, "exit");
  await once(child, "message");
  // Nothing but the handles holds it now. It would end at once; a second is long.
  child.disconnect();
  const outcome = await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 1000, "alive"))]);
  assert.is(outcome, "alive");
  child.kill();
  assert.equal(await exit, [1, null], "ended by the signal, through kit's clean-up");
});

test.run();
