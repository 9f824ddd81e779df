/** The agent serves what its own kernel maps say. */
import { existsSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { openMesh, reach, toFirst, toSecond, withBed } from "../kernel/agentBed.js";
import { samples } from "./kit.js";

let lab: Lab;
let pod: LabPod;

test.before(async () => {
  const mesh = await openMesh("metrics", "a");
  lab = mesh.lab;
  [pod] = mesh.pods as [LabPod];
});
test.after(() => lab.close());

test("--listen: ready when the agent is, and the node keeps the counts of a pod that goes", async () => {
  await withBed(lab, async (bed) => {
    await bed.edit(pod, {});
    const { agent } = await bed.ready();
    const { address } = await agent.waitFor(({ event }) => event === "listening");
    const get = async (path: string): Promise<string> => (await fetch(`http://${address}${path}`)).text();
    assert.is(await get("/readyz"), "ready\n");
    assert.is(await get("/healthz"), "ok\n");
    for (const to of [toFirst, toSecond]) assert.is(await reach(pod, to), `proxy ${to}`);

    const text = await get("/metrics");
    const decision = 'direction="outbound",verdict="redirect",reason="included-all"';
    assert.equal(samples(text, "shunt_connections_total"), [`{namespace="test",pod="a",${decision}} 2`]);
    assert.equal(samples(text, "shunt_node_connections_total"), [`{${decision}} 2`]);
    assert.equal(samples(text, "shunt_policy_latency_seconds_count"), ["1"]);
    assert.is(samples(text, "shunt_pods")[0], '{state="enrolled"} 1');

    rmSync(join(bed.manifests, `${pod.name}.yaml`));
    const end = Date.now() + 60_000;
    let last: string;
    do {
      await new Promise((resolve) => setTimeout(resolve, 50));
      last = await get("/metrics");
    } while (samples(last, "shunt_connections_total").length > 0 && Date.now() < end);
    assert.equal(samples(last, "shunt_connections_total"), []);
    assert.equal(samples(last, "shunt_node_connections_total"), [`{${decision}} 2`]);
    assert.is(await agent.stop(), 0);
  });
});

test("a port that is taken ends the agent before it has attached anything", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  try {
    await withBed(lab, async (bed) => {
      const agent = bed.start("--listen", `127.0.0.1:${port}`);
      const why = await agent.waitFor(({ event }) => event === "ready").catch((error: Error) => error.message);
      assert.match(`${why}`, `cannot listen on 127.0.0.1:${port}: another process listens there`);
      assert.is(await agent.stop(), 1);
      assert.not.ok(existsSync(pinDirectory(bed.bpffs)), "nothing is pinned");
    });
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test.run();
