import { execFileSync } from "node:child_process";
import { readlinkSync, statSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type NetnsFacts, native } from "../../src/kernel/native.js";
import { fails, makeNetns, rejects } from "./kit.js";

const textOf = ({ addresses }: NetnsFacts) =>
  addresses.map(({ interface: name, address }) => `${name} ${Buffer.from(address).toString("hex")}`).sort();

test("inspectNetns() of our own namespace", async () => {
  const before = readlinkSync("/proc/thread-self/ns/net");
  // Other tests may add and remove interfaces meanwhile.
  const there = Object.keys(networkInterfaces());
  const facts = await native().inspectNetns("/proc/self/ns/net");
  assert.ok(facts.cookie > 0n);
  assert.ok(textOf(facts).includes("lo 7f000001"));
  const names = new Set(facts.addresses.map((entry) => entry.interface));
  assert.equal(
    Object.keys(networkInterfaces()).filter((name) => there.includes(name) && !names.has(name)),
    [],
  );
  assert.is(readlinkSync("/proc/thread-self/ns/net"), before);
});

test("addLoopbackAddress() in the namespace that is meant, and in no other", async () => {
  const path = `/run/netns/${makeNetns()}`;
  const address = Uint8Array.from([...new Array<number>(15).fill(0), 6]);
  const { ino } = statSync(path);
  const error = await rejects("ESTALE", native().addLoopbackAddress(path, address, ino + 1));
  assert.is(error.subject, path);
  assert.not(textOf(await native().inspectNetns(path)).some((text) => text.endsWith("06")));
  for (let twice = 0; twice < 2; twice++) await native().addLoopbackAddress(path, address, ino);
  assert.ok(textOf(await native().inspectNetns(path)).includes(`lo ${"00".repeat(15)}06`));
  fails("ERR_ARGUMENT", () => native().addLoopbackAddress(path, address.subarray(1), ino));
});

test("inspectNetns() of others, many at a time, leaves no thread behind in them", async () => {
  const names = [makeNetns(), makeNetns()];
  for (const [index, name] of names.entries()) {
    execFileSync("ip", ["-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
    execFileSync("ip", ["-n", name, "address", "add", `10.9.8.${index}/24`, "label", "eth0:label", "dev", "eth0"]);
    execFileSync("ip", ["-n", name, "address", "add", `fd00::${index}/64`, "dev", "eth0", "nodad"]);
  }
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, index) => native().inspectNetns(`/var/run/netns/${names[index % 2]}`)),
  );
  for (const [index, facts] of all.entries()) {
    const one = index % 2;
    assert.equal(textOf(facts), [
      `eth0 0a09080${one}`,
      `eth0 fd00000000000000000000000000000${one}`,
      "lo 00000000000000000000000000000001",
      "lo 7f000001",
    ]);
  }
  const cookies = new Set(all.map(({ cookie }) => cookie));
  cookies.add((await native().inspectNetns("/proc/self/ns/net")).cookie);
  assert.is(cookies.size, 3);
});

test("errors", async () => {
  const missing = await rejects("ENOENT", native().inspectNetns("/absent"));
  assert.equal([missing.syscall, missing.subject], ["open", "/absent"]);
  const wrong = await rejects("EINVAL", native().inspectNetns("/proc/self/ns/uts"));
  assert.is(wrong.syscall, "setns");
  fails("ERR_ARGUMENT", () => native().inspectNetns(1 as unknown as string));
});

test.run();
