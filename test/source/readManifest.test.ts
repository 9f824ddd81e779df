import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { largestFile, readManifest } from "../../src/source/readManifest.js";

function inDirectory(use: (path: (name: string) => string) => void): () => void {
  return () => {
    const directory = mkdtempSync(join(tmpdir(), "shunt-read-"));
    try {
      use((name) => join(directory, name));
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}
const why = (path: string): string => {
  const read = readManifest(path);
  return read !== undefined && "why" in read ? read.why : `no refusal: ${JSON.stringify(read)}`;
};

test(
  "text as it stands, by way of links, and of a file that says it has 0 bytes",
  inDirectory((path) => {
    writeFileSync(path("a"), "kind: Pod # ü\r\n");
    symlinkSync(path("a"), path("b"));
    assert.equal([readManifest(path("a")), readManifest(path("b"))], Array(2).fill({ text: "kind: Pod # ü\r\n" }));
    writeFileSync(path("empty"), "");
    assert.equal(readManifest(path("empty")), { text: "" });
    const status = readManifest("/proc/self/status");
    assert.match(status !== undefined && "text" in status ? status.text : "", /^Name:/);
    assert.is(readManifest(path("none")), undefined);
  }),
);

test(
  "what is no file is refused, and nobody waits for it",
  inDirectory((path) => {
    mkdirSync(path("d"));
    execFileSync("mkfifo", [path("pipe")]);
    symlinkSync(path("pipe"), path("link"));
    symlinkSync(path("self"), path("self"));
    assert.match(why(path("d")), /^is a directory/);
    for (const name of [path("pipe"), path("link"), "/dev/zero"])
      assert.match(why(name), /^is neither a file nor a link/);
    assert.is(why(path("self")), "cannot be read: symbolic links in a circle");
    assert.is(why("/proc/self/mem"), "cannot be read: EIO");
    assert.is(why(join(path("pipe"), "x")), "cannot be read: ENOTDIR");
  }),
);

test(
  "as many bytes as are allowed, and not one more",
  inDirectory((path) => {
    writeFileSync(path("a"), "x");
    truncateSync(path("a"), largestFile);
    const read = readManifest(path("a"));
    assert.is(read !== undefined && "text" in read ? read.text.length : 0, largestFile);
    truncateSync(path("a"), largestFile + 1);
    assert.is(why(path("a")), `has ${largestFile + 1} bytes; at most ${largestFile} are read`);
  }),
);

test(
  "UTF-8 alone; a byte order mark is passed over",
  inDirectory((path) => {
    writeFileSync(path("bom"), "\ufeffkind: Pod\n");
    assert.equal(readManifest(path("bom")), { text: "kind: Pod\n" });
    writeFileSync(path("latin"), Buffer.from("note: \xfc\n", "latin1"));
    assert.is(why(path("latin")), "is not UTF-8");
    writeFileSync(path("wide"), Buffer.from("\ufeffkind: Pod\n", "utf16le"));
    assert.match(why(path("wide")), /^is not UTF-8: it has NUL bytes/);
  }),
);

test.run();
