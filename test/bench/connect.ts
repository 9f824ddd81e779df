/**
 * connect() and ping-pong of one connection, three ways: in a namespace without rules (plain loopback), with
 * Istio's iptables rules, and steered by Shunt. The sides take turns in one run, all on one core.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import { openBed } from "../kernel/bed.js";
import { policy, prefix } from "../samples.js";
import { compare, compile, core, rounds, type Side, samples, serve } from "./sockets.js";
import { ratio } from "./statistics.js";

/** Somewhere that no route leads to: only a redirect answers. */
const elsewhere = ["203.0.113.9", "80"] as const;

function report(
  print: (text: string) => void,
  mode: "connect" | "pingpong",
  medians: ReadonlyMap<string, number>,
): void {
  const of = (name: string): number => medians.get(name) ?? Number.NaN;
  const [plain, iptables, shunt] = [of("plain"), of("iptables"), of("shunt")];
  const line = [
    `plain ${plain} ns`,
    `iptables ${iptables} ns (× ${ratio(iptables, plain)})`,
    `shunt ${shunt} ns (× ${ratio(shunt, plain)})`,
  ];
  print(`${mode.padEnd(8)}  ${line.join("   ")}   shunt/iptables ${ratio(shunt, iptables)}`);
}

/** Prints medians of the rounds' medians, and ratios. */
export async function benchConnect(print: (text: string) => void): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "shunt-bench-"));
  const program = join(scratch, "sockets");
  const bed = await openBed("bench");
  try {
    await compile(program);
    const pod = (name: string, i: number): Promise<LabPod> =>
      bed.lab.pod({ namespace: "bench", name, uid: `dd-${i}`, address: `10.88.2.${i}` });
    const [plain, iptables, shunt] = await Promise.all([pod("plain", 2), pod("iptables", 3), pod("shunt", 4)]);
    const rules = readFileSync(new URL("data/cni-basic.golden", import.meta.url), "utf8");
    await command(["nsenter", `--net=${iptables.netns}`, "iptables-restore"], rules);
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
    for (const side of sides) {
      await serve(program, side.place, "serve", "127.0.0.1", "15001");
    }
    print(`median of ${rounds} rounds of ${samples}, all on core ${core}`);
    for (const mode of ["connect", "pingpong"] as const) report(print, mode, await compare(program, sides, mode));
  } finally {
    await bed.close();
    rmSync(scratch, { recursive: true });
  }
}
