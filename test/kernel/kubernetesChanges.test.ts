/** What changes in a cluster beside annotations, as the kernel obeys it, and what the agent tells the cluster. */
import * as assert from "uvu/assert";
import { reach, traffic } from "./agentBed.js";
import type { ClusterLab } from "./clusterLab.js";
import { type ClusterCase, captured, isPolicy, onClusters, there } from "./clusterSuite.js";

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
};

onClusters("agent and changes", cases);
