/**
 * What the programs cost those whom they do not concern, on plain loopback: a process under the pods' root that is
 * in no enrolled pod, and one outside the root. Both with the programs attached, with the same programs attached to
 * an empty cgroup elsewhere, and with none.
 *
 * The second is there because the kernel passes by a cgroup hook only while nobody on the machine uses it (static
 * keys, cgroup_bpf_enabled() in include/linux/bpf-cgroup.h): the first user of a hook, whoever that is, makes every
 * process look for programs. One side is measured twice: how far these are apart is what the run cannot tell. On
 * a machine where somebody uses the hooks already, the second and the third are the same.
 */
import { existsSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { artifact } from "../../src/kernel/artifact.js";
import { inboundProgram, pinDirectory, programs } from "../../src/kernel/datapath.js";
import { type NativeLink, native } from "../../src/kernel/native.js";
import { type Bed, openBed } from "../kernel/bed.js";
import { policy } from "../samples.js";
import { compare, compileSockets, core, microseconds, type Side, serve, type Taken, values } from "./sides.js";
import { ratios, written } from "./statistics.js";

const turns = { rounds: 41, samples: 3000 };

type State = "attached" | "elsewhere" | "none";

interface Switch {
  to(state: State): void;
  close(): void;
}

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

/** @param bed with its programs attached. */
function openSwitch(bed: Bed): Switch {
  const elsewhere = join(dirname(bed.lab.cgroupRoot), "elsewhere");
  mkdirSync(elsewhere);
  const name = artifact("shunt.bpf.o");
  const object = native().openObject(readFileSync(name), name);
  object.setAutoload(inboundProgram, false);
  object.load();
  let links: NativeLink[] = [];
  let now: State = "attached";
  return {
    to(state) {
      if (state === now) return;
      if (now === "attached") detach(bed);
      for (const link of links) link.close();
      links = state === "elsewhere" ? programs.map((program) => object.attachCgroup(program, elsewhere)) : [];
      if (state === "attached") bed.datapath.attach();
      now = state;
    },
    close() {
      for (const link of links) link.close();
      object.close();
    },
  };
}

function report(print: (text: string) => void, taken: Taken): void {
  const against = (name: string, base: string): string => written(ratios(values(taken, name), values(taken, base)));
  for (const where of ["under", "outside"]) {
    const name = (state: string): string => `${where}, ${state}`;
    print(
      [
        `  ${where.padEnd(7)}  attached ${microseconds(taken, name("attached"))}`,
        `elsewhere ${microseconds(taken, name("elsewhere"))}`,
        `none ${microseconds(taken, name("none"))}`,
        `attached/elsewhere ${against(name("attached"), name("elsewhere"))}`,
        `attached/none ${against(name("attached"), name("none"))}`,
      ].join("   "),
    );
  }
  print(`  the same twice (outside, none) ${against("outside, none again", "outside, none")}`);
}

export async function benchBystanders(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchbystanders");
  let attachment: Switch | undefined;
  try {
    const program = await compileSockets(bed.lab.directory);
    const pod = (name: string, i: number) =>
      bed.lab.pod({ namespace: "bench", name, uid: `df-${i}`, address: `10.88.4.${i}` });
    const [enrolled, beside, far] = await Promise.all([pod("enrolled", 1), pod("beside", 2), pod("far", 3)]);
    await bed.enrol([[enrolled, policy(1n)]]);
    const opened = openSwitch(bed);
    attachment = opened;

    const places = {
      under: { cgroup: beside.container("app").cgroup, netns: beside.netns },
      outside: { cgroup: dirname(bed.lab.cgroupRoot), netns: far.netns },
    };
    const target = ["127.0.0.1", "8080"] as const;
    const side = (where: keyof typeof places, state: State, name: string = state): Side => {
      return { name: `${where}, ${name}`, place: places[where], target, prepare: () => opened.to(state) };
    };
    const states = ["attached", "elsewhere", "none"] as const;
    const sides = [
      ...states.flatMap((state) => [side("under", state), side("outside", state)]),
      side("outside", "none", "none again"),
    ];
    for (const place of Object.values(places)) await serve(program, place, "serve", ...target);
    print(`bystanders, connect(): median of ${turns.rounds} rounds of ${turns.samples}, all on core ${core}`);
    report(print, await compare(program, sides, "connect", turns));
  } finally {
    attachment?.close();
    await bed.close();
  }
}
