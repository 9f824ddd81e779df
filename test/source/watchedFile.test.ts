import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { type FileText, readText, watchFile } from "../../src/source/watchedFile.js";
import { until } from "../kernel/bed.js";

interface Bed {
  path(name: string): string;
  /** Waits until this is the last text that was read. */
  reads(text: string): Promise<void>;
  /** Waits until it could not be read, for this reason. */
  lacks(why: string): Promise<void>;
  readonly seen: readonly FileText[];
}

/** A directory of its own, in which `config.yaml` is watched for real. */
function bed(use: (bed: Bed) => Promise<void>, prepare: (path: Bed["path"]) => void): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), "shunt-watched-"));
    const path = (name: string): string => join(directory, name);
    const seen: FileText[] = [];
    mkdirSync(path("d"));
    prepare(path);
    const watch = watchFile({
      path: path("d/config.yaml"),
      openInotify: (onEvents) => native().openInotify(onEvents),
      onText: (read) => seen.push(read),
    });
    const last = (): string => JSON.stringify(seen.at(-1));
    try {
      await use({
        path,
        seen,
        reads: (text) => until(`it reads ${text}`, () => last() === JSON.stringify({ text })),
        lacks: (why) => until(why, () => last() === JSON.stringify({ why })),
      });
    } finally {
      watch.close();
      rmSync(directory, { recursive: true });
    }
  };
}

test(
  "written in place, renamed over, removed and made again: each is seen",
  bed(
    async ({ path, reads, lacks, seen }) => {
      assert.equal(seen, [{ text: "1" }], "read before anything happens");
      writeFileSync(path("d/config.yaml"), "2");
      await reads("2");
      writeFileSync(path("d/other"), "3");
      renameSync(path("d/other"), path("d/config.yaml"));
      await reads("3");
      unlinkSync(path("d/config.yaml"));
      await lacks("is not there");
      writeFileSync(path("d/config.yaml"), "4");
      await reads("4");
    },
    (path) => writeFileSync(path("d/config.yaml"), "1"),
  ),
);

test(
  "a ConfigMap's volume: another target of ..data",
  bed(
    async ({ path, reads }) => {
      for (const text of ["2", "3"]) {
        mkdirSync(path(`d/..v${text}`));
        writeFileSync(path(`d/..v${text}/config.yaml`), text);
        symlinkSync(`..v${text}`, path("d/..data_tmp"));
        renameSync(path("d/..data_tmp"), path("d/..data"));
        rmSync(path(`d/..v${Number(text) - 1}`), { recursive: true });
        await reads(text);
      }
    },
    (path) => {
      mkdirSync(path("d/..v1"));
      writeFileSync(path("d/..v1/config.yaml"), "1");
      symlinkSync("..v1", path("d/..data"));
      symlinkSync("..data/config.yaml", path("d/config.yaml"));
    },
  ),
);

test(
  "a link to a file elsewhere",
  bed(
    async ({ path, reads }) => {
      writeFileSync(path("elsewhere"), "2");
      await reads("2");
      writeFileSync(path("new"), "3");
      renameSync(path("new"), path("elsewhere"));
      await reads("3");
      writeFileSync(path("elsewhere"), "4");
      await reads("4");
    },
    (path) => {
      writeFileSync(path("elsewhere"), "1");
      symlinkSync("../elsewhere", path("d/config.yaml"));
    },
  ),
);

test(
  "its directory goes, and comes again",
  bed(
    async ({ path, reads, lacks }) => {
      renameSync(path("d"), path("away"));
      await lacks("is not there");
      mkdirSync(path("new"));
      writeFileSync(path("new/config.yaml"), "2");
      renameSync(path("new"), path("d"));
      await reads("2");
      writeFileSync(path("d/config.yaml"), "3");
      await reads("3");
    },
    (path) => writeFileSync(path("d/config.yaml"), "1"),
  ),
);

test(
  "other files of the directory are none of its business",
  bed(
    async ({ path, reads, seen }) => {
      writeFileSync(path("d/other.yaml"), "x");
      writeFileSync(path("d/config.yaml"), "1");
      writeFileSync(path("d/config.yaml"), "2");
      await reads("2");
      assert.not.ok(seen.some((read) => "why" in read || (read.text !== "1" && read.text !== "2" && read.text !== "")));
    },
    (path) => writeFileSync(path("d/config.yaml"), "1"),
  ),
);

test("what cannot be read: why", () => {
  const directory = mkdtempSync(join(tmpdir(), "shunt-watched-"));
  try {
    assert.equal(readText(join(directory, "none")), { why: "is not there" });
    assert.equal(readText(directory), { why: "is a directory, not a file" });
    symlinkSync("loop", join(directory, "loop"));
    assert.equal(readText(join(directory, "loop")), { why: "cannot be read: symbolic links in a circle" });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
