import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { transformSync } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";

/** As a script, since a process that loads TypeScript has a large heap by then. */
const { code } = transformSync(readFileSync(new URL("../src/heap.ts", import.meta.url)), {
  loader: "ts",
  format: "cjs",
});

/** Much is made, and much of it stays. */
const busy = `
  const kept = [];
  for (let i = 0; i < 1e6; i++) kept.push({ i });
  const space = require("node:v8").getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  console.log(space.space_size / 1024 / 1024, kept.length);
`;

/** MiB. */
function newSpace(first: string): number {
  return Number.parseFloat(execFileSync(process.execPath, ["-e", `${code}\n${first}\n${busy}`], { encoding: "utf8" }));
}

test("the space of new objects does not grow, where it would have", () => {
  assert.ok(newSpace("") > 4);
  assert.ok(newSpace("keepHeapSmall();") <= 2);
});

test.run();
