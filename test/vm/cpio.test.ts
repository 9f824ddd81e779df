import { test } from "uvu";
import * as assert from "uvu/assert";
import { cpio } from "./cpio.js";

/** The headers of an archive, read by the format's own description (man 5 cpio). */
function list(archive: Buffer): { path: string; mode: string; data: string }[] {
  const found: { path: string; mode: string; data: string }[] = [];
  const align = (offset: number) => (offset + 3) & ~3;
  for (let at = 0; at < archive.length; ) {
    assert.is(archive.toString("latin1", at, at + 6), "070701");
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const path = archive.toString("utf8", at + 110, at + 110 + nameSize - 1);
    const data = align(at + 110 + nameSize);
    found.push({ path, mode: mode.toString(8), data: archive.toString("utf8", data, data + size) });
    at = align(data + size);
  }
  return found;
}

test("files with their directories before them, aligned, and an end", () => {
  const entries = [
    { path: "init", mode: 0o755, data: Buffer.from("#!x") },
    { path: "a/b/c", data: Buffer.from("1234") },
    { path: "a/d", data: Buffer.from("") },
  ];
  assert.equal(list(cpio(entries)), [
    { path: "a", mode: "40755", data: "" },
    { path: "a/b", mode: "40755", data: "" },
    { path: "init", mode: "100755", data: "#!x" },
    { path: "a/b/c", mode: "100644", data: "1234" },
    { path: "a/d", mode: "100644", data: "" },
    { path: "TRAILER!!!", mode: "0", data: "" },
  ]);
});

test.run();
