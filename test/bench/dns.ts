/**
 * A UDP query that is captured against one to the DNS proxy's own address in a namespace without programs, both on
 * an unconnected socket (as musl asks) and on a connected one (as glibc does); and connect() over IPv6 against IPv4.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import { openBed } from "../kernel/bed.js";
import { address, policy } from "../samples.js";
import { compare, compile, core, type Mode, rounds, type Side, samples, serve } from "./queries.js";
import { ratio } from "./statistics.js";

/** Prints medians of the rounds' medians, and the second side's ratio to the first. */
export async function benchDns(print: (text: string) => void): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "shunt-bench-"));
  chmodSync(scratch, 0o755); // the proxy runs what is in it
  const program = join(scratch, "sockets");
  const bed = await openBed("bench");
  try {
    await compile(program);
    const pod = (name: string, i: number): Promise<LabPod> =>
      bed.lab.pod({ namespace: "bench", name, uid: `dd-${i}`, address: `10.88.2.${i}`, address6: `fd00:2::${i}` });
    const [plain, shunt] = await Promise.all([pod("plain", 2), pod("shunt", 3)]);
    const own = ["10.88.2.3", "fd00:2::3"].map(address);
    const known = { captureIpv6: true, ipv6: address("fd00:2::3"), localAddresses: own };
    await bed.enrol([[shunt, policy(1n, { dns: "all" }), known]]);

    const outside = { cgroup: dirname(bed.lab.cgroupRoot), netns: plain.netns };
    const app = { cgroup: shunt.container("app").cgroup, netns: shunt.netns };
    const proxy = { cgroup: shunt.container("istio-proxy").cgroup, netns: shunt.netns, uid: 1337, gid: 1337 };
    await serve(program, outside, "serve-udp", "127.0.0.1", "15053");
    await serve(program, proxy, "serve-udp", "127.0.0.1", "15053");
    await serve(program, proxy, "serve", "127.0.0.1", "15001");
    await serve(program, proxy, "serve", "::1", "15001");

    const queries: readonly Side[] = [
      { name: "direct", place: outside, target: ["127.0.0.1", "15053"] },
      { name: "captured", place: app, target: ["203.0.113.9", "53"] },
    ];
    const families: readonly Side[] = [
      { name: "connect4", place: app, target: ["203.0.113.9", "80"] },
      { name: "connect6", place: app, target: ["2001:db8::9", "80"] },
    ];
    const runs: readonly (readonly [Mode, readonly Side[]])[] = [
      ["query", queries],
      ["lookup", queries],
      ["connect", families],
    ];
    print(`median of ${rounds} rounds of ${samples}, all on core ${core}`);
    for (const [mode, sides] of runs) {
      const [[one, base] = ["", Number.NaN], [two, value] = ["", Number.NaN]] = [
        ...(await compare(program, sides, mode)),
      ];
      print(`${mode.padEnd(8)}  ${one} ${base} ns   ${two} ${value} ns (× ${ratio(value, base)})`);
    }
  } finally {
    await bed.close();
    rmSync(scratch, { recursive: true });
  }
}
