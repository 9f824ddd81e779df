/** Sidecars and the mesh's configuration, edited while the agent runs, as the real kernel obeys them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest, writeManifest } from "../../src/demo/manifests.js";
import { openMesh, reach, type Said, toFirst, toSecond, traffic, withBed } from "./agentBed.js";

let mesh: { lab: Lab; pods: LabPod[] };
test.before(async () => {
  mesh = await openMesh("sidecar", "a", "b");
});
test.after(async () => {
  await mesh.lab.close();
});

/** A Sidecar of pod a alone: its port 5000 passes. */
function sidecar(mode: string, policy = "{mode: ALLOW_ANY}"): string {
  return `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: of-a, namespace: test}
spec:
  workloadSelector: {labels: {who: a}}
  outboundTrafficPolicy: ${policy}
  egress:
  - {port: {number: 5000, protocol: TCP}, captureMode: ${mode}, hosts: ["*/*"]}
  - {hosts: ["*/*"]}
`;
}

const meshConfig = (mode: string): string =>
  `kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: "outboundTrafficPolicy: {mode: ${mode}}"\n`;

test("each edit of a Sidecar or of the mesh reaches the pod that it concerns, and no other", async () => {
  const [a, b] = mesh.pods;
  if (a === undefined || b === undefined) throw new Error("no pods");
  await withBed(mesh.lab, async (bed) => {
    for (const { namespace, name, uid, address } of [a, b])
      await writeManifest(
        bed.manifests,
        `${name}.yaml`,
        podManifest({ namespace, name, uid, address, labels: { who: name } }),
      );
    const { agent } = await bed.ready();
    const start = agent.events.length;
    const write = (text: string): Promise<void> => writeManifest(bed.manifests, "sidecar.yaml", text);
    /** Does something, and waits until it is in the kernel. */
    const flip = async (act: () => Promise<unknown>): Promise<void> => {
      const from = agent.events.length;
      await act();
      await agent.waitFor(({ event, pod }) => event === "policy" && pod === "test/a", from);
    };
    const said = (text: string, from: number) =>
      agent.waitFor(({ event, ...rest }) => event === "problem" && ((rest as Said).msg ?? "").includes(text), from);
    const captured = async (): Promise<void> => assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    await captured();

    await flip(() => write(sidecar("NONE")));
    assert.is(await reach(a, toFirst), "direct");
    assert.is(await reach(a, toSecond), `proxy ${toSecond}`, "another port");
    assert.is(await reach(b, toFirst), `proxy ${toFirst}`, "another pod");

    let from = agent.events.length;
    await write(sidecar("none"));
    await said('Sidecar test/of-a spec.egress[0].captureMode="none"', from);
    assert.is(await reach(a, toFirst), "direct", "one that is refused stays as it was");

    await flip(() => write(sidecar("IPTABLES")));
    await captured();
    await flip(() => write(sidecar("NONE")));
    from = agent.events.length;
    await flip(() => write(sidecar("NONE", "{}")));
    await said("not honoured, since the outboundTrafficPolicy of this Sidecar is REGISTRY_ONLY", from);
    await captured();

    await flip(() => write(sidecar("NONE", "null")));
    assert.is(await reach(a, toFirst), "direct", "the mesh's policy is ALLOW_ANY");
    await flip(() => writeManifest(bed.manifests, "mesh.yaml", meshConfig("REGISTRY_ONLY")));
    await captured();
    await flip(() => writeManifest(bed.manifests, "mesh.yaml", meshConfig("ALLOW_ANY")));
    assert.is(await reach(a, toFirst), "direct");

    await flip(() => rm(join(bed.manifests, "sidecar.yaml")));
    await captured();
    const flips = agent.events.slice(start).filter(({ event }) => event === "policy");
    assert.equal([...new Set(flips.map(({ pod }) => pod))], ["test/a"]);
    assert.is(await agent.stop(), 0);
  });
});

test("what a flag says for the whole mesh holds for pods that do not say it themselves", async () => {
  const [a, b] = mesh.pods;
  if (a === undefined || b === undefined) throw new Error("no pods");
  await withBed(mesh.lab, async (bed) => {
    await bed.edit(a);
    await bed.edit(b, { [traffic("excludeOutboundPorts")]: "" });
    const agent = bed.start("--exclude-outbound-ports", "5000");
    await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
    assert.is(await reach(a, toFirst), "direct");
    assert.is(await reach(a, toSecond), `proxy ${toSecond}`);
    assert.is(await reach(b, toFirst), `proxy ${toFirst}`);
    assert.is(await agent.stop(), 0);
  });
});

test("an edit of the file of mesh defaults reaches the pods that do not say it themselves, and no other", async () => {
  const [a, b] = mesh.pods;
  if (a === undefined || b === undefined) throw new Error("no pods");
  await withBed(mesh.lab, async (bed) => {
    const ports = (text: string): string => `global: {proxy: {excludeOutboundPorts: ${text}}}\n`;
    await writeManifest(bed.lab.directory, "config.yaml", ports('"5000"'));
    await bed.edit(a);
    await bed.edit(b, { [traffic("excludeOutboundPorts")]: "" });
    const agent = bed.start("--config", join(bed.lab.directory, "config.yaml"));
    await agent.waitFor(({ event }) => event === "ready", 0, 30_000);
    assert.is(await reach(a, toFirst), "direct");
    assert.is(await reach(b, toFirst), `proxy ${toFirst}`);

    let from = agent.events.length;
    await writeManifest(bed.lab.directory, "config.yaml", ports("5001"));
    await agent.waitFor(({ event, pod }) => event === "policy" && pod === "test/a", from);
    assert.is(await reach(a, toFirst), `proxy ${toFirst}`);
    assert.is(await reach(a, toSecond), "direct");

    const edited = agent.events.length;
    await writeManifest(bed.lab.directory, "config.yaml", ports('"5001,x"'));
    const { msg = "" } = (await agent.waitFor(({ event }) => event === "problem", edited)) as Said;
    assert.match(msg, /config\.yaml: global\.proxy\.excludeOutboundPorts="5001,x": "x": not a port/);
    assert.is(await reach(a, toSecond), "direct", "the last good one stays");
    await writeManifest(bed.lab.directory, "config.yaml", ports('"5001"'));
    await agent.waitFor(({ event }) => event === "mended", edited);
    const flips = agent.events.slice(from).filter(({ event }) => event === "policy");
    assert.equal(
      flips.map(({ pod }) => pod),
      ["test/a"],
      "one edit, one pod",
    );
    from = agent.events.length;
    await writeManifest(bed.lab.directory, "config.yaml", "{}");
    await agent.waitFor(({ event, pod }) => event === "policy" && pod === "test/a", from);
    assert.is(await reach(a, toSecond), `proxy ${toSecond}`);
    assert.is(await agent.stop(), 0);
  });
});

test.run();
