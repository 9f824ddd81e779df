/** Ways around that cannot be closed, shown to be open: README's limits name each. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { policy } from "../samples.js";
import type { Place } from "./endpoint.js";
import { addresses, as, captured, type EvasionBed, four, openEvasionBed } from "./evasionBed.js";

let bed: EvasionBed;
let pod: LabPod;
let other: LabPod;
test.before.each(async () => {
  bed = await openEvasionBed("evasionlimits");
  ({ pod, other } = bed);
});
test.after.each(() => bed.close());
const app = (): Place => as(1000, "app", pod);

test("a socket that was made outside the pods' root, and passed in, is not seen", async () => {
  await bed.startProxy();
  await bed.startTarget();
  const outside = join(dirname(bed.lab.cgroupRoot), "outside");
  mkdirSync(outside);
  assert.match(await bed.evade(app(), "take", four.target, 80, await bed.giver(pod, "4", outside)), / target /);
  assert.equal(bed.verdicts(pod), []);
});

test("so is one of a pod that is not enrolled", async () => {
  await bed.startProxy();
  await bed.ends.listen(as(0, "app", pod), "mine", "0.0.0.0", 80);
  assert.match(await bed.evade(app(), "take", four.own, 80, await bed.giver(other, "4")), / mine /);
  assert.equal(
    bed.verdicts(pod).map(({ verdict, reason }) => `${verdict} ${reason}`),
    ["bypass foreign-netns"],
  );
});

test("who may send packets of its own making (CAP_NET_RAW) can speak TCP by itself", async () => {
  await bed.startTarget();
  const said = await bed.evade(as(0, "app", pod), "raw", four.target, 80, four.own);
  assert.is(said, "18", "the target answers SYN with SYN and ACK");
  assert.equal(bed.told(pod), []);
});

test("whoever can become the proxy's user passes, unless the proxy is told by its cgroup", async () => {
  await bed.startProxy();
  await bed.startTarget();
  const { cgroupId } = pod.container("istio-proxy");
  assert.match(await bed.evade(as(1337, "app", pod), "plain", four.target, 80), / target /);
  await bed.enrol([[pod, policy(1n), { ...addresses(1), proxyCgroupId: cgroupId, proxyCgroupOnly: true }]]);
  assert.match(await bed.evade(as(1337, "app", pod), "plain", four.target, 80), captured(four.target));
});

test.run();
