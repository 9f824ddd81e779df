/**
 * The built object and addon on Debian 12's kernel, the oldest that is supported.
 * SHUNT_VM_KERNELS names others to run on: `6.1,6.12,sid`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { boot } from "./boot.js";
import type { Report } from "./guest.js";
import { initramfs } from "./initramfs.js";
import { kernel } from "./kernel.js";

const versions = (process.env["SHUNT_VM_KERNELS"] ?? "6.1").split(/[\s,]+/).filter((version) => version !== "");
const build = fileURLToPath(new URL("../../build", import.meta.url));
/** Milliseconds. A boot takes 8 seconds on an idle machine with two CPUs. */
const deadline = 270_000;

const test = suite("Debian's kernels");
let directory = "";
test.before(() => {
  mkdirSync(build, { recursive: true });
  directory = mkdtempSync(join(build, "vm-test-"));
});
test.after(() => rmSync(directory, { recursive: true, force: true }));

for (const version of versions) {
  // The guest runs this machine's node.
  const run = process.arch === "x64" ? test : test.skip;
  run(`the agent's parts work on ${version}`, async () => {
    const { release, image } = kernel(version);
    const root = join(directory, `${version}.cpio`);
    await initramfs(fileURLToPath(new URL("guest.ts", import.meta.url)), ["ip", "unshare"], root);
    const { status, output, seconds } = await boot({ kernel: image, initramfs: root, deadline });
    assert.is(status, 0, `status ${status} after ${seconds.toFixed(1)} s:\n${output}`);
    const report = JSON.parse(/^result (.*)$/m.exec(output)?.[1] ?? "null") as Report;
    assert.is(report.kernel, release);
    assert.is(report.node, process.version);
    assert.ok(report.features.length > 0);
    assert.equal(
      report.features.filter((feature) => !feature.ok),
      [],
    );
    assert.equal(report.used, {
      originalDestination: "203.0.113.9:80",
      peer: "10.9.0.2",
      asked: "203.0.113.9:80",
      excluded: "ENETUNREACH",
      verdicts: ["bypass excluded-range 1", "redirect included-all 1"],
      faults: [],
      held: [],
    });
    console.log(`\n${release}: ${seconds.toFixed(1)} s, of which node's start ${report.started.toFixed(1)} s`);
  });
}

test.run();
