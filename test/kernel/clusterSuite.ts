/** One table of cases on each kind of cluster: the double, and where KUBEBUILDER_ASSETS names one a real API server. */
import { suite } from "uvu";
import type { LabPod } from "../../src/demo/labPod.js";
import { firstLine } from "../../src/demo/process.js";
import { artifact } from "../../src/kernel/artifact.js";
import { type ClusterBed, openDoubleBed } from "../source/kubernetes/clusterBed.js";
import { assets, openRealBed } from "../source/kubernetes/realBed.js";
import { traffic } from "./agentBed.js";
import { script } from "./bed.js";
import { type ClusterLab, openClusterLab } from "./clusterLab.js";

/** Outside the mesh: whoever gets there directly is told so. */
const address = "10.88.0.9";
export const there = `${address}:5000`;
/** Annotations: {@link there} is passed by, and is captured again. */
export const excluded = { [traffic("excludeOutboundPorts")]: "5000" };
export const captured = { [traffic("excludeOutboundPorts")]: null };

/** Fits the event that the policy of the pod of this name in the namespace mesh is in the kernel. */
export const isPolicy =
  (name: string) =>
  ({ event, pod }: { event: string; pod?: string }): boolean =>
    event === "policy" && pod === `mesh/${name}`;

/** @param pod a mesh pod, `shop`, that is there from the first case to the last. */
export type ClusterCase = (lab: ClusterLab, pod: LabPod) => Promise<void>;

/** Runs each case on each kind, and says which there are. The agents of a case are killed after it. */
export function onClusters(title: string, cases: Readonly<Record<string, ClusterCase>>): void {
  const beds = [
    { name: "the double", open: openDoubleBed },
    ...(assets === "" ? [] : [{ name: "a real API server", open: openRealBed }]),
  ];
  const names = beds.map(({ name }) => name).join(" and ");
  console.log(`against ${names}${assets === "" ? ": KUBEBUILDER_ASSETS is not set" : ""}`);
  for (const { name: which, open } of beds) {
    const test = suite(`${title} on ${which}`);
    let bed: ClusterBed | undefined;
    let lab: ClusterLab | undefined;
    let pod: LabPod;
    test.before(async () => {
      bed = await open();
      // The built agent: what it needs for a cluster is a file of its own, which only the built one has.
      lab = await openClusterLab(bed, [process.execPath, artifact("shunt.js")]);
      const outside = await lab.lab.pod({ namespace: "test", name: "outside", uid: "bb-0", address });
      const listening = outside.spawn(script("originServer.ts", "direct", "0.0.0.0:5000"), { container: "app" });
      [pod] = await Promise.all([lab.makePod("shop", "10.88.0.2"), firstLine(listening)]);
    });
    test.after(async () => {
      await lab?.close();
      await bed?.close();
    });
    for (const [name, run] of Object.entries(cases)) {
      test(name, async () => {
        if (lab === undefined) throw new Error("no lab");
        try {
          await run(lab, pod);
        } finally {
          await lab.stopAgents();
        }
      });
    }
    test.run();
  }
}
