import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type NativeNetnsWatch, native } from "../../src/kernel/native.js";
import { atExit, fails, makeNetns, ofThreads, rejects, unique, until } from "./kit.js";

const pathOf = (name: string): string => `/var/run/netns/${name}`;
const ip = (name: string, ...argv: string[]): string =>
  execFileSync("ip", ["-n", name, ...argv], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

/** A watch, and how often it told of each id. */
function openWatch(): { watch: NativeNetnsWatch; calls: number[][]; told(id: number): number } {
  const calls: number[][] = [];
  const watch = native().openNetnsWatch((ids) => calls.push(ids));
  watch.unref(); // a test that fails leaves it open
  return { watch, calls, told: (id) => calls.flat().filter((each) => each === id).length };
}

/** That this process's threads are in: one that has done its work is there for a moment longer. */
const namespaces = (): Set<string> => new Set(ofThreads((task) => readlinkSync(`${task}/ns/net`)));
const ourThreads = (): number =>
  ofThreads((task) => readFileSync(`${task}/comm`, "utf8")).filter((name) => name.startsWith("shunt")).length;

test("addresses, links and routes that come and go", async () => {
  const name = makeNetns();
  const { watch, told } = openWatch();
  const id = await watch.add(pathOf(name));
  await until("no thread is left in there", () => namespaces().size === 1);
  assert.is(told(id), 0, "what was there before is no change");
  for (const change of [
    "address add 10.9.8.1/32 dev lo",
    "address add fd00::1/128 dev lo nodad",
    "link add eth1 type veth peer name eth2",
    "link set eth1 up",
    "route add 10.7.0.0/16 dev lo",
    "-6 route add fd07::/64 dev lo",
    "-6 route del fd07::/64 dev lo",
    "route del 10.7.0.0/16 dev lo",
    "link del eth1",
    "address del 10.9.8.1/32 dev lo",
  ]) {
    const before = told(id);
    ip(name, ...change.split(" "));
    await until(change, () => told(id) > before);
  }
  watch.close();
});

test("each namespace by its id, each once in a call, by one thread", async () => {
  const names = [makeNetns(), makeNetns(), makeNetns()] as const;
  const { watch, calls, told } = openWatch();
  const ids = await Promise.all(names.map((name) => watch.add(pathOf(name))));
  const [one = 0, two = 0, three = 0] = ids;
  assert.is(new Set(ids).size, 3);
  await until("it has one thread", () => ourThreads() === 1);
  ip(names[1], "address", "add", "10.9.8.1/32", "dev", "lo");
  await until("the second", () => told(two) > 0);
  ip(names[0], "address", "add", "10.9.8.1/32", "dev", "lo");
  await until("the first", () => told(one) > 0);
  assert.is(told(three), 0);
  assert.ok(calls.every((call) => call.length > 0 && new Set(call).size === call.length));
  watch.close();
});

test("more changes than a socket holds: the last is told as well", async () => {
  const name = makeNetns();
  const { watch, told } = openWatch();
  const id = await watch.add(pathOf(name));
  const burst = Array.from({ length: 2000 }, (_, i) => `address add 10.1.${i >> 8}.${i & 255}/32 dev lo`);
  // This process does not read meanwhile.
  execFileSync("ip", ["-n", name, "-batch", "-"], { input: burst.join("\n") });
  await until("the burst", () => told(id) > 0);
  for (let round = 0; round < 5; round++) {
    const before = told(id);
    ip(name, "address", "del", `10.1.0.${round}/32`, "dev", "lo");
    await until("one more", () => told(id) > before);
  }
  watch.close();
});

test("remove() ends it for one, and lets a namespace go that its owner has removed", async () => {
  const [held, other] = [makeNetns(), makeNetns()] as const;
  const name = unique("gone");
  execFileSync("ip", ["netns", "add", name]);
  let there = true;
  const removeIt = (): void => {
    if (there) execFileSync("ip", ["netns", "del", name]);
    there = false;
  };
  atExit(removeIt);
  ip(name, "link", "add", "eth0", "type", "veth", "peer", "name", "far", "netns", other);
  ip(name, "link", "set", "eth0", "up");
  const { watch, told } = openWatch();
  const [going, staying] = await Promise.all([watch.add(pathOf(name)), watch.add(pathOf(held))]);
  removeIt();
  ip(other, "link", "set", "far", "up");
  await until("it is held, and still told of", () => told(going) > 0);
  watch.remove(going);
  // The kernel takes an interface away with its namespace, and the other end with it.
  await until("it is gone", () => !ip(other, "-o", "link").includes("far"));
  const before = told(going);
  ip(held, "address", "add", "10.9.8.1/32", "dev", "lo");
  await until("the other", () => told(staying) > 0);
  assert.is(told(going), before);
  watch.remove(going);
  watch.remove(12345);
  watch.close();
});

test("close() inside the callback, and while a namespace is being added", async () => {
  const name = makeNetns();
  let calls = 0;
  const watch = native().openNetnsWatch(() => {
    calls++;
    watch.close();
  });
  await watch.add(pathOf(name));
  ip(name, "address", "add", "10.9.8.1/32", "dev", "lo");
  await until("the call", () => calls === 1);
  fails("ERR_CLOSED", () => watch.add(pathOf(name)));

  const second = native().openNetnsWatch(() => {});
  const adding = second.add(pathOf(name));
  second.close();
  const error = await rejects("ERR_CLOSED", adding);
  assert.equal([error.syscall, error.subject], ["add", "netns watch"]);
});

test("errors", async () => {
  const watch = native().openNetnsWatch(() => {});
  const missing = await rejects("ENOENT", watch.add("/absent"));
  assert.equal([missing.syscall, missing.subject], ["open", "/absent"]);
  const wrong = await rejects("EINVAL", watch.add("/proc/self/ns/uts"));
  assert.is(wrong.syscall, "setns");
  fails("ERR_ARGUMENT", () => watch.add(1 as unknown as string));
  fails("ERR_ARGUMENT", () => native().openNetnsWatch(null as unknown as () => void));
  watch.close();
});

test.run();
