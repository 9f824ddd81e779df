/**
 * What the programs cost those whom they do not concern, on plain loopback: a process under the pods' root that is
 * in no enrolled pod, and one outside the root. Each with the programs attached and without them, in turns. The
 * last side is the first again: how far those two are apart is what the run cannot tell.
 */
import { existsSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { pinDirectory, programs } from "../../src/kernel/datapath.js";
import { native } from "../../src/kernel/native.js";
import { type Bed, openBed } from "../kernel/bed.js";
import { policy } from "../samples.js";
import { compare, compileSockets, core, microseconds, type Side, serve, type Taken, values } from "./sides.js";
import { ratios, written } from "./statistics.js";

const turns = { rounds: 41, samples: 3000 };

function detach(bed: Bed): void {
  for (const program of [...programs].reverse()) {
    const path = join(pinDirectory(bed.bpffs), "links", program);
    if (!existsSync(path)) continue;
    const link = native().openPinnedLink(path);
    link.detach();
    link.close();
    unlinkSync(path);
  }
}

function report(print: (text: string) => void, taken: Taken): void {
  const line = (name: string, base: string): string =>
    `${name} ${microseconds(taken, name)}, ${base} ${microseconds(taken, base)}: × ${written(ratios(values(taken, name), values(taken, base)))}`;
  print(`  under the root:   ${line("attached", "detached")}`);
  print(`  outside the root: ${line("outside, attached", "outside, detached")}`);
  print(`  the same twice:   ${line("outside, detached again", "outside, detached")}`);
}

export async function benchBystanders(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchbystanders");
  try {
    const program = await compileSockets(bed.lab.directory);
    const pod = (name: string, i: number) =>
      bed.lab.pod({ namespace: "bench", name, uid: `df-${i}`, address: `10.88.4.${i}` });
    const [enrolled, beside, far] = await Promise.all([pod("enrolled", 1), pod("beside", 2), pod("far", 3)]);
    await bed.enrol([[enrolled, policy(1n)]]);

    const under = { cgroup: beside.container("app").cgroup, netns: beside.netns };
    const outside = { cgroup: dirname(bed.lab.cgroupRoot), netns: far.netns };
    const target = ["127.0.0.1", "8080"] as const;
    const attached = { target, prepare: () => void bed.datapath.attach() };
    const detached = { target, prepare: () => detach(bed) };
    const sides: readonly Side[] = [
      { name: "attached", place: under, ...attached },
      { name: "outside, attached", place: outside, ...attached },
      { name: "outside, detached", place: outside, ...detached },
      { name: "detached", place: under, ...detached },
      { name: "outside, detached again", place: outside, ...detached },
    ];
    for (const place of [under, outside]) await serve(program, place, "serve", ...target);
    print(`bystanders, connect(): median of ${turns.rounds} rounds of ${turns.samples}, all on core ${core}`);
    report(print, await compare(program, sides, "connect", turns));
  } finally {
    await bed.close();
  }
}
