/**
 * connect() in a pod with 10,000 excluded ranges and 1,000 excluded ports, against one with one of each: under Shunt,
 * where rules are looked up, and under Istio's iptables rules, where they are gone through. The sides take turns.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import type { Policy } from "../../src/model/policy.js";
import { openBed } from "../kernel/bed.js";
import { policy, prefix } from "../samples.js";
import { compare, compileSockets, core, microseconds, type Side, serve, type Taken, values } from "./sides.js";
import { ratios, written } from "./statistics.js";

const turns = { rounds: 15, samples: 2000 };
const server = "10.88.2.9";
/** Excluded too: the last range, for those who go through them. */
const last = `${server}/32`;
/** Between two excluded ranges, so that a lookup goes down to them: captured all the same. */
const between = ["20.19.136.200", "80"] as const;
const sizes = { one: { ports: 1, ranges: 1 }, many: { ports: 1000, ranges: 10_000 } } as const;
type Size = keyof typeof sizes;

function rulesOf(size: Size): { ports: number[]; ranges: string[] } {
  const { ports, ranges } = sizes[size];
  return {
    ports: Array.from({ length: ports }, (_, i) => 20_000 + i),
    ranges: [...Array.from({ length: ranges - 1 }, (_, i) => `20.${i >> 8}.${i & 255}.0/25`), last],
  };
}

function policyOf(id: bigint, size: Size): Policy {
  const { ports, ranges } = rulesOf(size);
  return policy(id, {
    ports: ports.map((port) => ({ direction: "outbound", port, action: "bypass", reason: "excluded-port" })),
    ranges: ranges.map((range) => ({ prefix: prefix(range), action: "bypass", reason: "excluded-range" })),
  });
}

/** Istio's rules with these excludes where Istio puts them: ports first, for tcp and udp, ranges before the redirect. */
async function addRules(pod: LabPod, size: Size): Promise<void> {
  const { ports, ranges } = rulesOf(size);
  const port = (protocol: string) => `-A ISTIO_OUTPUT -p ${protocol} --dport 15020 -j RETURN\n`;
  const loopback = "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n";
  const golden = readFileSync(new URL("data/cni-basic.golden", import.meta.url), "utf8");
  if (![port("tcp"), port("udp"), loopback].every((line) => golden.includes(line)))
    throw new Error("another golden file");
  const all = (protocol: string) => ports.map((each) => port(protocol).replace("15020", `${each}`)).join("");
  const rules = golden
    .replace(port("tcp"), all("tcp"))
    .replace(port("udp"), all("udp"))
    .replace(loopback, loopback + ranges.map((range) => `-A ISTIO_OUTPUT -d ${range} -j RETURN\n`).join(""));
  await command(["nsenter", `--net=${pod.netns}`, "iptables-restore"], rules);
}

function report(print: (text: string) => void, name: string, taken: Taken): void {
  const line = (kind: string): string => {
    const [one, many] = [`${kind} one`, `${kind} many`];
    const against = written(ratios(values(taken, many), values(taken, one)));
    return `${kind}: one ${microseconds(taken, one)}, many ${microseconds(taken, many)} × ${against}`;
  };
  const sides = written(ratios(values(taken, "shunt many"), values(taken, "iptables many")));
  print(`  ${name.padEnd(26)} ${line("shunt")}   ${line("iptables")}   many, shunt/iptables ${sides}`);
}

/** Prints medians of the rounds' medians, and ratios. */
export async function benchRules(print: (text: string) => void): Promise<void> {
  const bed = await openBed("benchrules");
  try {
    const program = await compileSockets(bed.lab.directory);
    const pod = (name: string, i: number): Promise<LabPod> =>
      bed.lab.pod({ namespace: "bench", name, uid: `de-${i}`, address: `10.88.2.${i}` });
    const [plainOne, plainMany] = [await pod("iptables-one", 2), await pod("iptables-many", 3)];
    const [one, many, other] = [await pod("one", 4), await pod("many", 5), await pod("server", 9)];
    await addRules(plainOne, "one");
    await addRules(plainMany, "many");
    await bed.enrol([
      [one, policyOf(1n, "one")],
      [many, policyOf(2n, "many")],
    ]);

    // Under iptables, and the server: outside the pods' root, where no program of ours is.
    const outside = (of: LabPod) => ({ cgroup: dirname(bed.lab.cgroupRoot), netns: of.netns });
    const inside = (of: LabPod) => ({ cgroup: of.container("app").cgroup, netns: of.netns });
    const places = {
      "shunt one": inside(one),
      "shunt many": inside(many),
      "iptables one": outside(plainOne),
      "iptables many": outside(plainMany),
    };
    for (const place of Object.values(places)) await serve(program, place, "serve", "127.0.0.1", "15001");
    await serve(program, outside(other), "serve", server, "80");
    const sides = (target: readonly [string, string]): Side[] =>
      Object.entries(places).map(([name, place]) => ({ name, place, target }));
    const { ports, ranges } = sizes.many;
    print(
      `rules: connect() with ${ranges} excluded ranges and ${ports} excluded ports, and with one of each; median of ${turns.rounds} rounds of ${turns.samples}, all on core ${core}`,
    );
    report(print, "no rule matches: captured", await compare(program, sides(between), "connect", turns));
    report(print, "the last matches: passed", await compare(program, sides([server, "80"]), "connect", turns));
  } finally {
    await bed.close();
  }
}
