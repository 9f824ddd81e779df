/**
 * The source against an API server: always against the double, and where KUBEBUILDER_ASSETS names one
 * against a real one as well. Both beds serve one test after the other, each test with a node of its own.
 */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Cases } from "./cases.js";
import { type ClusterBed, openDoubleBed } from "./clusterBed.js";
import { clusterCases } from "./clusterCases.js";
import { unique, withSource } from "./kit.js";
import { networkCases } from "./networkCases.js";
import { podCases } from "./podCases.js";
import { assets, openRealBed } from "./realBed.js";

const cases: Cases = { ...podCases, ...networkCases, ...clusterCases };

const deploy = new URL("../../../deploy/base/daemonset.yaml", import.meta.url);
/** What the double would not notice. */
const onlyReal: Cases = {
  async "the DaemonSet of deploy/ is one that the server accepts"({ bed }) {
    const path = "/apis/apps/v1/namespaces/shunt-system/daemonsets";
    const made = await bed.admin(path, { method: "POST", body: load(readFileSync(deploy, "utf8")) });
    const { spec } = made as { spec: { template: { spec: { containers: { securityContext: object }[] } } } };
    assert.is(Reflect.get(spec.template.spec.containers[0]?.securityContext ?? {}, "privileged"), undefined);
  },
};

const beds = [
  { name: "the double", open: openDoubleBed },
  ...(assets === "" ? [] : [{ name: "a real API server", open: openRealBed }]),
];
console.log(
  `against ${beds.map(({ name }) => name).join(" and ")}${assets === "" ? ": KUBEBUILDER_ASSETS is not set" : ""}`,
);
for (const { name: which, open } of beds) {
  const test = suite(`source on ${which}`);
  let bed: ClusterBed;
  test.before(async () => {
    bed = await open();
  });
  test.after(async () => {
    await bed.close();
  });
  const real = open === openRealBed;
  for (const [name, run] of Object.entries(real ? { ...cases, ...onlyReal } : cases)) {
    test(name, async () => {
      const node = unique("node");
      await run({
        bed,
        node,
        synced: (use) =>
          withSource(bed, { node }, async (opened) => {
            await opened.source.synced;
            await use(opened);
          }),
      });
    });
  }
  test.run();
}
