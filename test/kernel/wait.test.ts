/** `shunt wait` in pods of the real agent. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { firstLine, outcomeOf } from "../../src/demo/process.js";
import { bundle, withBed } from "./agentBed.js";
import { script } from "./bed.js";

const env = { NODE_V8_COVERAGE: "" }; // the proxy's user cannot write it

test("it returns with the policy, before there is a proxy and beside one; elsewhere it says what it saw", async () => {
  const lab = await openLab({ kind: "waitpods" });
  try {
    const make = (name: string, host: number) =>
      lab.pod({ namespace: "test", name, uid: `ef-${host}`, address: `10.88.4.${host}` });
    const [pod, bare] = await Promise.all([make("pod", 2), make("bare", 3)]);
    const main = await bundle(lab.directory);
    const start = (where: LabPod, uid: number, timeout: string) =>
      outcomeOf(
        where.spawn([process.execPath, main, "wait", "--timeout", timeout], { container: "wait", uid, gid: uid, env }),
      );
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      const early = await start(pod, 1337, "0");
      assert.is(early.status, 1, "no policy yet");
      const waiting = start(pod, 1337, "60");
      await bed.edit(pod);
      await bed.edit(bare, { "sidecar.istio.io/inject": "false" });
      const { status, stdout, stderr } = await waiting;
      assert.equal([status, stderr], [0, ""]);
      assert.match(stdout, /^captured after .* to 127\.0\.0\.6:15002 arrived at 127\.0\.0\.1:15006\n$/);
      assert.ok(agent.events.some(({ event, pod: name }) => event === "policy" && name === "test/pod"));

      const [outside, app] = await Promise.all([start(bare, 1337, "0.2"), start(pod, 1000, "0.2")]);
      for (const { status: code, stderr: says } of [outside, app]) {
        assert.is(code, 1);
        assert.match(says, /^not captured after .* failed \(ECONNREFUSED\)\. Is the pod enrolled/);
      }
      assert.match(app.stderr, /uid 1000 and gid 1000/);

      const ids = { uid: 1337, gid: 1337 };
      const ports = ["127.0.0.1:15001", "0.0.0.0:15006"];
      for (const where of [pod, bare]) {
        const proxy = where.spawn(script("originServer.ts", "proxy", ...ports), { container: "istio-proxy", ...ids });
        await firstLine(proxy);
      }
      const [beside, still] = await Promise.all([start(pod, 1337, "0"), start(bare, 1337, "0")]);
      assert.equal([beside.status, beside.stderr], [0, ""]);
      assert.match(beside.stdout, /was taken by the proxy on 127\.0\.0\.1:15006\n$/);
      assert.is(still.status, 1);
      assert.match(still.stderr, /\(ECONNREFUSED\), and 127\.0\.0\.1:15006 is in use: a proxy runs already\. Is the/);
    });
  } finally {
    await lab.close();
  }
});

test("--proxy-identity=cgroup: before the proxy's container by uid, from then on inside it only", async () => {
  const lab = await openLab({ kind: "waitpods" });
  try {
    const pod = await lab.pod({ namespace: "test", name: "pod", uid: "ef-9", address: "10.88.4.9" });
    const main = await bundle(lab.directory);
    const wait = (container: string, timeout: string) =>
      pod.exec([process.execPath, main, "wait", "--timeout", timeout], { container, uid: 1337, gid: 1337, env });
    await withBed(lab, async (bed) => {
      await bed.edit(pod);
      await bed.start("--proxy-identity=cgroup").waitFor(({ event }) => event === "ready", 0, 60_000);
      const before = await wait("wait", "60");
      assert.is(before.status, 0, before.stderr);

      const ids = { container: "istio-proxy", uid: 1337, gid: 1337 };
      await firstLine(pod.spawn(script("originServer.ts", "proxy", "127.0.0.1:15006"), ids));
      await bed.edit(pod);
      let beside = await wait("wait", "0");
      for (const end = Date.now() + 60_000; beside.status === 0 && Date.now() < end; ) beside = await wait("wait", "0");
      assert.match(beside.stderr, /failed \(ECONNREFUSED\), and 127\.0\.0\.1:15006 is in use/);
      const inside = await wait("istio-proxy", "60");
      assert.is(inside.status, 0, inside.stderr);
    });
  } finally {
    await lab.close();
  }
});

test.run();
