/**
 * connect() and ping-pong of one connection, three ways: in a namespace without rules (plain loopback), with
 * Istio's iptables rules, and steered by Shunt. The sides take turns in one run, all on one core.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import { openBed } from "../kernel/bed.js";
import { policy, prefix } from "../samples.js";
import {
  compare,
  compileSockets,
  core,
  type Mode,
  microseconds,
  type Side,
  serve,
  type Taken,
  values,
} from "./sides.js";
import { ratios, written } from "./statistics.js";

const turns = { rounds: 15, samples: 4000 };
/** Somewhere that no route leads to: only a redirect answers. */
const elsewhere = ["203.0.113.9", "80"] as const;

/** Three sides: nothing, the rules, us. */
export function report(print: (text: string) => void, mode: Mode, taken: Taken): void {
  const against = (name: string, base: string): string => written(ratios(values(taken, name), values(taken, base)));
  print(
    [
      `  ${mode.padEnd(8)}  plain ${microseconds(taken, "plain")}`,
      ...["iptables", "shunt"].map((name) => `${name} ${microseconds(taken, name)} × ${against(name, "plain")}`),
      `shunt/iptables ${against("shunt", "iptables")}`,
    ].join("   "),
  );
}

/** Istio's own rules, in the pod's namespace. */
export async function addRules(pod: LabPod): Promise<void> {
  const rules = readFileSync(new URL("data/cni-basic.golden", import.meta.url), "utf8");
  await command(["nsenter", `--net=${pod.netns}`, "iptables-restore"], rules);
}

/** Prints medians of the rounds' medians, and ratios. */
export async function benchConnect(print: (text: string) => void): Promise<void> {
  const bed = await openBed("bench");
  try {
    const program = await compileSockets(bed.lab.directory);
    const pod = (name: string, i: number): Promise<LabPod> =>
      bed.lab.pod({ namespace: "bench", name, uid: `dd-${i}`, address: `10.88.2.${i}` });
    const [plain, iptables, shunt] = await Promise.all([pod("plain", 2), pod("iptables", 3), pod("shunt", 4)]);
    await addRules(iptables);
    // Rules such as pods have: a port and a range that do not concern the connection.
    const ranges = [{ prefix: prefix("10.0.0.0/8"), action: "bypass", reason: "excluded-range" }] as const;
    const ports = [{ direction: "outbound", port: 15020, action: "bypass", reason: "excluded-port" }] as const;
    await bed.enrol([[shunt, policy(1n, { ranges, ports })]]);

    // The other two run outside the pods' root, where no program of ours is.
    const outside = dirname(bed.lab.cgroupRoot);
    const sides: readonly Side[] = [
      { name: "plain", place: { cgroup: outside, netns: plain.netns }, target: ["127.0.0.1", "15001"] },
      { name: "iptables", place: { cgroup: outside, netns: iptables.netns }, target: elsewhere },
      { name: "shunt", place: { cgroup: shunt.container("app").cgroup, netns: shunt.netns }, target: elsewhere },
    ];
    for (const side of sides) await serve(program, side.place, "serve", "127.0.0.1", "15001");
    print(`outbound: median of ${turns.rounds} rounds of ${turns.samples}, all on core ${core}`);
    for (const mode of ["connect", "pingpong"] as const)
      report(print, mode, await compare(program, sides, mode, turns));
  } finally {
    await bed.close();
  }
}
