/**
 * What a node is to bear: 250 pods of 20 rules, one of them with 10,000 ranges, edits all the while and
 * connections all the while. The agent is a process of its own.
 */
import { mkdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AgentProcess, startAgentProcess } from "../../src/demo/agentProcess.js";
import { podSlice } from "../../src/demo/cgroup.js";
import { openLab } from "../../src/demo/lab.js";
import { podManifest } from "../../src/demo/manifests.js";
import { firstLine } from "../../src/demo/process.js";
import { shuntArgv } from "../../src/demo/shunt.js";
import { releaseBpffs } from "../../src/kernel/mounts.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { script } from "./bed.js";
import { startClient } from "./client.js";

const pods = 250;
const key = (name: string): string => `traffic.sidecar.istio.io/${name}`;
const uidOf = (i: number): string => `10ad0000-0000-4000-8000-${String(i).padStart(12, "0")}`;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

type Annotations = Readonly<Record<string, string>>;

/** Ten ports and ten ranges; another seed, another policy. None concerns the connections of the test. */
const twenty = (seed: number): Annotations => ({
  [key("excludeOutboundPorts")]: numbers(10)
    .map((i) => 1000 + ((seed * 10 + i) % 50_000))
    .join(),
  [key("excludeOutboundIPRanges")]: numbers(10)
    .map((i) => `10.${seed % 250}.${i * 7}.0/24`)
    .join(),
});

/** The client's two settings: by range or not at all, with 10,000 more ranges beside. */
const settings: readonly Annotations[] = [
  {
    [key("excludeOutboundIPRanges")]: numbers(10_000)
      .map((i) => `20.${i >> 8}.${i & 255}.0/24`)
      .join(),
  },
  {
    [key("excludeOutboundIPRanges")]: [
      "10.88.9.3/32",
      ...numbers(10_000).map((i) => `21.${i >> 8}.${i & 255}.0/24`),
    ].join(),
  },
];

test("250 pods, 10,000 ranges, edits and connections all the while: each connection follows a setting that was there", async () => {
  const lab = await openLab({ kind: "load" });
  const bpffs = join(lab.directory, "bpf");
  const manifests = join(lab.directory, "manifests");
  mkdirSync(manifests);
  let agent: AgentProcess | undefined;
  const write = (i: number, annotations: Annotations, address = `10.200.0.${i}`): Promise<void> => {
    const options = { namespace: "load", name: `pod-${i}`, uid: uidOf(i), address, annotations };
    return writeFile(join(manifests, `pod-${i}.yaml`), podManifest(options));
  };
  try {
    const [client, server] = await Promise.all([
      lab.pod({ namespace: "load", name: "pod-0", uid: uidOf(0), address: "10.88.9.2" }),
      lab.pod({ namespace: "load", name: "server", uid: "server", address: "10.88.9.3" }),
    ]);
    for (const i of numbers(pods).slice(1)) {
      mkdirSync(join(lab.cgroupRoot, podSlice(uidOf(i), "burstable")));
      await write(i, twenty(i));
    }
    await write(0, settings[0] ?? {}, client.address);
    const servers = [
      client.spawn(script("originServer.ts", "proxy", "127.0.0.1:15001"), {
        container: "istio-proxy",
        uid: 1337,
        gid: 1337,
      }),
      server.spawn(script("originServer.ts", "direct", "0.0.0.0:80"), { container: "app" }),
    ];
    const [app] = await Promise.all([startClient(client), ...servers.map((each) => firstLine(each))]);
    agent = startAgentProcess({ shunt: shuntArgv(), manifests, cgroupRoot: lab.cgroupRoot, bpffs });
    const ready = await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
    assert.is((ready as unknown as { pods: number }).pods, pods);

    let editing = true;
    const ways = new Set<string>();
    let connections = 0;
    const load = (async () => {
      while (editing) {
        for (const { asked, said, local } of await app.ask({
          count: 200,
          parallel: 16,
          hosts: ["10.88.9.3"],
          ports: [80],
        })) {
          // Redirected: the stand-in tells the destination. Direct: the server itself answers, and sees the pod.
          const [way = "", origin, peer] = said.split(" ");
          ways.add(way);
          assert.is(peer, local, said);
          if (way === "proxy") assert.is(origin, asked);
          else assert.is(way, "direct", said);
          connections++;
        }
      }
    })();
    try {
      // Twenty rounds, and as many more as the connections need.
      for (let round = 0; round < 20 || connections <= 1000 || ways.size < 2; round++) {
        const from = agent.events.length;
        const others = numbers(10).map((i) => 1 + ((round * 10 + i) % (pods - 1)));
        await Promise.all(others.map((i) => write(i, twenty(1000 + round * 10 + i))));
        await write(0, settings[(round + 1) % 2] ?? {}, client.address);
        for (const i of [0, ...others]) {
          await agent.waitFor(({ event, pod }) => event === "policy" && pod === `load/pod-${i}`, from);
        }
      }
    } finally {
      editing = false;
      await load;
    }
    assert.equal([...ways].sort(), ["direct", "proxy"], "both settings were seen");
    assert.ok(connections > 1000, `${connections} connections`);
    assert.equal(
      agent.events.filter(({ level }) => level !== "info").map(({ msg }) => msg),
      [],
    );
  } finally {
    await agent?.stop();
    await unload(native(), bpffs);
    releaseBpffs(native(), bpffs);
    await lab.close();
  }
});

test.run();
