/**
 * A pod that also carries Istio's iptables rules: with the rules alone, with Shunt alone and with both, the same
 * connections arrive at the same place and with the same original destination.
 */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { untilCaptured } from "../../src/demo/captured.js";
import { openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import { withBed } from "./agentBed.js";
import { type Endpoints, makeEndpoints } from "./endpoint.js";

/** Who opens the connection: from within the pod, but for `neighbour`. */
const callers = {
  app: { container: "app", uid: 1000, gid: 1000 },
  group: { container: "app", uid: 1000, gid: 1337 },
  proxy: { container: "istio-proxy", uid: 1337, gid: 1337 },
  neighbour: { container: "app", uid: 1000, gid: 1000 },
} as const;
type Caller = keyof typeof callers;

interface Case {
  readonly from: Caller;
  /** `pod` stands for the pod's address. */
  readonly to: string;
  readonly source?: string;
  /** Who answers: the listener on 15001, the one on 15006, or the application. */
  readonly by: "outbound" | "inbound" | "app" | "outside";
}

const cases: readonly Case[] = [
  { from: "app", to: "10.88.6.9:5000", by: "outbound" },
  { from: "app", to: "203.0.113.9:65535", by: "outbound" },
  { from: "app", to: "10.88.6.9:15020", by: "outside" },
  { from: "app", to: "pod:5000", by: "app" },
  { from: "app", to: "127.0.0.1:5000", by: "app" },
  { from: "app", to: "127.0.0.9:5000", by: "app" },
  { from: "app", to: "0.0.0.0:5000", by: "app" },
  { from: "group", to: "10.88.6.9:5000", by: "outside" },
  { from: "group", to: "pod:5000", by: "app" },
  { from: "proxy", to: "10.88.6.9:5000", by: "outside" },
  { from: "proxy", to: "pod:5000", by: "inbound" },
  { from: "proxy", to: "pod:15008", by: "app" },
  { from: "proxy", to: "pod:5000", source: "127.0.0.6", by: "app" },
  { from: "proxy", to: "127.0.0.1:5000", by: "app" },
  { from: "proxy", to: "127.0.0.6:15002", source: "127.0.0.1", by: "inbound" },
  { from: "neighbour", to: "pod:5000", by: "inbound" },
  { from: "neighbour", to: "pod:1", by: "inbound" },
  { from: "neighbour", to: "pod:15008", by: "app" },
  { from: "neighbour", to: "pod:15020", by: "app" },
  { from: "neighbour", to: "pod:15021", by: "app" },
  { from: "neighbour", to: "pod:15090", by: "app" },
];
const name = ({ from, to, source }: Case): string => `${from}${source === undefined ? "" : ` from ${source}`} to ${to}`;

interface Subject {
  readonly pod: LabPod;
  /** @returns what was answered, after the caller's own two ends. */
  ask(from: Caller, to: string, source?: string): Promise<string[]>;
}

/** A pod with both listeners of a proxy and an application. */
async function startPod(endpoints: Endpoints, pod: LabPod, neighbour: LabPod): Promise<Subject> {
  const proxy = { pod, ...callers.proxy };
  const app = { pod, ...callers.app };
  await Promise.all([
    endpoints.listen(proxy, "outbound", "127.0.0.1", 15001),
    endpoints.listen(proxy, "inbound", "0.0.0.0", 15006),
    ...[5000, 15008, 15020, 15021, 15090].map((port) => endpoints.listen(app, "app", "0.0.0.0", port)),
  ]);
  return {
    pod,
    async ask(from, to, source) {
      const [host = "", port = ""] = to.split(":");
      const place = { pod: from === "neighbour" ? neighbour : pod, ...callers[from] };
      const flags = ["ends", ...(source === undefined ? [] : [`from=${source}`])];
      return (await endpoints.call(place, host, Number(port), ...flags)).split(/\s/);
    },
  };
}

/** Asks every case, and compares where it arrives with what it says there. */
async function agree({ pod, ask }: Subject, how: string): Promise<void> {
  for (const each of cases) {
    const what = `${how}: ${name(each)}`;
    const to = each.to.replace("pod", pod.address);
    const said = await ask(each.from, to, each.source);
    const [own, peer, by, , seen, origin] = said;
    assert.is(by, each.by, `${what}: ${said.join(" ")}`);
    assert.is(seen, own, `${what}: who the server sees`);
    assert.is(peer, to.replace("0.0.0.0", "127.0.0.1"), `${what}: getpeername`);
    // The application's own sockets may ask: with rules the kernel knows them all, without it knows none.
    if (by === "inbound" || by === "outbound") assert.is(origin, to, `${what}: original destination`);
  }
}

/** To the proxy's port itself nothing was steered, so there is no other destination. */
async function notStale({ ask }: Subject, how: string): Promise<void> {
  const [, , by, , , origin = ""] = await ask("app", "127.0.0.1:15001");
  assert.is(by, "outbound", how);
  assert.match(origin, /^(E[A-Z]+|127\.0\.0\.1:15001)$/, how);
}

test("the rules alone, Shunt alone, and Shunt on top of the rules agree, original destinations included", async () => {
  const lab = await openLab({ kind: "istiorules" });
  try {
    const make = (id: string, address: string) => lab.pod({ namespace: "test", name: id, uid: `ab-${id}`, address });
    const [neighbour, plain, ruled] = await Promise.all([
      make("neighbour", "10.88.6.9"),
      make("plain", "10.88.6.2"),
      make("ruled", "10.88.6.3"),
    ]);
    const endpoints = await makeEndpoints(lab.directory);
    const outside = { pod: neighbour, ...callers.neighbour };
    const [alone, both] = await Promise.all([
      startPod(endpoints, plain, neighbour),
      startPod(endpoints, ruled, neighbour),
      ...[5000, 15020].map((port) => endpoints.listen(outside, "outside", "0.0.0.0", port)),
    ]);
    const rules = readFileSync(new URL("istio/cni-basic.golden", import.meta.url), "utf8");
    await command(["nsenter", `--net=${ruled.netns}`, "iptables-restore"], rules);
    await agree(both, "rules alone");
    await notStale(both, "rules alone");
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      for (const { pod } of [alone, both]) {
        await bed.edit(pod);
        await agent.waitFor((event) => event.event === "policy" && event.pod === `test/${pod.name}`);
      }
      await untilCaptured(bed.bpffs, [plain, ruled], 2);
      await agree(alone, "Shunt alone");
      await agree(both, "both");
      await notStale(alone, "Shunt alone");
      await notStale(both, "both");
    });
  } finally {
    await lab.close();
  }
});

test.run();
