/** The datapath by itself: what is pinned, adopted, replaced, refused and removed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Lab, openLab } from "../../src/demo/lab.js";
import { firstLine } from "../../src/demo/process.js";
import { artifact, sources } from "../../src/kernel/artifact.js";
import { compileObject } from "../../src/kernel/compile.js";
import {
  type Datapath,
  type DatapathOptions,
  openDatapath,
  pinDirectory,
  pinnedMaps,
  programs,
} from "../../src/kernel/datapath.js";
import { ensureBpffs, releaseBpffs } from "../../src/kernel/mounts.js";
import { type KernelError, native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { policy } from "../samples.js";
import { openBed, until } from "./bed.js";

const objectName = artifact("shunt.bpf.o");
const object = readFileSync(objectName);
const connect4 = 10; // enum bpf_attach_type

/** A bpffs and a cgroup root of its own. */
interface Ground {
  readonly bpffs: string;
  readonly root: string;
  open(changes?: Partial<DatapathOptions>): Datapath;
  /** Opens, attaches and closes: a start and an end of an agent. @returns whether it adopted. */
  run(changes?: Partial<DatapathOptions>): boolean;
  mapIds(layout?: string): Record<string, number>;
  links(): Record<string, { id: number; programId: number; cgroupId: bigint }>;
}

let lab: Lab;
let grounds = 0;
test.before(async () => {
  lab = await openLab({ kind: "datapath" });
});
test.after(async () => {
  await lab.close();
});

const within = (use: (ground: Ground) => Promise<void> | void) => async (): Promise<void> => {
  const addon = native();
  const bpffs = join(lab.directory, `bpf-${++grounds}`);
  const root = join(lab.cgroupRoot, `root-${grounds}`);
  mkdirSync(root);
  mkdirSync(bpffs);
  ensureBpffs(addon, bpffs);
  const directory = pinDirectory(bpffs);
  const opened: Datapath[] = [];
  const open = (changes: Partial<DatapathOptions> = {}): Datapath => {
    const hostNetnsCookie = new Uint8Array(8);
    const options = { native: addon, object, objectName, layout: "mine", bpffs, cgroupRoot: root, hostNetnsCookie };
    const datapath = openDatapath({ ...options, ...changes });
    opened.push(datapath);
    return datapath;
  };
  try {
    await use({
      bpffs,
      root,
      open,
      run(changes) {
        const datapath = open(changes);
        const { adopted } = datapath.attach();
        datapath.close();
        return adopted;
      },
      mapIds(layout = "mine") {
        const ids = pinnedMaps.map((name): [string, number] => {
          const map = addon.openPinnedMap(join(directory, `maps-${layout}`, name));
          map.close();
          return [name, map.info.id];
        });
        return Object.fromEntries(ids);
      },
      links() {
        const found = programs.map((name) => {
          const link = addon.openPinnedLink(join(directory, "links", name));
          const info = link.info();
          link.close();
          return [name, info] as const;
        });
        return Object.fromEntries(found);
      },
    });
  } finally {
    for (const datapath of opened) datapath.close();
    await unload(addon, bpffs);
    releaseBpffs(addon, bpffs);
  }
};

/** @returns the error that is thrown. */
function refused(call: () => unknown): KernelError {
  try {
    call();
  } catch (error) {
    return error as KernelError;
  }
  throw new Error("nothing was thrown");
}

const field = <K extends "id" | "programId">(links: ReturnType<Ground["links"]>, name: K): number[] =>
  programs.map((program) => links[program]?.[name] ?? 0);
const attached = (cgroup: string): number[] => native().queryCgroup(cgroup, connect4).programIds;
const gone = (kind: "program" | "map" | "link", ids: readonly number[]) =>
  until(`${kind}s ${ids.join(", ")} are gone`, () => ids.every((id) => !native().exists(kind, id)));

test(
  "attached in order, adopted with the same links and maps, unloaded in the reverse order",
  within(async ({ bpffs, root, open, run, mapIds, links }) => {
    const first = open();
    assert.equal(attached(root), [], "not before it is said");
    assert.equal(first.attach(), { adopted: false });
    const before = links();
    const ids = field(before, "id");
    assert.equal(
      ids,
      ids.toSorted((a, b) => a - b),
      "link ids ascend in the order of attachment",
    );
    const loaded = first.programs();
    assert.equal(
      field(before, "programId").map((id) => loaded.find((program) => program.id === id)?.name),
      [...programs],
    );
    const maps = mapIds();
    first.close();
    assert.equal(attached(root), [before["shunt_connect4"]?.programId], "it outlives its process");

    assert.is(run(), true);
    assert.equal(mapIds(), maps);
    const after = links();
    assert.equal(field(after, "id"), ids);
    assert.equal(attached(root), [after["shunt_connect4"]?.programId]);
    await gone("program", field(before, "programId"));

    const unloaded = await unload(native(), bpffs);
    assert.equal(unloaded.links, programs.toReversed());
    assert.equal([...unloaded.maps].sort(), [...pinnedMaps].sort());
    assert.equal(unloaded.held, []);
    for (const [kind, list] of [
      ["link", ids],
      ["program", field(after, "programId")],
      ["map", Object.values(maps)],
    ] as const) {
      assert.equal(
        list.filter((id) => native().exists(kind, id)),
        [],
        `${kind}s`,
      );
    }
    assert.not(existsSync(pinDirectory(bpffs)));
  }),
);

test(
  "another layout has maps of its own until it takes over, and then the old ones go",
  within(async ({ bpffs, root, open, run, mapIds, links }) => {
    run();
    const old = mapIds();
    const before = links();
    const next = open({ layout: "other" });
    const fresh = mapIds("other");
    for (const name of pinnedMaps) assert.is.not(fresh[name], old[name], name);
    assert.equal(attached(root), [before["shunt_connect4"]?.programId], "the old programs still decide");
    assert.equal(next.attach(), { adopted: true });
    const after = links();
    assert.equal(field(after, "id"), field(before, "id"), "swapped behind the links");
    assert.equal(attached(root), [after["shunt_connect4"]?.programId]);
    assert.equal(readdirSync(pinDirectory(bpffs)).sort(), ["links", "maps-other"]);
    await gone("program", field(before, "programId"));
    await gone("map", Object.values(old));
  }),
);

test(
  "programs of a build that had more of them go",
  within(async ({ bpffs, root, open, run }) => {
    const first = open();
    first.attach();
    const more = native().openObject(object, objectName);
    more.load();
    const link = more.attachCgroup("shunt_connect4", root);
    const { id, programId } = link.info();
    link.pin(join(pinDirectory(bpffs), "links", "shunt_another"));
    link.close();
    more.close();
    assert.is(attached(root).length, 2);
    run();
    assert.is(attached(root).length, 1);
    await gone("link", [id]);
    await gone("program", [programId]);
  }),
);

test(
  "another cgroup root: attached there, detached here",
  within(async ({ root, run, links }) => {
    run();
    const before = links();
    const other = `${root}-other`;
    mkdirSync(other);
    assert.is(run({ cgroupRoot: other }), false);
    assert.equal(attached(root), []);
    const after = links();
    assert.equal(attached(other), [after["shunt_connect4"]?.programId]);
    await gone("link", field(before, "id"));

    // The directory goes and comes again: the same path, another cgroup.
    rmdirSync(other);
    mkdirSync(other);
    assert.is(run({ cgroupRoot: other }), false);
    assert.equal(attached(other), [links()["shunt_connect4"]?.programId]);
  }),
);

test("a refused object says why, and leaves a working predecessor as it is", async () => {
  const bed = await openBed("datapathrefused");
  try {
    const pod = await bed.lab.pod({ namespace: "test", name: "p", uid: "aa-1", address: "10.88.0.2" });
    await bed.enrol([[pod, policy(1n)]]);
    let connections = 0n;
    /** Nobody listens on 15001, so a steered connection is refused at once; the programs have counted it. */
    const steers = async (): Promise<void> => {
      await pod.exec(["bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/80"], { container: "app" });
      connections++;
      assert.equal(
        bed.verdicts(pod).map(({ reason, count }) => `${reason} ${count}`),
        [`included-all ${connections}`],
      );
    };
    const pinned = (): string[] => readdirSync(pinDirectory(bed.bpffs), { recursive: true, encoding: "utf8" }).sort();
    const open = (bytes: Uint8Array, name: string, layout: string) => (): Datapath =>
      openDatapath({
        native: native(),
        object: bytes,
        objectName: name,
        layout,
        bpffs: bed.bpffs,
        cgroupRoot: bed.lab.cgroupRoot,
        hostNetnsCookie: new Uint8Array(8),
      });
    await steers();
    const before = { pinned: pinned(), programs: attached(bed.lab.cgroupRoot) };

    // A program that the verifier refuses, among those that it takes.
    const directory = join(bed.lab.directory, "bpf-sources");
    mkdirSync(directory);
    for (const file of readdirSync(sources())) copyFileSync(join(sources(), file), join(directory, file));
    writeFileSync(
      join(directory, "seven.bpf.c"),
      `#include <linux/bpf.h>
       #include <bpf/bpf_helpers.h>
       SEC("cgroup/connect4")
       int shunt_seven(struct bpf_sock_addr *ctx) { return ctx->user_port ? 7 : 8; }
       char LICENSE[] SEC("license") = "Dual BSD/GPL";`,
    );
    const { path } = compileObject(directory, join(bed.lab.directory, "cache"));
    const seven = readFileSync(path);

    for (const layout of [bed.contract.hash, "other"]) {
      const verifier = refused(open(seven, path, layout));
      assert.equal(
        [verifier.syscall, verifier.subject, verifier.code],
        ["bpf(BPF_PROG_LOAD)", "shunt_seven", "EINVAL"],
      );
      assert.match(verifier.message, /^bpf\(BPF_PROG_LOAD\) shunt_seven: EINVAL: \S/);
      assert.match(verifier.verifier ?? "", /R0 has .*should have been in \[0, 1\]/);
      for (const [bytes, code] of [
        [object.subarray(0, 1000), "ENOEXEC"],
        [new Uint8Array(5000), "ENOEXEC"],
      ] as const) {
        const broken = refused(open(bytes, "shunt.bpf.o", layout));
        assert.is(broken.code, code);
        assert.match(broken.message, /^bpf_object__open shunt\.bpf\.o: ENOEXEC: \S/);
      }
      assert.equal({ pinned: pinned(), programs: attached(bed.lab.cgroupRoot) }, before);
      await steers();
    }
  } finally {
    await bed.close();
  }
});

test(
  "what a start that was killed half way has left is taken over",
  within(async ({ bpffs, root, open, run, mapIds, links }) => {
    // The kernel detaches what is not pinned any more a moment later.
    const alone = () => until("one program is attached", () => attached(root).length === 1);
    open().close();
    const ids = mapIds();
    const maps = join(pinDirectory(bpffs), "maps-mine");
    // It had come no further than these.
    const kept = pinnedMaps.slice(0, 5);
    for (const name of pinnedMaps) if (!kept.includes(name)) unlinkSync(join(maps, name));
    assert.is(run(), false);
    const now = mapIds();
    for (const name of pinnedMaps) assert.is(now[name] === ids[name], kept.includes(name), name);
    assert.equal(attached(root), [links()["shunt_connect4"]?.programId]);

    // Some links only; and an unload that was killed when the links were gone.
    const directory = join(pinDirectory(bpffs), "links");
    for (const name of programs.slice(2)) unlinkSync(join(directory, name));
    assert.is(run(), true);
    await alone();
    for (const name of programs) unlinkSync(join(directory, name));
    rmdirSync(directory);
    assert.is(run(), false);
    await alone();
    assert.equal(readdirSync(directory).sort(), programs.toSorted());
  }),
);

test(
  "unload where nothing is, and twice",
  within(async ({ bpffs, run }) => {
    const nothing = { links: [], maps: [], held: [] };
    assert.equal(await unload(native(), bpffs), nothing);
    run();
    assert.is((await unload(native(), bpffs)).links.length, programs.length);
    assert.equal(await unload(native(), bpffs), nothing);
    assert.equal(await unload(native(), "/nonexistent"), nothing);
  }),
);

test(
  "unload names what another process holds",
  within(async ({ bpffs, run, mapIds }) => {
    run();
    const { policies } = mapIds();
    const path = join(pinDirectory(bpffs), "maps-mine", "policies");
    const hold = `const map = require(${JSON.stringify(artifact("shunt.node"))}).openPinnedMap(${JSON.stringify(path)});
      console.log("held"); setInterval(() => map, 1e6);`;
    const holder: ChildProcess = spawn(process.execPath, ["-e", hold], { stdio: ["ignore", "pipe", "pipe"] });
    try {
      await firstLine(holder);
      // So long it waits for the rest, which the kernel takes its time for.
      const { held } = await unload(native(), bpffs, 10_000);
      assert.equal(held, [`map ${policies}`]);
      assert.not(existsSync(pinDirectory(bpffs)), "unpinned all the same");
    } finally {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    }
    await gone("map", [policies ?? 0]);
  }),
);

test.run();
