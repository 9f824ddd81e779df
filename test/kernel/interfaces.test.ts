/** excludeInterfaces with the real agent, and a pod's network that changes while it runs. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import { type AgentHere, openAgentHere, traffic } from "../cli/agentHere.js";
import { type Endpoints, makeEndpoints, type Place } from "./endpoint.js";

let bed: AgentHere;
let ends: Endpoints;
let pod: LabPod;
let app: Place;
let other: Place;

/** IPv6 is captured as well; without dual stack the pod's first address alone decides. */
const dualStack = { "proxy.istio.io/config": "proxyMetadata: { ISTIO_DUAL_STACK: 'true' }" };
const excluding = (names: string) => bed.edit(pod, { ...dualStack, [traffic("excludeInterfaces")]: names });

/** Batches of ip(8). */
const ip = async (netns: string, ...lines: readonly string[]): Promise<void> => {
  await command(["nsenter", `--net=${netns}`, "ip", "-batch", "-"], lines.join("\n"));
};

test.before.each(async () => {
  bed = await openAgentHere("interfaces");
  ends = await makeEndpoints(bed.lab.directory);
  pod = await bed.lab.pod({ namespace: "a", name: "server", uid: "17-a", address: "10.88.7.1", address6: "fd00:7::1" });
  const second = await bed.lab.pod({ namespace: "b", name: "other", uid: "17-b", address: "10.88.7.2" });
  const proxy: Place = { pod, container: "istio-proxy", uid: 1337, gid: 1337 };
  app = { pod, container: "app", uid: 1000, gid: 1000 };
  other = { pod: second, container: "app" };
  await ends.listen(proxy, "outbound", "::", 15001);
  await ends.listen(proxy, "inbound", "::", 15006);
  await ends.listen(app, "app", "::", 8080);
  await ends.listen(other, "other", "::", 80);
});
test.after.each(() => bed.close());

/** The other pod on a second network as well, 10.97.0.0/24 and fd97::/64, which the pod reaches by net1. */
async function addInterface(): Promise<void> {
  await ip(
    pod.netns,
    `link add net1 type veth peer name net1 netns ${other.pod.netns}`,
    "address add 10.97.0.1/24 dev net1",
    "address add fd97::1/64 dev net1 nodad",
    "link set net1 up",
  );
  await ip(
    other.pod.netns,
    "address add 10.97.0.2/24 dev net1",
    "address add fd97::2/64 dev net1 nodad",
    "link set net1 up",
    "address replace 10.96.0.1/32 dev lo",
  );
}
const removeInterface = (): Promise<void> => ip(pod.netns, "link del net1");

/** Calls until the answer is as wanted. @throws Error with the last one after a minute. */
async function answers(wanted: RegExp, place: Place, address: string, port: number): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await ends.call(place, address, port);
    if (wanted.test(answer)) return;
    if (Date.now() > end) throw new Error(`${address}:${port}: ${answer}, not ${wanted}`);
  }
}

/** What is captured in any case. */
async function restIsCaptured(): Promise<void> {
  assert.match(await ends.call(app, "10.88.7.2", 80), /^outbound .* 10.88.7.2:80$/);
  assert.match(await ends.call(app, "fd00:99::1", 80), /^outbound .* \[fd00:99::1\]:80$/);
  assert.match(await ends.call(other, "10.88.7.1", 8080), /^inbound .* 10.88.7.1:8080$/);
}

test("an excluded interface that comes while the pod runs, goes, and comes again", async () => {
  await excluding("net1");
  await bed.start();
  await answers(/^outbound /, app, "10.88.7.2", 80);
  await answers(/^inbound /, other, "10.88.7.1", 8080);
  for (let round = 0; round < 2; round++) {
    await restIsCaptured();
    await answers(/^outbound .* 10.97.0.2:80$/, app, "10.97.0.2", 80);
    await addInterface();
    await answers(/^other /, app, "10.97.0.2", 80);
    await answers(/^other /, app, "fd97::2", 80);
    await answers(/^app /, other, "10.97.0.1", 8080);
    await answers(/^app /, other, "fd97::1", 8080);
    await restIsCaptured();
    // A route alone, which comes and goes.
    await ip(pod.netns, "route add 10.96.0.0/24 via 10.97.0.2 dev net1");
    await answers(/^other /, app, "10.96.0.1", 80);
    await ip(pod.netns, "route del 10.96.0.0/24 via 10.97.0.2 dev net1");
    await answers(/^outbound .* 10.96.0.1:80$/, app, "10.96.0.1", 80);
    await restIsCaptured();
    await removeInterface();
    await answers(/^outbound .* 10.97.0.2:80$/, app, "10.97.0.2", 80);
  }
});

test("an interface that is not excluded is captured as it comes", async () => {
  await excluding("net2");
  await bed.start();
  await answers(/^outbound /, app, "10.88.7.2", 80);
  await answers(/^inbound /, other, "10.88.7.1", 8080);
  await addInterface();
  // Its own new address, which is known once its network has been looked at again.
  await answers(/^app /, app, "10.97.0.1", 8080);
  assert.match(await ends.call(app, "10.97.0.2", 80), /^outbound .* 10.97.0.2:80$/);
  assert.match(await ends.call(other, "10.97.0.1", 8080), /^inbound .* 10.97.0.1:8080$/);
  assert.match(await ends.call(other, "fd97::1", 8080), /^inbound .* \[fd97::1\]:8080$/);
  // The annotation comes later than the interface.
  await excluding("net2,net1");
  await answers(/^other /, app, "10.97.0.2", 80);
  await answers(/^app /, other, "10.97.0.1", 8080);
  await restIsCaptured();
});

test("the pod's own new address is local, and a foreign one again when it goes", async () => {
  await bed.edit(pod, dualStack);
  await bed.start();
  await answers(/^outbound /, app, "10.88.7.2", 80);
  for (const [address, size] of [
    ["10.88.7.77", 32],
    ["fd00:7::77", 128],
  ] as const) {
    await answers(/^outbound /, app, address, 8080);
    await ip(pod.netns, `address add ${address}/${size} dev eth0${size === 128 ? " nodad" : ""}`);
    await answers(/^app /, app, address, 8080);
    await ip(pod.netns, `address del ${address}/${size} dev eth0`);
    await answers(/^outbound /, app, address, 8080);
  }
});

test.run();
