/**
 * Cases of the source against an API server: always against the double, and where KUBEBUILDER_ASSETS names one
 * against a real one as well. Both beds serve one test after the other, each test with a node of its own.
 */
import { suite } from "uvu";
import type { Cases } from "./cases.js";
import { type ClusterBed, openDoubleBed } from "./clusterBed.js";
import { unique, withSource } from "./kit.js";
import { assets, openRealBed } from "./realBed.js";

/** @param onlyReal what the double would not notice. */
export function onServers(title: string, cases: Cases, onlyReal: Cases = {}): void {
  const beds = [
    { name: "the double", open: () => openDoubleBed(), cases },
    ...(assets === ""
      ? []
      : [{ name: "a real API server", open: () => openRealBed(), cases: { ...cases, ...onlyReal } }]),
  ];
  const names = beds.map(({ name }) => name).join(" and ");
  console.log(`against ${names}${assets === "" ? ": KUBEBUILDER_ASSETS is not set" : ""}`);
  for (const { name: which, open, cases } of beds) {
    const test = suite(`${title} on ${which}`);
    let bed: ClusterBed | undefined;
    test.before(async () => {
      bed = await open();
    });
    test.after(async () => {
      await bed?.close();
    });
    for (const [name, run] of Object.entries(cases)) {
      test(name, async () => {
        if (bed === undefined) throw new Error("no bed");
        const place = { bed, node: unique("node") };
        await run({
          ...place,
          synced: (use) =>
            withSource(place.bed, place, async (opened) => {
              await opened.source.synced;
              await use(opened);
            }),
        });
      });
    }
    test.run();
  }
}
