/** Pods and containers by the names of kubelet and the runtimes, in a real cgroup file system. */
import { mkdirSync, rmdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cgroup2Mount, removeCgroup } from "../../src/demo/cgroup.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest, writeManifest } from "../../src/demo/manifests.js";
import { launch, outcomeOf } from "../../src/demo/process.js";
import { native } from "../../src/kernel/native.js";
import { openCgroupTree } from "../../src/node/cgroups.js";
import { findPodRoots, isPodRoot } from "../../src/node/root.js";
import { openMesh, toFirst, withBed } from "./agentBed.js";
import { until } from "./bed.js";

const uid = "0f3c2a1e-1111-2222-3333-444455556666";
const systemd = uid.replaceAll("-", "_");
const hash = "d41d8cd98f00b204e9800998ecf8427e";

/** Driver and nesting → the root below the mount, and where a pod of each class is below it. */
const layouts: Readonly<Record<string, { root: string; pods: readonly string[] }>> = {
  "systemd driver, k3s as well": {
    root: "kubepods.slice",
    pods: [
      `kubepods-pod${systemd}.slice`,
      `kubepods-burstable.slice/kubepods-burstable-pod${systemd}.slice`,
      `kubepods-besteffort.slice/kubepods-besteffort-pod${systemd}.slice`,
    ],
  },
  "cgroupfs driver, k3s as well": {
    root: "kubepods",
    pods: [`pod${uid}`, `burstable/pod${uid}`, `besteffort/pod${uid}`],
  },
  "kind, systemd driver": {
    root: "kubelet.slice/kubelet-kubepods.slice",
    pods: [
      `kubelet-kubepods-pod${systemd}.slice`,
      `kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${systemd}.slice`,
      `kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${systemd}.slice`,
    ],
  },
  "kind, cgroupfs driver": { root: "kubelet/kubepods", pods: [`pod${uid}`, `burstable/pod${uid}`] },
  "static pods": {
    root: "kubepods.slice",
    pods: [`kubepods-pod${hash}.slice`, `kubepods-burstable.slice/kubepods-burstable-pod${hash}.slice`],
  },
};

for (const [name, { root, pods }] of Object.entries(layouts)) {
  test(`${name}: the root and pods of every class, made while they are watched`, async () => {
    // The mount may be /sys/fs/cgroup or, where the old hierarchies are there too, /sys/fs/cgroup/unified.
    const top = join(cgroup2Mount(), `shunt-names-${process.pid}-${Object.keys(layouts).indexOf(name)}`);
    try {
      mkdirSync(join(top, root), { recursive: true });
      const roots = findPodRoots(top);
      assert.equal(roots, [join(top, root)]);
      assert.ok(isPodRoot(join(top, root)));
      const inotify = native().openInotify((events) => {
        for (const event of events) tree.handle(event.watch, event.name);
      });
      const tree = openCgroupTree(join(top, root), inotify);
      const wanted = name === "static pods" ? hash : uid;
      try {
        for (const pod of pods) {
          const path = join(top, root, pod);
          mkdirSync(path, { recursive: true });
          await until(`${pod} is seen`, () => tree.pods.get(wanted)?.path === path, 30_000);
          assert.is(tree.pods.get(wanted)?.id, statSync(path, { bigint: true }).ino);
          assert.is(tree.pods.get(wanted)?.depth, pod.split("/").length);
          rmdirSync(path);
          await until(`${pod} is gone`, () => !tree.pods.has(wanted), 30_000);
          if (dirname(pod) !== ".") rmdirSync(dirname(path));
        }
      } finally {
        inotify.close();
      }
    } finally {
      await removeCgroup(top);
    }
  });
}

/** What a connection from this cgroup of the pod meets, made under an application's uid. */
async function reachFrom(pod: LabPod, cgroup: string): Promise<string> {
  const open = ["bash", "-c", `exec 3<>/dev/tcp/${toFirst.replace(":", "/")} && exec cat <&3`];
  const place = { cgroup, netns: pod.netns, uid: 1000, gid: 1000 };
  const { stdout, stderr } = await outcomeOf(launch(place, open, {}));
  return stdout.split(" ")[0] || stderr;
}

test("CRI-O: who runs in crio-<id>.scope is the proxy, who runs in its monitor's scope is not", async () => {
  const { lab, pods } = await openMesh("crio", "shop");
  try {
    const [pod] = pods;
    if (pod === undefined) throw new Error("no pod");
    await withBed(lab, async (bed) => {
      const id = "0c".repeat(32);
      const [proxy, monitor] = [`crio-${id}.scope`, `crio-conmon-${id}.scope`].map((name) => join(pod.cgroup, name));
      if (proxy === undefined || monitor === undefined) throw new Error("no cgroups");
      for (const path of [monitor, proxy]) mkdirSync(path);
      const { namespace, name, uid, address } = pod;
      const containers = [{ name: "istio-proxy", id }];
      await writeManifest(bed.manifests, "shop.yaml", podManifest({ namespace, name, uid, address, containers }));
      const agent = bed.start("--proxy-identity", "cgroup");
      await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
      const proxyId = statSync(proxy, { bigint: true }).ino;
      await until("its container is known", () => bed.pins.record(pod.cgroupId)?.proxy_cgroup_id === proxyId, 60_000);
      assert.is(await reachFrom(pod, proxy), "direct");
      assert.is(await reachFrom(pod, monitor), "proxy");
    });
  } finally {
    await lab.close();
  }
});

test.run();
