import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Logger, makeLogger } from "../src/log.js";

/** What is written. */
async function written(write: (log: Logger) => void, ...terminal: [isTTY?: boolean]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "shunt-log-"));
  const path = join(directory, "log");
  const fd = openSync(path, "w");
  try {
    write(await makeLogger({ fd, isTTY: terminal[0] === true }));
    return readFileSync(path, "utf8");
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}

test("one JSON line an event, there when the call returns", async () => {
  const text = await written((log) => log.warn({ event: "problem", pod: "a/b" }, "it is so"));
  const { time, ...line } = JSON.parse(text);
  assert.equal(line, { level: "warn", event: "problem", pod: "a/b", msg: "it is so" });
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.is(text.indexOf("\n"), text.length - 1);
});

test("an error with its stack", async () => {
  const err = new RangeError("too far");
  const text = await written((log) => log.error({ err }, err.message));
  assert.match(JSON.parse(text).err.stack, /RangeError: too far/);
});

test("on a terminal for a person's eyes", async () => {
  const text = await written((log) => log.info({ event: "ready" }, "ready"), true);
  assert.throws(() => JSON.parse(text));
  assert.match(text, /INFO.*ready/);
});

test.run();
