/** How many redirected connections of one pod can be open at once. */
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { doctor } from "../../src/cli/doctor.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";
import { policy } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { makeEndpoints } from "./endpoint.js";

let bed: Bed;
let pod: LabPod;
let program: string;

test.before.each(async () => {
  bed = await openBed("many");
  program = join(bed.lab.directory, "many");
  await command(["gcc", "-O2", "-o", program, new URL("many.c", import.meta.url).pathname]);
  pod = await bed.lab.pod({ namespace: "a", name: "a", uid: "18-a", address: "10.88.8.1" });
  await bed.enrol([[pod, policy(1n)]]);
});
test.after.each(() => bed.close());

const destinations = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
async function open(listen: string, count: number): Promise<string> {
  const { stdout, stderr } = await pod.exec([program, listen, "15001", `${count}`, ...destinations], {
    container: "app",
  });
  return (stdout + stderr).trim();
}

test("60,000 to three destinations, where the proxy listens on every address", async () => {
  assert.is(await open("0.0.0.0", 60_000), "60000 60000 all");
});

test("LIMIT: as many as there are source ports, where it listens on 127.0.0.1", async () => {
  await pod.exec(["sh", "-c", "echo 40000 40999 > /proc/sys/net/ipv4/ip_local_port_range"], { container: "pause" });
  assert.is(await open("127.0.0.1", 2000), "1000 1000 EADDRNOTAVAIL");
});

test("an application on one of the other addresses gets nothing while the proxy listens on 127.0.0.1", async () => {
  const ends = await makeEndpoints(bed.lab.directory);
  const as = (id: number, container: string) => ({ pod, container, uid: id, gid: id });
  for (let n = 1; n < 8; n++) await ends.listen(as(1000, "app"), "app", `127.65.0.${n}`, 15001);
  await ends.listen(as(1337, "istio-proxy"), "proxy", "127.0.0.1", 15001);
  for (let i = 0; i < 40; i++)
    assert.match(await ends.call(as(1000, "app"), "203.0.113.1", 80), /^proxy 127\.0\.0\.1:/);
  assert.ok((bed.counters().get("proxy-narrow") ?? 0n) > 0n, "counted: there are fewer ports");
  const lines: string[] = [];
  await doctor(["--bpffs", bed.bpffs, "--cgroup-root", bed.lab.cgroupRoot], (line) => lines.push(line));
  assert.match(lines.join("\n"), /^note {2}port limit +\d+ redirects to proxies on 127\.0\.0\.1 alone/m);
});

test("127.0.0.1 alone where iptables rules beside us would steer again", async () => {
  const ends = await makeEndpoints(bed.lab.directory);
  const as = (id: number, container: string) => ({ pod, container, uid: id, gid: id });
  await ends.listen(as(1337, "istio-proxy"), "in", "0.0.0.0", 15006);
  await ends.listen(as(1337, "istio-proxy"), "out", "0.0.0.0", 15001);
  const seen = async (id: number, to: string): Promise<string[]> => {
    const answers: string[] = [];
    for (let i = 0; i < 40; i++) answers.push(await ends.call(as(id, "app"), to, 80));
    return [...new Set(answers.map((answer) => answer.split(" ", 2).join(" ")))];
  };
  assert.equal(await seen(1337, "10.88.8.1"), ["in 127.0.0.1:15006"], "the proxy to its own pod");
  assert.ok((await seen(1000, "203.0.113.1")).length > 1, "else on several");
  await bed.enrol([[pod, policy(2n, { keepLocal: true })]]);
  assert.equal(await seen(1000, "203.0.113.1"), ["out 127.0.0.1:15001"], "an included range is loopback");
});

test.run();
