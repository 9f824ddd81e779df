/** evasion.c in a captured pod beside one that is not, for tests that try to get around the proxy. */
import { join } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine, launch } from "../../src/demo/process.js";
import { native } from "../../src/kernel/native.js";
import { addressFromBytes, formatAddress } from "../../src/model/address.js";
import { address, policy } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { type Endpoints, makeEndpoints, type Place } from "./endpoint.js";

export const four = { own: "10.88.7.1", target: "10.88.7.2" };
export const six = { own: "fd00:7::1", target: "fd00:7::2" };

/** What is known of pod `n`. */
export const addresses = (n: number) => ({
  ipv6: address(`fd00:7::${n}`),
  localAddresses: [address(`10.88.7.${n}`), address(`fd00:7::${n}`)],
  captureIpv6: true,
});

export interface EvasionBed extends Bed {
  readonly ends: Endpoints;
  readonly program: string;
  /** The captured one, at `own`. */
  readonly pod: LabPod;
  /** The other, at `target`: not enrolled. */
  readonly other: LabPod;
  /** On 15001, both families. */
  startProxy(of?: LabPod, ...flags: string[]): Promise<void>;
  /** On port 80 of the other pod. */
  startTarget(): Promise<void>;
  /** @returns what the application saw: its peer, then what it heard; or an errno's name. */
  evade(place: Place, mode: string, to: string, port: number, extra?: string): Promise<string>;
  /** Passes sockets of where it runs to who asks. @returns the path to ask at. */
  giver(of: LabPod, family: "4" | "6", cgroup?: string): Promise<string>;
  /** `verdict reason count` each. */
  told(of: LabPod): string[];
}

export async function openEvasionBed(kind: string): Promise<EvasionBed> {
  const bed = await openBed(kind);
  try {
    const ends = await makeEndpoints(bed.lab.directory);
    const program = join(bed.lab.directory, "evasion");
    const source = new URL("evasion.c", import.meta.url).pathname;
    await command(["gcc", "-O2", "-pthread", "-o", program, source]);
    const make = (n: number) =>
      bed.lab.pod({ namespace: "a", name: `p${n}`, uid: `17-${n}`, address: `10.88.7.${n}`, address6: `fd00:7::${n}` });
    const pod = await make(1);
    const other = await make(2);
    // Data in every SYN, and taken by every listener: net.ipv4.tcp_fastopen, Documentation/networking/ip-sysctl.rst.
    for (const each of [pod, other])
      await each.exec(["sh", "-c", "echo 0x607 > /proc/sys/net/ipv4/tcp_fastopen"], { container: "pause" });
    await bed.enrol([[pod, policy(1n), addresses(1)]]);
    return {
      ...bed,
      ends,
      program,
      pod,
      other,
      async startProxy(of = pod, ...flags) {
        for (const to of ["127.0.0.1", "::1"])
          await ends.listen(as(1337, "istio-proxy", of), "proxy", to, 15001, ...flags);
      },
      async startTarget() {
        await ends.listen(as(0, "app", other), "target", "::", 80);
      },
      async evade({ pod: of, ...ids }, mode, to, port, extra = "") {
        const { stdout, stderr } = await of.exec([program, mode, to, `${port}`, extra], { ...ids, timeout: 250_000 });
        return (stdout + stderr).trim();
      },
      async giver(of, family, cgroup = of.container("app").cgroup) {
        const path = join(bed.lab.directory, `give${family}`);
        await firstLine(launch({ cgroup, netns: of.netns }, [program, "give", path, family], {}));
        return path;
      },
      told: (of) => bed.verdicts(of).map(({ verdict, reason, count }) => `${verdict} ${reason} ${count}`),
    };
  } catch (error) {
    await bed.close();
    throw error;
  }
}

export const as = (id: number, container: string, pod: LabPod): Place => ({ pod, container, uid: id, gid: id });

/** The application's peer and the proxy's original destination are what was asked for. */
export function captured(to: string, peer = to): RegExp {
  const shown = to.includes(":") ? `[${to}]:80` : `${to}:80`;
  return new RegExp(`^${peer} 80 proxy \\S+ \\S+ ${shown.replace(/[[\].]/g, "\\$&")}$`);
}

/** Once the kernel has seen that nobody else has it: until then nobody gets an answer from there. */
export async function linkLocalOf(pod: LabPod): Promise<string> {
  const tentative = ["nsenter", `--net=${pod.netns}`, "ip", "-6", "address", "show", "tentative"] as const;
  while ((await command(tentative)) !== "") await new Promise((resolve) => setTimeout(resolve, 20));
  const { addresses: found } = await native().inspectNetns(pod.netns);
  const bytes = found.find(({ address: [first, second] }) => first === 0xfe && second === 0x80)?.address;
  if (bytes === undefined) throw new Error(`${pod.name} has no link-local address`);
  return formatAddress(addressFromBytes(bytes));
}
