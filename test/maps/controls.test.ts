import { test } from "uvu";
import * as assert from "uvu/assert";
import { openControls, readUnknownPods } from "../../src/maps/controls.js";
import { builtContract } from "./contract.js";
import { fakeMap } from "./fake.js";

const contract = builtContract();
const newMap = () => fakeMap("controls", 4, contract.control.size, 1, true);
const read = (map: ReturnType<typeof newMap>) =>
  contract.control.decode(map.lookup(new Uint8Array(4)) ?? new Uint8Array());

test("levels are covered as pods need them, and only ever more", () => {
  const map = newMap();
  const controls = openControls(map, contract, 3);
  controls.coverDepths([1]);
  controls.coverDepths([2, 2]);
  controls.coverDepths([]);
  assert.equal(read(map), { first_level: 4n, pod_levels: 0b11n, flow_interval: 0n, unknown_pods: 0n });
});

test("a predecessor's levels stay for the same root, and go for another", () => {
  const map = newMap();
  openControls(map, contract, 3).coverDepths([2]);
  openControls(map, contract, 3).coverDepths([1]);
  assert.is(read(map).pod_levels, 0b11n);
  openControls(map, contract, 5);
  assert.equal(read(map), { first_level: 6n, pod_levels: 0n, flow_interval: 0n, unknown_pods: 0n });
});

test("what becomes of unknown pods is as it was until somebody says it, under another root too", () => {
  const map = newMap();
  openControls(map, contract, 3).setUnknownPods("deny");
  const next = openControls(map, contract, 5);
  assert.is(read(map).unknown_pods, 1n);
  assert.is(next.unknownPods, "deny");
  next.setUnknownPods("allow");
  assert.is(next.unknownPods, "allow");
  assert.is(readUnknownPods(map, contract), "allow");
  assert.is(read(map).unknown_pods, 0n);
});

test("a pod deeper than the programs look is an error with both numbers", () => {
  const controls = openControls(newMap(), contract, 0);
  controls.coverDepths([16]);
  assert.throws(() => controls.coverDepths([17]), /17 levels below the root; the programs look 16 deep/);
});

test.run();
