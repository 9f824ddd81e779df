import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { describeProblem } from "../../src/model/problem.js";
import type { Source } from "../../src/model/source.js";
import { openManifests } from "../../src/source/manifests.js";

const pod = (name: string, uid = `uid-${name}`, annotation = ""): string =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n  uid: ${uid}\n  annotations:\n    note: "${annotation}"\nspec:\n  containers:\n  - name: app\n`;

interface Bed {
  readonly directory: string;
  readonly source: Source;
  readonly write: (file: string, text: string) => void;
  readonly path: (file: string) => string;
  names(): string[];
  problems(): string[];
  until(condition: () => boolean): Promise<void>;
}

/** A directory of its own, watched for real. */
function bed(use: (bed: Bed) => Promise<void>, prepare: (directory: string) => void = () => {}): () => Promise<void> {
  return async () => {
    const outer = mkdtempSync(join(tmpdir(), "shunt-manifests-"));
    const directory = join(outer, "pods");
    mkdirSync(directory);
    prepare(directory);
    const source = openManifests({
      directory,
      openInotify: (onEvents) => native().openInotify(onEvents),
      onChange: () => {},
    });
    const path = (file: string): string => join(directory, file);
    const names = (): string[] => source.snapshot().pods.map(({ name }) => name);
    const problems = (): string[] => source.snapshot().problems.map(describeProblem);
    try {
      await use({
        directory,
        source,
        path,
        names,
        problems,
        write: (file, text) => writeFileSync(path(file), text),
        async until(condition) {
          const end = Date.now() + 60_000;
          while (!condition()) {
            assert.ok(Date.now() < end, `not within 60 s; pods ${names()}, problems ${problems()}`);
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        },
      });
    } finally {
      source.close();
      rmSync(outer, { recursive: true });
    }
  };
}

test(
  "new, edited in place, renamed over, renamed away, deleted: each is seen",
  bed(async ({ write, path, names, until, source }) => {
    write("a.yaml", pod("a"));
    await until(() => names().join() === "a");
    write("a.yaml", pod("a", "uid-a", "edited"));
    await until(() => source.snapshot().pods[0]?.annotations.get("note") === "edited");
    write(".b.tmp", pod("b"));
    renameSync(path(".b.tmp"), path("a.yaml"));
    await until(() => names().join() === "b");
    renameSync(path("a.yaml"), path("a.off"));
    await until(() => names().length === 0);
    renameSync(path("a.off"), path("c.json"));
    await until(() => names().join() === "b");
    unlinkSync(path("c.json"));
    await until(() => names().length === 0);
    assert.ok(source.snapshot().complete);
  }),
);

test(
  "a burst of a thousand files converges",
  bed(async ({ write, names, until, path }) => {
    for (let i = 0; i < 1000; i++) write(`${i}.yaml`, pod(`p${i}`));
    await until(() => names().length === 1000);
    for (let i = 0; i < 1000; i += 2) unlinkSync(path(`${i}.yaml`));
    await until(() => names().length === 500);
  }),
);

test(
  "what does not parse is reported with file and line, and its pods stay",
  bed(async ({ write, names, until, problems, source, path }) => {
    write("a.yaml", `${pod("a")}---\n${pod("b")}`);
    write("other.yaml", pod("c"));
    await until(() => names().join() === "a,b,c");
    write("a.yaml", `${pod("a", "uid-a", "new")}---\nkind: Pod\nmetadata: {name: b\n`);
    await until(() => problems().length > 0);
    assert.equal(names(), ["a", "b", "c"]);
    assert.is(source.snapshot().pods[0]?.annotations.get("note"), "new", "the document that parses is taken");
    assert.match(problems()[0] ?? "", new RegExp(`^${path("a.yaml")}:1\\d: `));
    assert.ok(source.snapshot().complete, "nothing is unknown: the file was whole before");
    write("a.yaml", pod("a"));
    await until(() => problems().length === 0);
    assert.equal(names(), ["a", "c"]);
  }),
);

test(
  "a file that was never whole leaves the snapshot incomplete, so that nothing is removed for it",
  bed(
    async ({ write, names, until, problems, source }) => {
      assert.not.ok(source.snapshot().complete);
      assert.equal(names(), ["good"]);
      assert.is(problems().length, 1);
      write("bad.yaml", pod("mended"));
      await until(() => source.snapshot().complete);
      assert.equal(names(), ["good", "mended"]);
    },
    (directory) => {
      writeFileSync(join(directory, "bad.yaml"), "kind: Pod\nmetadata: [\n");
      writeFileSync(join(directory, "good.yaml"), pod("good"));
    },
  ),
);

const meshConfig = (mode: string): string =>
  `kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: "outboundTrafficPolicy: {mode: ${mode}}"\n`;

test(
  "while a file is unreadable from the start, it may be what closes the mesh; one that breaks later is not",
  bed(
    async ({ write, until, source }) => {
      const mode = (): string => source.snapshot().mesh.outboundMode;
      assert.is(mode(), "REGISTRY_ONLY");
      write("mesh.yaml", pod("no-mesh-at-all"));
      await until(() => mode() === "ALLOW_ANY");
      write("later.yaml", "kind: [\n");
      await until(() => !source.snapshot().complete);
      assert.is(mode(), "ALLOW_ANY");
      write("mesh.yaml", meshConfig("REGISTRY_ONLY"));
      await until(() => mode() === "REGISTRY_ONLY");
      write("mesh.yaml", "kind: [\n");
      await until(() => source.snapshot().problems.length === 2);
      assert.is(mode(), "REGISTRY_ONLY");
    },
    (directory) => writeFileSync(join(directory, "mesh.yaml"), "kind: ConfigMap\nmetadata: [\n"),
  ),
);

test(
  "an empty file, a file that is cut short and one that is too large: reported, the pods stay",
  bed(async ({ write, names, until, problems }) => {
    write("a.yaml", pod("a"));
    await until(() => names().length === 1);
    write("a.yaml", "");
    await until(() => problems().some((text) => text.includes("empty")));
    assert.equal(names(), ["a"]);
    write("a.yaml", pod("a").slice(0, 60));
    await until(() => !problems().some((text) => text.includes("empty")));
    assert.equal(names(), ["a"]);
    write("a.yaml", `# ${"x".repeat(17 * 1024 * 1024)}`);
    await until(() => problems().some((text) => text.includes("at most 16777216 are read")));
    assert.equal(names(), ["a"]);
  }),
);

test(
  "two pods with one uid: the first by file name stays, the other is reported with both places",
  bed(async ({ write, until, problems, names }) => {
    write("b.yaml", pod("second", "same"));
    write("a.yaml", pod("first", "same"));
    await until(() => problems().some((text) => text.includes("metadata.uid")));
    assert.equal(names(), ["first"]);
    assert.match(problems()[0] ?? "", /default\/second: metadata\.uid="same": .*default\/first/);
  }),
);

test(
  "symbolic links: to a file they are read, in a circle they are reported",
  bed(async ({ write, path, until, names, problems, source }) => {
    write("hidden.txt", pod("linked"));
    symlinkSync("hidden.txt", path("link.yaml"));
    symlinkSync("loop.yaml", path("loop.yaml"));
    await until(() => names().join() === "linked" && problems().length === 1);
    assert.match(problems()[0] ?? "", /loop\.yaml: file: cannot be read: symbolic links in a circle/);
    assert.not.ok(source.snapshot().complete);
  }),
);

test(
  "a directory that is removed keeps its pods, and is followed again when it is back",
  bed(async ({ directory, write, names, until, problems, source }) => {
    write("a.yaml", pod("a"));
    await until(() => names().length === 1);
    renameSync(directory, `${directory}.away`);
    await until(() => problems().length === 1);
    assert.equal(names(), ["a"]);
    assert.not.ok(source.snapshot().complete);
    mkdirSync(directory);
    write("b.yaml", pod("b"));
    await until(() => names().join() === "b" && source.snapshot().complete);
    appendFileSync(join(directory, "b.yaml"), `---\n${pod("c")}`);
    await until(() => names().join() === "b,c");
  }),
);

test(
  "other files, other kinds and dot files are none of ours; lists are",
  bed(async ({ write, until, names, problems }) => {
    write("README.md", pod("no"));
    write(".hidden.yaml", pod("no"));
    write("service.yaml", "kind: Service\nmetadata: {name: x}\n---\nkind: Deployment\n");
    const items = JSON.stringify({
      kind: "PodList",
      items: [{ metadata: { name: "one", uid: "u1" }, spec: { containers: [] } }],
    });
    write("list.json", items);
    await until(() => names().join() === "one");
    assert.equal(problems(), []);
  }),
);

test("a directory that is not there at the start is the caller's error", () => {
  assert.throws(
    () =>
      openManifests({ directory: "/nonexistent", openInotify: (on) => native().openInotify(on), onChange: () => {} }),
    (error: NodeJS.ErrnoException) => error.code === "ENOENT",
  );
});

test(
  "an alias bomb is reported and costs nothing",
  bed(async ({ write, until, problems }) => {
    const levels = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`).join("\n");
    write("bomb.yaml", `kind: Pod\na0: &a0 x\n${levels}\n`);
    await until(() => problems().length === 1);
    assert.match(problems()[0] ?? "", /alias/i);
  }),
);

test.run();
