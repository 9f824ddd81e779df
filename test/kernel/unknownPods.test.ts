/** `--unknown-pods`: pods that run before the agent has heard of them, on the real kernel with the real agent. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cgroup2Mount } from "../../src/demo/cgroup.js";
import type { Lab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { launch, outcomeOf } from "../../src/demo/process.js";
import { artifact } from "../../src/kernel/artifact.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { native } from "../../src/kernel/native.js";
import { bindContract } from "../../src/maps/contract.js";
import { readVerdicts } from "../../src/maps/counts.js";
import { type AgentBed, openMesh, reach, shunt, toFirst, withBed } from "./agentBed.js";
import { until } from "./bed.js";

const deny = ["--unknown-pods", "deny"] as const;
const inject = "sidecar.istio.io/inject";
const refused = /Operation not permitted/;

let mesh: { lab: Lab; pods: LabPod[] };
test.before(async () => {
  mesh = await openMesh("unknown", "early", "plain");
});
test.after(async () => {
  await mesh.lab.close();
});

const withPods = (use: (bed: AgentBed, early: LabPod, plain: LabPod) => Promise<void>) => (): Promise<void> => {
  const [early, plain] = mesh.pods;
  if (early === undefined || plain === undefined) throw new Error("no pods");
  return withBed(mesh.lab, (bed) => use(bed, early, plain));
};

/** Connections of unknown pods, as `verdict count`. */
function counted(bpffs: string): string[] {
  const addon = native();
  const path = artifact("shunt.bpf.o");
  const contract = bindContract(addon.readBtf(readFileSync(path), path));
  const map = addon.openPinnedMap(join(pinDirectory(bpffs), `maps-${contract.hash}`, "verdicts"));
  try {
    return readVerdicts(map, contract)
      .filter(({ pod, reason }) => pod === 0n && reason === "unknown-pod")
      .map(({ verdict, count }) => `${verdict} ${count}`)
      .sort();
  } finally {
    map.close();
  }
}

const started = async (bed: AgentBed, ...args: readonly string[]) => {
  const agent = bed.start(...args);
  await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
  return agent;
};

/** A datagram of an unconnected socket. @returns `sent`, or the errno's name. */
async function send(pod: LabPod, type: "udp4" | "udp6", to: string): Promise<string> {
  const source = `const s = require("dgram").createSocket("${type}");
    s.send("x", 9999, "${to}", (e) => { console.log(e ? e.code : "sent"); s.close(); });`;
  const { stdout, stderr } = await pod.exec([process.execPath, "-e", source], { container: "app" });
  return stdout.trim() || stderr;
}

test(
  "deny: nothing leaves a pod that is not known, before, while and after no agent runs; then it is steered",
  withPods(async (bed, early, plain) => {
    await bed.edit(plain, { [inject]: "false" });
    const agent = await started(bed, ...deny);
    assert.match(await reach(early, toFirst), refused);
    assert.equal(counted(bed.bpffs), ["deny 1"]);
    assert.is(await send(early, "udp4", "10.88.0.9"), "EPERM");
    assert.is(await send(early, "udp6", "::1"), "EPERM");
    assert.equal(counted(bed.bpffs), ["deny 3"]);
    assert.is(await reach(plain, toFirst), "direct", "a known pod that is not enrolled passes");
    assert.is(await send(plain, "udp4", "10.88.0.9"), "sent");

    await agent.stop("SIGKILL");
    assert.match(await reach(early, toFirst), refused, "without an agent as well");
    assert.is(await reach(plain, toFirst), "direct", "its entry outlives the agent");

    const again = await started(bed, ...deny);
    assert.is(await reach(plain, toFirst), "direct");
    await bed.edit(early);
    await again.waitFor(({ event, pod }) => event === "policy" && pod === "test/early", 0, 60_000);
    assert.is(await reach(early, toFirst), `proxy ${toFirst}`);
    assert.equal(counted(bed.bpffs), ["deny 4"], "nothing else was one of an unknown pod");

    await again.stop();
    const { status } = await shunt("unload", "--bpffs", bed.bpffs);
    assert.is(status, 0);
    assert.is(await reach(early, toFirst), "direct", "unload ends it");
  }),
);

test(
  "allow: each connection of a pod that is not known is counted; an agent that allows ends a predecessor's deny",
  withPods(async (bed, early, plain) => {
    await bed.edit(plain, { [inject]: "false" });
    const denying = await started(bed, ...deny);
    assert.match(await reach(early, toFirst), refused);
    await denying.stop();
    const agent = await started(bed);
    assert.is(await reach(early, toFirst), "direct");
    assert.is(await reach(early, toFirst), "direct");
    assert.is(await reach(plain, toFirst), "direct");
    assert.is(await send(early, "udp4", "10.88.0.9"), "sent");
    assert.equal(counted(bed.bpffs), ["bypass 2", "deny 1"]);
    await agent.stop();
  }),
);

test(
  "a pod that is enrolled no more, and one that is enrolled at last",
  withPods(async (bed, early) => {
    await bed.edit(early);
    const agent = await started(bed, ...deny);
    assert.is(await reach(early, toFirst), `proxy ${toFirst}`);
    await bed.edit(early, { [inject]: "false" });
    await until("it has no record", () => bed.pins.record(early.cgroupId) === undefined);
    assert.is(await reach(early, toFirst), "direct");
    const from = agent.events.length;
    await bed.edit(early);
    await agent.waitFor(({ event, pod }) => event === "policy" && pod === "test/early", from, 60_000);
    assert.is(await reach(early, toFirst), `proxy ${toFirst}`);
  }),
);

test(
  "deny: a pod with the host's network is not held up, since nobody would ever capture it",
  withPods(async (bed, early) => {
    const server = createServer((socket) => socket.end("host"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await started(bed, ...deny);
      const { port } = server.address() as { port: number };
      const argv = ["bash", "-c", `exec cat < /dev/tcp/127.0.0.1/${port}`] as const;
      const place = { cgroup: early.container("app").cgroup, netns: "/proc/self/ns/net" };
      const { stdout, stderr } = await outcomeOf(launch(place, argv, {}));
      assert.equal([stdout, stderr], ["host", ""]);
      assert.equal(counted(bed.bpffs), ["bypass 1"]);
      assert.match(await reach(early, toFirst), refused);
    } finally {
      server.close();
    }
  }),
);

test("deny wants a root that kubelet made: below another one there may be anybody", async () => {
  const { status, stderr } = await shunt("run", "--manifests", "/", ...deny, "--cgroup-root", cgroup2Mount());
  assert.is(status, 2);
  assert.match(stderr, /is not kubelet's/);
  const wrong = await shunt("run", "--manifests", "/", "--unknown-pods", "perhaps");
  assert.equal([wrong.status, wrong.stderr], [2, "shunt run: --unknown-pods perhaps: allow or deny\n"]);
});

test.run();
