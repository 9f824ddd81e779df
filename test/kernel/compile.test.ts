import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openLab } from "../../src/demo/lab.js";
import { NodeError } from "../../src/errors.js";
import { sources } from "../../src/kernel/artifact.js";
import { compileObject } from "../../src/kernel/compile.js";
import { native } from "../../src/kernel/native.js";
import { bindContract } from "../../src/maps/contract.js";
import { withBed } from "./agentBed.js";

let directory: string;
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), "shunt-test-compile-"));
});
test.after(() => rmSync(directory, { recursive: true }));

/** @returns the error that is thrown. */
function refused(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

test("compiled once for each content; what is compiled is an object that fits", () => {
  const copy = join(directory, "bpf");
  cpSync(sources(), copy, { recursive: true });
  const cache = join(directory, "some", "cache");
  const first = compileObject(copy, cache);
  assert.is(first.compiled, true);
  bindContract(native().readBtf(readFileSync(first.path), first.path));
  const { mtimeMs } = statSync(first.path);

  const again = compileObject(copy, cache);
  assert.equal(again, { path: first.path, compiled: false });
  assert.is(statSync(first.path).mtimeMs, mtimeMs);
  assert.equal(compileObject(sources(), cache), again, "the same content from another place");

  // A comment would do as well: the content counts.
  const header = join(copy, "maps.h");
  writeFileSync(header, readFileSync(header, "utf8").replace(/16384/g, "32768"));
  const changed = compileObject(copy, cache);
  assert.is(changed.compiled, true);
  assert.is.not(changed.path, first.path);
  assert.equal(readdirSync(cache).length, 2, "and nothing beside the objects");
});

test("sources that do not compile: what the compiler says, and nothing in the cache", () => {
  const copy = join(directory, "broken");
  mkdirSync(copy);
  writeFileSync(join(copy, "a.bpf.c"), "int broken = ;\n");
  const cache = join(directory, "broken-cache");
  const error = refused(() => compileObject(copy, cache));
  assert.instance(error, NodeError);
  assert.match(error.message, /^clang failed: .*a\.bpf\.c:1:\d+: error: expected expression/);
  assert.equal(readdirSync(cache), []);
});

test("without clang: what to install", () => {
  const path = process.env["PATH"];
  process.env["PATH"] = directory;
  try {
    const error = refused(() => compileObject(sources(), join(directory, "cache")));
    assert.instance(error, NodeError);
    assert.match(error.message, /^--compile needs clang, which is not installed: apt-get install .*\bclang\b/);
  } finally {
    process.env["PATH"] = path;
  }
});

test("shunt run --compile: what was compiled here is what runs", async () => {
  const lab = await openLab({ kind: "compile" });
  try {
    await withBed(lab, async (bed) => {
      const pod = await lab.pod({ namespace: "test", name: "p", uid: "aa-1", address: "10.88.0.2" });
      await bed.edit(pod);
      const cache = join(lab.directory, "cache");
      const agent = bed.start("--compile", "--compile-cache", cache);
      await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
      assert.is(readdirSync(cache).length, 1);
      assert.ok(bed.pins.record(pod.cgroupId));
      // Nobody listens where it is steered to: refused at once, and counted.
      await pod.exec(["bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/80"], { container: "app" });
      assert.is(bed.pins.count("verdicts"), 1);
      assert.is(await agent.stop(), 0);
    });
  } finally {
    await lab.close();
  }
});

test.run();
