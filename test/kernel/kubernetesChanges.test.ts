/** What changes in a cluster beside annotations, and what may happen between it and the agent, as the kernel obeys it. */
import { readdirSync } from "node:fs";
import * as assert from "uvu/assert";
import { reach, traffic } from "./agentBed.js";
import { until } from "./bed.js";
import type { ClusterLab } from "./clusterLab.js";
import { type ClusterCase, captured, excluded, isPolicy, onClusters, there } from "./clusterSuite.js";

const sidecars = "/apis/networking.istio.io/v1/namespaces/mesh/sidecars";
const contentType = "application/merge-patch+json";

/** Port 5000 of the pods that are labelled `who: a`. */
function sidecar(captureMode: string): object {
  const egress = [
    { port: { number: 5000, protocol: "TCP", name: "tcp" }, captureMode, hosts: ["*/*"] },
    { hosts: ["*/*"] },
  ];
  return { workloadSelector: { labels: { who: "a" } }, outboundTrafficPolicy: { mode: "ALLOW_ANY" }, egress };
}

const makeSidecar = ({ bed }: ClusterLab, name: string, spec: object): Promise<unknown> => {
  const body = { apiVersion: "networking.istio.io/v1", kind: "Sidecar", metadata: { name }, spec };
  return bed.admin(sidecars, { method: "POST", body });
};

interface Event {
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly message: string;
  readonly reason: string;
}

async function eventsOf({ bed }: ClusterLab, name: string, reason: string): Promise<Event[]> {
  const { items } = (await bed.admin("/api/v1/namespaces/mesh/events")) as { items: Event[] };
  return items.filter(({ involvedObject, ...event }) => involvedObject.name === name && event.reason === reason);
}

const cases: Readonly<Record<string, ClusterCase>> = {
  async "a Sidecar that is made, changed and deleted, and a label that selects it"(lab, pod) {
    await lab.bed.serveSidecars("v1");
    const { agent } = await lab.ready();
    const flip = async (act: () => Promise<unknown>, way: string): Promise<void> => {
      const from = agent.events.length;
      await act();
      await agent.waitFor(isPolicy(pod.name), from, 60_000);
      assert.is(await reach(pod, there), way);
    };
    const [direct, proxied] = ["direct", `proxy ${there}`] as const;
    const change = (spec: object) => lab.bed.admin(`${sidecars}/a`, { method: "PATCH", body: { spec }, contentType });
    try {
      assert.is(await reach(pod, there), proxied);
      await lab.label(pod.name, { who: "a" });
      await flip(() => makeSidecar(lab, "a", sidecar("NONE")), direct);
      await flip(() => lab.label(pod.name, { who: "b" }), proxied);
      await flip(() => lab.label(pod.name, { who: "a" }), direct);
      await flip(() => change(sidecar("IPTABLES")), proxied);
      await flip(() => change(sidecar("NONE")), direct);
      await flip(() => lab.bed.admin(`${sidecars}/a`, { delete: true }), proxied);
    } finally {
      await lab.label(pod.name, { who: null });
      await lab.bed.serveSidecars();
    }
  },

  async "problems become Events of the pod or the Sidecar, one each, also of an agent that starts again"(lab, pod) {
    await lab.bed.serveSidecars("v1");
    const bad = "bad-sidecar";
    await makeSidecar(lab, bad, {
      ...sidecar("NONE"),
      egress: [{ port: { number: 5000, protocol: "TCP" }, hosts: [] }],
    });
    await lab.annotate(pod.name, { [traffic("excludeOutboundPorts")]: "80," });
    try {
      const wanted = [[pod.name, "BadAnnotation"] as const, [bad, "BadSidecar"] as const];
      for (let round = 0; round < 2; round++) {
        const { agent } = await lab.ready();
        for (const [name, reason] of wanted) {
          const end = Date.now() + 60_000;
          while ((await eventsOf(lab, name, reason)).length === 0) assert.ok(Date.now() < end, `no ${reason}`);
        }
        await agent.stop();
      }
      const found = await Promise.all(wanted.map(([name, reason]) => eventsOf(lab, name, reason)));
      assert.equal(
        found.map((events) => events.map(({ involvedObject }) => involvedObject.kind)),
        [["Pod"], ["Sidecar"]],
      );
      const [ofPod] = found.flat();
      assert.match(ofPod?.message ?? "", 'excludeOutboundPorts="80,"');
      assert.is(ofPod?.involvedObject.uid, pod.uid);
    } finally {
      await lab.annotate(pod.name, captured);
      await lab.bed.serveSidecars();
    }
  },

  async "whatever happens to the way to the server, no pod loses its policy, and what was missed comes"(lab, pod) {
    const { bed, pins } = lab;
    const { agent } = await lab.ready();
    const other = await lab.makePod("other", "10.88.0.6");
    await agent.waitFor(isPolicy("other"), 0, 60_000);
    const from = agent.events.length;
    const policy = pins.record(pod.cgroupId)?.policy;
    const seen = new Set<bigint | undefined>();
    const watching = setInterval(() => seen.add(pins.record(pod.cgroupId)?.policy), 10);
    const open = (): number => readdirSync(`/proc/${agent.pid}/fd`).length;
    const before = open();
    /** An edit of the other pod that is made while the way is bad arrives in the end. */
    let edits = 0;
    const arrives = async (
      what: string,
      spoil: () => Promise<unknown>,
      mend: () => Promise<unknown>,
    ): Promise<void> => {
      const start = agent.events.length;
      await spoil();
      await lab.annotate("other", edits++ % 2 === 0 ? excluded : captured);
      await mend();
      await agent.waitFor(isPolicy("other"), start, 90_000).catch((error: Error) => {
        throw new Error(`${what}: ${error.message}`);
      });
    };
    const wire = (mode: "pass" | "refuse") => async (): Promise<void> => {
      bed.wire.mode = mode;
      bed.wire.cut();
    };
    try {
      await arrives(
        "latency",
        async () => {
          bed.wire.delay = 100;
        },
        async () => {},
      );
      bed.wire.delay = 0;
      await arrives(
        "a cut",
        async () => bed.wire.cut(),
        async () => {},
      );
      await arrives("a forgotten history", wire("refuse"), () => bed.forgetHistory().then(wire("pass")));
      await arrives(
        "rights taken away",
        async () => {
          const start = agent.events.length;
          await bed.forbid("pods");
          bed.wire.cut();
          await agent.waitFor(({ event, msg }) => event === "problem" && msg.includes("forbidden"), start, 60_000);
        },
        () => bed.allow(),
      );
      await arrives(
        "a token that is worth nothing",
        () => bed.rotateToken().then(wire("pass")),
        async () => {},
      );
      await arrives("a restart", wire("refuse"), () => bed.restart().then(wire("pass")));
      assert.is(await reach(pod, there), `proxy ${there}`);
      await until("no connection is left behind", () => open() <= before, 60_000);
      assert.is(pins.count("pods"), 2);
    } finally {
      clearInterval(watching);
      bed.wire.delay = 0;
      bed.wire.mode = "pass";
      await bed.allow();
      await lab.removePod(other);
    }
    assert.equal([...seen], [policy]);
    assert.not.ok(agent.events.slice(from).some(isPolicy(pod.name)), "its policy was never another");
  },
};

onClusters("agent and changes", cases);
