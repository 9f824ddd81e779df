/**
 * connect() and ping-pong of one connection that comes into a pod from another namespace, three ways: nobody steers
 * it, Istio's iptables rules do (PREROUTING, REDIRECT), and the socket lookup does. What is measured is the
 * caller, which is in no pod.
 */
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabPod } from "../../src/demo/labPod.js";
import type { Place } from "../../src/demo/process.js";
import type { PortRule } from "../../src/model/policy.js";
import { type Bed, openBed } from "../kernel/bed.js";
import { policy } from "../samples.js";
import { addRules, report } from "./connect.js";
import { compare, compileSockets, core, type Side, serve } from "./sides.js";

const turns = { rounds: 31, samples: 4000 };

/** As every pod has them; the golden rules name the same. */
export const inboundPorts: readonly PortRule[] = [
  { direction: "inbound", port: 15008, action: "bypass", reason: "tunnel-port" },
  ...[15020, 15021, 15090].map((port): PortRule => {
    return { direction: "inbound", port, action: "bypass", reason: "excluded-port" };
  }),
];

/** Steers what arrives in the pod. The program needs a process there to be attached by. */
export async function steer(bed: Bed, pod: LabPod): Promise<void> {
  const child = pod.spawn(["sleep", "infinity"], { container: "pause" });
  for (let error: unknown; child.exitCode === null; ) {
    try {
      return bed.steerInbound(pod);
    } catch (thrown) {
      error = thrown;
      // It is still on its way into the namespace.
      if (!/no process of the pod/.test((error as Error).message)) throw error;
    }
    await sleep(5);
  }
  throw new Error("the pod's process ended");
}

export async function benchInbound(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchinbound");
  try {
    const program = await compileSockets(bed.lab.directory);
    const pod = (name: string, i: number): Promise<LabPod> =>
      bed.lab.pod({ namespace: "bench", name, uid: `de-${i}`, address: `10.88.3.${i}` });
    const [caller, plain, iptables, shunt] = await Promise.all([
      pod("caller", 1),
      pod("plain", 2),
      pod("iptables", 3),
      pod("shunt", 4),
    ]);
    await addRules(iptables);
    await bed.enrol([[shunt, policy(1n, { ports: inboundPorts })]]);
    await steer(bed, shunt);

    const outside = dirname(bed.lab.cgroupRoot);
    const proxy: Place = { cgroup: shunt.container("istio-proxy").cgroup, netns: shunt.netns, uid: 1337, gid: 1337 };
    await serve(program, { cgroup: outside, netns: plain.netns }, "serve", "0.0.0.0", "8080");
    await serve(program, { cgroup: outside, netns: iptables.netns }, "serve", "0.0.0.0", "15006");
    await serve(program, proxy, "serve", "0.0.0.0", "15006");
    const place: Place = { cgroup: outside, netns: caller.netns };
    const side = (name: string, { address }: LabPod): Side => ({ name, place, target: [address, "8080"] });
    const sides = [side("plain", plain), side("iptables", iptables), side("shunt", shunt)];
    print(`inbound: median of ${turns.rounds} rounds of ${turns.samples}, all on core ${core}`);
    for (const mode of ["connect", "pingpong"] as const)
      report(print, mode, await compare(program, sides, mode, turns));
  } finally {
    await bed.close();
  }
}
