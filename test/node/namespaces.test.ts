/** Real pods: cgroups, namespaces and processes. What is pure of it is tested through src/desired.ts. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine, launch, outcomeOf } from "../../src/demo/process.js";
import { native } from "../../src/kernel/native.js";
import { formatAddress } from "../../src/model/address.js";
import type { PodCgroup } from "../../src/node/cgroups.js";
import { isPopulated, type PodNamespace } from "../../src/node/namespace.js";
import { type NamespaceTracker, openNamespaceTracker } from "../../src/node/namespaces.js";
import { until } from "../kernel/bed.js";

interface Bed {
  readonly lab: Lab;
  readonly tracker: NamespaceTracker;
  /** What was known of each pod, after each change. */
  readonly changes: ReadonlyMap<bigint, PodNamespace | null>[];
  /** Namespaces that were entered. */
  readonly entered: string[];
  /** Whether namespaces cannot be entered. */
  locked: boolean;
}

function withTracker(use: (bed: Bed, pods: readonly [LabPod, LabPod]) => Promise<void>): () => Promise<void> {
  return async () => {
    const lab = await openLab({ kind: "namespaces" });
    const changes: Bed["changes"] = [];
    const entered: string[] = [];
    const inotify = native().openInotify((events) => {
      for (const { watch } of events) tracker.handle(watch);
    });
    const tracker = openNamespaceTracker({
      native: {
        openNetnsWatch: native().openNetnsWatch,
        inspectNetns(path) {
          entered.push(path);
          return bed.locked ? Promise.reject(new Error("EPERM")) : native().inspectNetns(path);
        },
      },
      inotify,
      onChange: () => changes.push(new Map(tracker.known)),
    });
    const bed: Bed = { lab, tracker, changes, entered, locked: false };
    try {
      const [one, two] = await Promise.all(
        ["1", "2"].map((i) =>
          lab.pod({
            namespace: "test",
            name: `p${i}`,
            uid: `aa-${i}`,
            address: `10.88.0.${i}`,
            address6: `fd00::${i}`,
          }),
        ),
      );
      if (one === undefined || two === undefined) throw new Error("no pods");
      await use(bed, [one, two]);
    } finally {
      tracker.close();
      inotify.close();
      await lab.close();
    }
  };
}

const cgroupOf = ({ uid, cgroup, cgroupId }: LabPod): PodCgroup => ({ uid, path: cgroup, id: cgroupId, depth: 2 });
const cookieOf = async ({ netns }: LabPod): Promise<bigint> => (await native().inspectNetns(netns)).cookie;
/** Whether the pod shows a namespace. */
const knows = ({ known }: NamespaceTracker, { cgroupId }: LabPod): boolean => (known.get(cgroupId) ?? null) !== null;
const ip = ({ netns }: LabPod, argv: string) => command(["nsenter", `--net=${netns}`, "ip", ...argv.split(" ")]);
const sleeper = ["sleep", "600"] as const;

test(
  "a pod's cookie and addresses, from its first process to the end of its last",
  withTracker(async ({ tracker, entered }, [one, two]) => {
    tracker.follow([cgroupOf(one), cgroupOf(two)]);
    await until("both were looked at", () => tracker.known.size === 2);
    assert.equal([...tracker.known.values()], [null, null], "no process shows anything");

    const first = one.spawn([...sleeper], { container: "app" });
    await until("the pod's namespace is known", () => knows(tracker, one));
    const known = tracker.known.get(one.cgroupId);
    assert.is(known?.cookie, await cookieOf(one));
    const addresses = known?.addresses.map(formatAddress) ?? [];
    assert.ok(addresses.includes("10.88.0.1") && addresses.includes("fd00::1"), addresses.join());
    assert.not(addresses.some((address) => address === "127.0.0.1" || address === "::1"));
    assert.is(tracker.known.get(two.cgroupId), null);

    // Another process of the same namespace is nothing new, nor is the end of one of two.
    const looks = entered.length;
    const second = one.spawn(["sh", "-c", "echo here; exec sleep 600"], { container: "other" });
    await firstLine(second);
    await until("it was looked at again", () => entered.length > looks);
    first.kill("SIGKILL");
    await outcomeOf(first);
    // A look that was under way when the first ended may forget for a moment: in doubt the pod is captured.
    await until("still known", () => knows(tracker, one));
    assert.is(tracker.known.get(one.cgroupId)?.link, known?.link);
    assert.is(tracker.known.get(one.cgroupId)?.cookie, known?.cookie);
    second.kill("SIGKILL");
    await until("forgotten", () => tracker.known.get(one.cgroupId) === null);
  }),
);

test(
  "addresses, interfaces and routes that come and go while the pod runs; then nothing is done",
  withTracker(async ({ tracker, entered }, [one]) => {
    tracker.follow([cgroupOf(one)]);
    one.spawn([...sleeper], { container: "app" });
    await until("it is known", () => knows(tracker, one));
    const found = () => tracker.known.get(one.cgroupId);
    const addresses = () => found()?.addresses.map(formatAddress) ?? [];
    const interfaces = () => [...(found()?.interfaces.keys() ?? [])];
    const routed = () => found()?.routes.some((route) => route.interface === "net1" && route.prefix.length === 24);

    await ip(one, "address add 10.88.0.77/32 dev eth0");
    await until("the second address", () => addresses().includes("10.88.0.77"));
    await ip(one, "link add net1 type veth peer name far1");
    await ip(one, "address add 10.99.0.1/32 dev net1");
    await until("the second interface", () => interfaces().includes("net1") && addresses().includes("10.99.0.1"));
    await ip(one, "link set net1 up");
    await ip(one, "route add 10.98.1.0/24 dev net1");
    await until("its route", () => routed() === true);
    await ip(one, "route del 10.98.1.0/24 dev net1");
    await until("without the route", () => routed() === false);
    await ip(one, "link del net1");
    await until("without the interface", () => !interfaces().includes("net1") && !addresses().includes("10.99.0.1"));
    await ip(one, "address del 10.88.0.77/32 dev eth0");
    await until("without the address", () => !addresses().includes("10.88.0.77"));

    // The kernel itself has a little to do with the link-local addresses still.
    for (let round = 0, looks = -1; looks !== entered.length; round++) {
      assert.ok(round < 10, "looks without end");
      looks = entered.length;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }),
);

test(
  "the namespace of a pod that ended, or is followed no longer, is let go",
  withTracker(async ({ lab, tracker }, [one, two]) => {
    tracker.follow([cgroupOf(one), cgroupOf(two)]);
    const child = one.spawn([...sleeper], { container: "app" });
    two.spawn([...sleeper], { container: "app" });
    await until("both are known", () => [one, two].every((pod) => knows(tracker, pod)));
    // The kernel removes an interface with its namespace, and with it the end that is in the node's.
    await ip(one, `link add end1 type veth peer name far1 netns ${lab.node}`);
    await ip(two, `link add end2 type veth peer name far2 netns ${lab.node}`);
    const links = () => command(["nsenter", `--net=${lab.node}`, "ip", "-o", "link"]);
    assert.equal((await links()).match(/far[12](?=@)/g), ["far1", "far2"]);
    child.kill("SIGKILL");
    await until("the first is forgotten", () => tracker.known.get(one.cgroupId) === null);
    tracker.follow([cgroupOf(one)]);
    await one.remove();
    await two.remove();
    for (const end = Date.now() + 60_000; /far[12]@/.test(await links()); )
      if (Date.now() > end) throw new Error(`not within a minute: the namespaces are gone: ${await links()}`);
  }),
);

test(
  "a first process that is still in the host's namespace is not mistaken",
  withTracker(async ({ tracker, changes, entered }, [one]) => {
    tracker.follow([cgroupOf(one)]);
    // As a runtime starts it: into the cgroup first, then into the namespace; here when it is told to.
    const place = { cgroup: one.container("app").cgroup, netns: "/proc/self/ns/net" };
    const argv = ["sh", "-c", 'read -r go; exec nsenter --net="$0" sleep 600', one.netns];
    const child = launch(place, argv, { stdio: ["pipe", "pipe", "inherit"] });
    await until("a process is in the cgroup", () => isPopulated(one.cgroup));
    await until("it was looked at", () => tracker.known.has(one.cgroupId));
    tracker.rescan();
    assert.is(tracker.known.get(one.cgroupId), null);
    assert.equal(entered, [], "the host's namespace is not even entered");
    child.stdin?.end("go\n");
    await until("it has moved, and that is seen without another event", () => knows(tracker, one));
    const cookie = await cookieOf(one);
    const seen = changes.flatMap((known) => known.get(one.cgroupId)?.cookie ?? []);
    assert.equal([...new Set(seen)], [cookie], "never another");
  }),
);

test(
  "a sandbox that is made anew has another cookie",
  withTracker(async ({ tracker }, [one, two]) => {
    tracker.follow([cgroupOf(one)]);
    const old = one.spawn([...sleeper], { container: "app" });
    await until("the old one", () => knows(tracker, one));
    const { cgroup } = one.newContainer("app");
    launch({ cgroup, netns: two.netns }, sleeper, { stdio: "ignore" });
    old.kill("SIGKILL");
    const cookie = await cookieOf(two);
    await until("the new one", () => tracker.known.get(one.cgroupId)?.cookie === cookie);
  }),
);

test(
  "follow() drops what is not named",
  withTracker(async ({ lab, tracker, changes }, [one, two]) => {
    one.spawn([...sleeper], { container: "app" });
    two.spawn([...sleeper], { container: "app" });
    tracker.follow([cgroupOf(one), cgroupOf(two)]);
    await until("both are known", () => [one, two].every((pod) => knows(tracker, pod)));
    tracker.follow([cgroupOf(two)]);
    assert.equal([...tracker.known.keys()], [two.cgroupId]);
    const before = changes.length;
    await one.remove();
    await two.remove();
    await until("the other's end", () => tracker.known.get(two.cgroupId) === null);
    assert.ok(changes.slice(before).every((known) => !known.has(one.cgroupId)));
    tracker.follow([]);
    assert.is(tracker.known.size, 0);

    // A pod whose cgroup has gone by now.
    tracker.follow([cgroupOf(one)]);
    assert.is(tracker.known.size, 0);
    assert.is(lab.pods.length, 0);
  }),
);

test(
  "a namespace that cannot be entered is an error until it can be",
  withTracker(async (bed, [one]) => {
    const { tracker } = bed;
    bed.locked = true;
    await firstLine(one.spawn(["sh", "-c", "echo here; exec sleep 600"], { container: "app" }));
    tracker.follow([cgroupOf(one)]);
    await until("the error", () => tracker.errors.get(one.cgroupId)?.message === "EPERM");
    assert.not(knows(tracker, one));
    const told = bed.changes.length;
    // It is tried a few times, for about a second, and told once.
    await until("it is left alone", () => bed.entered.length >= 10);
    assert.is(bed.changes.length, told);
    bed.locked = false;
    one.spawn([...sleeper], { container: "other" });
    await until("its namespace", () => knows(tracker, one));
    assert.is(tracker.errors.size, 0);
  }),
);

test.run();
