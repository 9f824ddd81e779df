/** A Sidecar or a mesh configuration that goes bad while no agent runs: the next agent changes nothing for it. */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { writeManifest } from "../../src/demo/manifests.js";
import { type AgentBed, openMesh, reach, toFirst, withBed } from "./agentBed.js";

let mesh: { lab: Lab; pods: LabPod[] };
test.before(async () => {
  mesh = await openMesh("restart", "a");
});
test.after(async () => {
  await mesh.lab.close();
});

const sidecar = (mode: string): string => `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: test}
spec:
  egress: [{port: {number: 5000, protocol: TCP}, captureMode: ${mode}, hosts: ["*/*"]}]
`;
const meshConfig = (mode: string): string =>
  `kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: "outboundTrafficPolicy: {mode: ${mode}}"\n`;

test("across a restart a pod keeps what it has; what is mended counts at once", async () => {
  const [a] = mesh.pods;
  if (a === undefined) throw new Error("no pod");
  await withBed(mesh.lab, async (bed: AgentBed) => {
    const write = (name: string, text: string): Promise<void> => writeManifest(bed.manifests, `${name}.yaml`, text);
    const policy = (): bigint => bed.pins.record(a.cgroupId)?.policy ?? 0n;
    await bed.edit(a);
    await write("sidecar", sidecar("NONE"));
    await write("mesh", meshConfig("ALLOW_ANY"));
    let { agent } = await bed.ready();
    const open = policy();
    assert.is(await reach(a, toFirst), "direct");

    /** Another agent, which finds this. */
    const restart = async (name: string, text: string): Promise<void> => {
      await agent.stop();
      await write(name, text);
      ({ agent } = await bed.ready());
    };
    await restart("sidecar", sidecar("none"));
    assert.is(policy(), open, "one that is refused");
    assert.is(await reach(a, toFirst), "direct");

    /** Waits until the kernel has another policy of the pod. */
    const flip = async (act: () => Promise<unknown>): Promise<void> => {
      const from = agent.events.length;
      await act();
      await agent.waitFor(({ event, pod }) => event === "policy" && pod === "test/a", from);
    };
    await flip(() => write("sidecar", sidecar("IPTABLES")));
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await flip(() => write("sidecar", sidecar("NONE")));
    assert.is(policy(), open);

    await restart("mesh", meshConfig("NO_SUCH_MODE"));
    assert.is(policy(), open);
    await flip(() => write("mesh", meshConfig("REGISTRY_ONLY")));
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await flip(() => write("mesh", meshConfig("ALLOW_ANY")));

    await restart("sidecar", "kind: Sidecar\nmetadata: [\n");
    assert.is(policy(), open, "a file that does not parse");
    await flip(() => rm(join(bed.manifests, "sidecar.yaml")));
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`, "gone is gone");
    assert.is(await agent.stop(), 0);
  });
});

test.run();
