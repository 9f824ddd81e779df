/** Outbound IPv4 TCP on the real kernel: real processes, cgroups and namespaces. */
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine } from "../../src/demo/process.js";
import { faultsIn } from "../../src/maps/counts.js";
import { policy, prefix } from "../samples.js";
import { type Bed, openBed, script, until } from "./bed.js";
import { type Client, startClient, startClientAt } from "./client.js";

/** A bed with pods 10.88.0.2 and on, each with a stand-in for the proxy on 127.0.0.1:15001. */
function withPods(
  count: number,
  use: (bed: Bed, pods: LabPod[], clients: Client[]) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const bed = await openBed("outbound");
    try {
      const pods = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          bed.lab.pod({ namespace: "test", name: `p${i}`, uid: `aa-${i}`, address: `10.88.0.${i + 2}` }),
        ),
      );
      const [clients] = await Promise.all([
        Promise.all(pods.map((pod) => startClient(pod))),
        Promise.all(pods.map((pod) => startServer(pod, "proxy", "127.0.0.1:15001"))),
      ]);
      await use(bed, pods, clients);
    } finally {
      await bed.close();
    }
  };
}

async function startServer(pod: LabPod, label: string, ...listens: string[]): Promise<void> {
  const ids = { uid: 1337, gid: 1337 };
  await firstLine(pod.spawn(script("originServer.ts", label, ...listens), { container: "istio-proxy", ...ids }));
}

test(
  "the proxy sees the original destination and the pod's address, the app the peer that it asked for",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await bed.enrol([[pod, policy(1n)]]);
    const hosts = ["203.0.113.9", "10.96.0.1", "10.88.0.99"];
    const results = await client.ask({ count: 12, parallel: 3, hosts, ports: [80, 443, 65535, 1] });
    for (const { asked, peer, local, said } of results) {
      assert.is(said, `proxy ${asked} ${local}`);
      assert.is(peer, asked);
      assert.match(local, /^10\.88\.0\.2:/);
    }
    const counts = bed.verdicts(pod).map(({ verdict, reason, count }) => `${verdict} ${reason} ${count}`);
    assert.equal(counts, ["redirect included-all 12"]);
    assert.equal(faultsIn(bed.counters()), []);
  }),
);

test(
  "10,000 connections, 64 at a time, from four pods at once with the same tuples: every original destination is right",
  withPods(4, async (bed, pods, clients) => {
    await bed.enrol(pods.map((pod) => [pod, policy(1n)] as const));
    // Bound to 127.0.0.1 and the same ports, the four are the same tuple but for the namespace.
    const answers = await Promise.all(
      clients.map((client, i) => {
        const hosts = Array.from({ length: 50 }, (_, j) => `198.18.${i}.${j + 1}`);
        const ports = Array.from({ length: 51 }, (_, j) => 1000 * (i + 1) + j);
        return client.ask({ count: 2500, parallel: 16, hosts, ports, localAddress: "127.0.0.1", localPort: 20000 });
      }),
    );
    for (const results of answers) {
      assert.is(results.length, 2500);
      for (const { asked, peer, local, said } of results) {
        assert.is(said, `proxy ${asked} ${local}`);
        assert.is(peer, asked);
      }
    }
    const total = pods.flatMap((pod) => bed.verdicts(pod)).reduce((sum, { count }) => sum + count, 0n);
    assert.is(total, 10_000n);
    assert.is(bed.datapath.maps.handoff.entries().count, 0, "every hand-off was taken");
    assert.equal(faultsIn(bed.counters()), []);
  }),
);

test(
  "1,000 flips under load between two settings: every connection follows one of the two, never a mix",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await startServer(pod, "other", "127.0.0.1:15101");
    // Without its rules, either would let the connection pass: the mix that has to be impossible.
    const byPort = { direction: "outbound", port: 80, action: "redirect", reason: "included-port" } as const;
    const byRange = { prefix: prefix("198.18.0.0/15"), action: "redirect", reason: "included-range" } as const;
    const settings = [
      policy(11n, { captureOtherOutbound: false, ports: [byPort] }),
      policy(12n, { captureOtherOutbound: false, ranges: [byRange], outboundPort: 15101 }),
    ] as const;
    await bed.enrol([[pod, settings[0]]]);
    bed.sampleFlows(1);
    let asking = true;
    let connections = 0;
    const load = (async () => {
      while (asking) {
        const results = await client.ask({
          count: 640,
          parallel: 64,
          hosts: ["198.18.0.1", "198.19.255.254"],
          ports: [80],
        });
        for (const { asked, said, local } of results) {
          assert.match(said, new RegExp(`^(proxy|other) ${asked} ${local}$`));
        }
        connections += results.length;
      }
    })();
    try {
      // And as many more as the connections need; the last is the first setting.
      for (let i = 1; i <= 1000 || connections <= 1000 || i % 2 === 0; i++)
        await bed.enrol([[pod, settings[i % 2 === 0 ? 0 : 1]]]);
    } finally {
      asking = false;
      await load;
    }
    const total = (): bigint => bed.verdicts(pod).reduce((sum, { count }) => sum + count, 0n);
    await until("all flows", () => BigInt(bed.flows.length) + (bed.counters().get("flow-lost") ?? 0n) >= total());
    const seen = new Set(bed.flows.map((flow) => `${flow.verdict} ${flow.reason} ${flow.targetPort}`));
    assert.equal([...seen].sort(), ["redirect included-port 15001", "redirect included-range 15101"]);
    assert.is(total(), BigInt(connections));
    assert.ok(connections > 1000, `${connections} connections`);
    assert.equal([...bed.store.have.policies.keys()], [11n]);
    assert.is(bed.datapath.maps.range_rules.entries().count, 0, "the old policy's rules are gone");
  }),
);

test(
  "a process of the pod's cgroup in another network namespace is left alone, the host's always",
  withPods(2, async (bed, [mine, other]) => {
    if (mine === undefined || other === undefined) return assert.unreachable();
    await bed.enrol([[mine, policy(1n)]]);
    const { cgroup } = mine.container("app");
    const elsewhere = await startClientAt({ cgroup, netns: other.netns });
    const [result] = await elsewhere.ask({ count: 1, parallel: 1, hosts: ["10.88.0.2"], ports: [9] });
    assert.is(result?.said, "ECONNREFUSED", "the other pod's own port 9, not the proxy");
    assert.equal(
      bed.verdicts(mine).map(({ verdict, reason }) => `${verdict} ${reason}`),
      ["bypass foreign-netns"],
    );
    // Not known yet: captured, except in the host's.
    await bed.enrol([[mine, policy(1n), { netnsCookie: 0n }]]);
    const [captured] = await elsewhere.ask({ count: 1, parallel: 1, hosts: ["203.0.113.9"], ports: [9] });
    assert.match(captured?.said ?? "", /^proxy 203\.0\.113\.9:9 127\.0\.0\.1:/);
    assert.is(bed.counters().get("source-unbound"), 1n, "the pod's address is not one of that namespace");
    const host = await startClientAt({ cgroup, netns: "/proc/self/ns/net" });
    const [left] = await host.ask({ count: 1, parallel: 1, hosts: ["127.0.0.1"], ports: [9] });
    assert.is(left?.said, "ECONNREFUSED");
    assert.ok(bed.verdicts(mine).some(({ reason, count }) => reason === "foreign-netns" && count === 2n));
  }),
);

test(
  "a known pod whose policy is not in the map is refused, and counted",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await bed.enrol([[pod, policy(1n)]]);
    bed.datapath.maps.pod_records.store(
      bed.store.have.pods.get(pod.cgroupId)?.slot ?? 0,
      bed.contract.podRecord.offset("policy"),
      99n,
    );
    const [result] = await client.ask({ count: 1, parallel: 1, hosts: ["203.0.113.9"], ports: [80] });
    assert.is(result?.said, "EPERM");
    assert.equal(
      bed.verdicts(pod).map(({ verdict, reason }) => `${verdict} ${reason}`),
      ["deny unknown-pod"],
    );
    assert.is(bed.counters().get("policy-missing"), 1n);
  }),
);

test(
  "a slot that holds another pod's record refuses, and is counted",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await bed.enrol([[pod, policy(1n)]]);
    bed.datapath.maps.pod_records.store(bed.store.have.pods.get(pod.cgroupId)?.slot ?? 0, 0, 99n);
    const [result] = await client.ask({ count: 1, parallel: 1, hosts: ["203.0.113.9"], ports: [80] });
    assert.is(result?.said, "EPERM");
    assert.is(bed.counters().get("record-foreign"), 1n);
  }),
);

test(
  "the proxy is known by its uid, by its gid, and by its container's cgroup",
  withPods(1, async (bed, [pod]) => {
    if (pod === undefined) return assert.unreachable();
    const target = { count: 1, parallel: 1, hosts: ["203.0.113.9"], ports: [80] };
    await bed.enrol([
      [pod, policy(1n, { ranges: [{ prefix: prefix("0.0.0.0/0"), action: "redirect", reason: "included-range" }] })],
    ]);
    const reasons = async (ids: { uid: number; gid: number }): Promise<string> => {
      const before = new Map(bed.verdicts(pod).map((entry) => [entry.reason, entry.count]));
      await (await startClient(pod, ids)).ask(target);
      const now = bed.verdicts(pod).filter(({ reason, count }) => count !== before.get(reason));
      return now.map(({ verdict, reason }) => `${verdict} ${reason}`).join();
    };
    const app = { uid: 1000, gid: 1000 };
    // To the pod's own address there is no route that a test has to wait for.
    target.hosts = ["10.88.0.2"];
    target.ports = [15008];
    assert.is(await reasons({ uid: 1337, gid: 1000 }), "bypass tunnel-port");
    assert.is(await reasons(app), "bypass local-address");
    await bed.enrol([[pod, policy(1n), { proxyCgroupId: pod.container("app").cgroupId }]]);
    assert.is(await reasons(app), "bypass tunnel-port", "as the app's container is taken for the proxy's");
  }),
);

test(
  "an app that fills its socket's option memory is refused, and counted: it does not get past the proxy",
  withPods(1, async (bed, [pod]) => {
    if (pod === undefined) return assert.unreachable();
    await bed.enrol([[pod, policy(1n)]]);
    const program = join(bed.lab.directory, "optmem");
    await command(["gcc", "-O2", "-o", program, new URL("optmem.c", import.meta.url).pathname]);
    const ids = { container: "app", uid: 1000, gid: 1000 };
    const { stdout, stderr } = await pod.exec([program, "203.0.113.9", "80"], ids);
    assert.is(stdout, "ENOMEM\n", stderr);
    assert.equal(
      bed.verdicts(pod).map(({ verdict, reason, count }) => `${verdict} ${reason} ${count}`),
      ["deny no-memory 1"],
    );
  }),
);

test(
  "SO_ORIGINAL_DST of a socket that was not redirected is the kernel's own answer; the proxy's is counted as lost",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await startServer(pod, "app", "0.0.0.0:5000");
    await bed.enrol([[pod, policy(1n)]]);
    const [app] = await client.ask({ count: 1, parallel: 1, hosts: ["10.88.0.2"], ports: [5000] });
    assert.match(app?.said ?? "", /^app E[A-Z]+ /);
    assert.is(bed.counters().get("handoff-lost"), 0n);
    const [direct] = await client.ask({ count: 1, parallel: 1, hosts: ["127.0.0.1"], ports: [15001] });
    assert.match(direct?.said ?? "", /^proxy E[A-Z]+ /, "not a stale destination");
    assert.is(bed.counters().get("handoff-lost"), 1n);
  }),
);

test(
  "a stale hand-off entry does not answer for the next user of its tuple",
  withPods(1, async (bed, [pod], [client]) => {
    if (pod === undefined || client === undefined) return assert.unreachable();
    await bed.enrol([[pod, policy(1n)]]);
    // From now on the port is one that the hand-off has led to.
    await client.ask({ count: 1, parallel: 1, hosts: ["203.0.113.9"], ports: [80] });
    const { handoff } = bed.datapath.maps;
    const cookie = bed.store.have.pods.get(pod.cgroupId)?.netnsCookie ?? 0n;
    // As if a redirected connection from 127.0.0.1:20001 had never been accepted.
    const key = new Uint8Array(56);
    const view = new DataView(key.buffer);
    view.setBigUint64(0, cookie, true);
    for (const at of [8, 28]) {
      view.setUint32(at, 4, true);
      key.set([127, 0, 0, 1], at + 4);
    }
    view.setUint16(48, 20001, true);
    view.setUint16(50, 15001, true);
    const origin = new Uint8Array(24);
    origin.set([4, 0, 0, 0, 1, 2, 3, 4]);
    handoff.update(key, origin);
    const ask = {
      count: 1,
      parallel: 1,
      hosts: ["127.0.0.1"],
      ports: [15001],
      localAddress: "127.0.0.1",
      localPort: 20001,
    };
    const [result] = await client.ask(ask);
    assert.match(result?.said ?? "", /^proxy E[A-Z]+ 127\.0\.0\.1:20001$/);
    assert.is(handoff.lookup(key), undefined);
  }),
);

test.run();
