/** A configuration comes back from the pod that asks for it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { readDocuments } from "../../src/source/documents.js";
import { readGoldens } from "./cases.js";
import { baseConfig, cniConfig } from "./config.js";
import { manifestOf, podOf } from "./manifest.js";

const facts = { namespace: "test", name: "p", uid: "u0", address: "10.0.0.2", address6: undefined, containers: [] };
const pod = facts as Partial<LabPod> as LabPod;

for (const { name, config } of readGoldens()) {
  test(`${name}: what annotations can say is what Istio's plug-in reads from them`, () => {
    const back = cniConfig(podOf(config));
    const same = ["OutboundIPRangesInclude", "OutboundIPRangesExclude", "OutboundPortsInclude", "ExcludeInterfaces"];
    for (const field of [...same, "OutboundPortsExclude", "InboundPortsInclude"] as (keyof typeof config)[]) {
      assert.equal(back[field], config[field], field);
    }
  });
}

test("a proxy's ids and environment are on its container", () => {
  const text = manifestOf(pod, { annotations: {}, env: { ISTIO_DUAL_STACK: "true" }, runAsUser: 7, runAsGroup: 8 });
  const [read] = readDocuments(text, "").pods;
  const proxy = read?.initContainers.find((container) => container.name === "istio-proxy");
  assert.equal([proxy?.runAsUser, proxy?.runAsGroup, proxy?.env.get("ISTIO_DUAL_STACK")], [7, 8, "true"]);
});

test("of several proxy ids the first is the pod's", () => {
  const { runAsUser, runAsGroup } = podOf({ ...baseConfig, ProxyUID: "3,4", ProxyGID: "1,2" });
  assert.equal([runAsUser, runAsGroup], [3, 1]);
});

test.run();
