import { execFileSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { artifact } from "../../src/kernel/artifact.js";
import { type Feature, native } from "../../src/kernel/native.js";

test("probe() finds everything on this kernel", () => {
  const features = native().probe();
  assert.equal(
    features.filter(({ ok }) => !ok),
    [],
  );
  assert.ok(features.length >= 40);
  assert.is(new Set(features.map(({ name }) => name)).size, features.length);
  for (const { name, since, needed, why } of features) {
    assert.match(since, /^[456]\.\d+$/, name);
    assert.ok(needed.length > 0, name);
    assert.is(why, "");
  }
});

test("probe() says why not", () => {
  // Without capabilities nothing loads.
  const code = `console.log(JSON.stringify(require(${JSON.stringify(artifact("shunt.node"))}).probe()))`;
  const command = ["--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot", process.execPath, "-e", code];
  const features = JSON.parse(execFileSync("setpriv", command, { encoding: "utf8" })) as Feature[];
  assert.equal(
    features.map(({ name }) => name),
    native()
      .probe()
      .map(({ name }) => name),
  );
  for (const { name, ok, why } of features) {
    assert.is(ok, false, name);
    assert.match(why, /^E[A-Z]+/, name);
  }
});

test.run();
