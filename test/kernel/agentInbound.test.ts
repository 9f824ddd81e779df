/** Inbound and identity with the real agent: what was there before it, what it follows, whom it leaves alone. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { firstLine, outcomeOf } from "../../src/demo/process.js";
import { inboundDirectory } from "../../src/kernel/inbound.js";
import { native } from "../../src/kernel/native.js";
import { addressFromBytes, formatAddress } from "../../src/model/address.js";
import { type AgentHere, openAgentHere, traffic } from "../cli/agentHere.js";
import { until } from "./bed.js";
import { type Endpoints, makeEndpoints, type Place } from "./endpoint.js";

let bed: AgentHere;
let ends: Endpoints;
let pod: LabPod;
let client: Place;
const as = (id: number, container: string): Place => ({ pod, container, uid: id, gid: id });
const proxy = (): Place => as(1337, "istio-proxy");
const app = (): Place => as(1000, "app");

test.before.each(async () => {
  bed = await openAgentHere("agentinbound");
  ends = await makeEndpoints(bed.lab.directory);
  pod = await bed.lab.pod({ namespace: "a", name: "server", uid: "13-a", address: "10.88.3.1", address6: "fd00:3::1" });
  const other = await bed.lab.pod({ namespace: "b", name: "client", uid: "13-b", address: "10.88.3.2" });
  client = { pod: other, container: "app" };
});
test.after.each(() => bed.close());

const call = (): Promise<string> => ends.call(client, "10.88.3.1", 8080);

/** Calls until the answer is as wanted. @throws Error with the last one after a minute. */
async function answers(wanted: RegExp, ask: () => Promise<string> = call): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (wanted.test(answer)) return;
    if (Date.now() > end) throw new Error(`${answer}, not ${wanted}`);
  }
}

const attached = (): number => {
  const directory = inboundDirectory(bed.bpffs);
  return existsSync(directory) ? readdirSync(directory).length : 0;
};

test("a proxy that listened before the agent came is found by its uid; one with another uid by its container", async () => {
  const first = await ends.listen(proxy(), "first", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  await bed.edit(pod);
  await bed.start();
  await answers(/^first \S+ \S+ 10.88.3.1:8080$/);
  await bed.stop();
  await first.end();

  // The programs are gone too, so that nothing sees the second one's listen().
  await bed.unload();
  await ends.listen(as(5000, "istio-proxy"), "second", "::", 15006);
  await bed.start();
  await answers(/^second \S+ \S+ 10.88.3.1:8080$/);
});

test("while no agent runs inbound goes on, and a proxy that restarts meanwhile is taken; the next agent adopts it", async () => {
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  const first = await ends.listen(proxy(), "first", "0.0.0.0", 15006);
  await bed.edit(pod);
  await bed.start();
  await answers(/^first /);
  await bed.stop();
  assert.match(await call(), /^first /);
  await first.end();
  assert.is(await call(), "ECONNREFUSED");
  await ends.listen(proxy(), "second", "0.0.0.0", 15006);
  assert.match(await call(), /^second /);
  await bed.start();
  assert.match(await call(), /^second /);
  assert.is(attached(), 1);
});

test("the attachment follows the pod: a new sandbox under the same uid, an edit, the pod's end", async () => {
  await bed.start();
  await bed.edit(pod);
  const old = await ends.listen(proxy(), "old", "0.0.0.0", 15006);
  await answers(/^old /);
  const [before] = readdirSync(inboundDirectory(bed.bpffs));
  await old.end();
  await pod.remove();
  pod = await bed.lab.pod({ namespace: "a", name: "server", uid: "13-a", address: "10.88.3.1" });
  await ends.listen(proxy(), "new", "0.0.0.0", 15006);
  await ends.listen(app(), "app", "0.0.0.0", 8080);
  await answers(/^new /);
  assert.is(attached(), 1);
  assert.is.not(readdirSync(inboundDirectory(bed.bpffs))[0], before);

  await bed.edit(pod, { [traffic("excludeInboundPorts")]: "8080" });
  await answers(/^app /);
  await bed.edit(pod);
  await answers(/^new /);
  await bed.edit(pod, { "sidecar.istio.io/status": undefined });
  await answers(/^app /);
  await until("the program is detached", () => attached() === 0);
});

test("--proxy-identity=cgroup: an application under the proxy's uid is captured; a proxy that restarts is not", async () => {
  const second = await bed.lab.pod({ namespace: "b", name: "target", uid: "13-c", address: "10.88.3.3" });
  await ends.listen({ pod: second, container: "app" }, "target", "0.0.0.0", 80);
  await ends.listen(proxy(), "outbound", "0.0.0.0", 15001);
  const own = await ends.listen(proxy(), "inbound", "0.0.0.0", 15006);
  const outOf = (place: Place) => () => ends.call(place, "10.88.3.3", 80);
  await bed.edit(pod);
  await bed.start({ proxyIdentity: "cgroup" });
  await answers(/^outbound /, outOf(as(1337, "app")));
  assert.match(await outOf(proxy())(), /^target /);
  // An application under the uid that listens on the proxy's port gets nothing either.
  await own.end();
  await ends.listen(as(1337, "app"), "app", "0.0.0.0", 15006);
  assert.is(await call(), "ECONNREFUSED");

  // Its container goes and another one comes, which the status does not name yet: by its uid it is the proxy.
  for (const path of readdirSync(pod.cgroup)) {
    if (!path.includes(pod.container("istio-proxy").id)) continue;
    writeFileSync(join(pod.cgroup, path, "cgroup.kill"), "1");
  }
  await ends.call(client, "10.88.3.1", 1); // whatever: the killed ones are gone by the next call
  await import("../../src/demo/cgroup.js").then(({ removeCgroup }) =>
    removeCgroup(pod.container("istio-proxy").cgroup),
  );
  pod.newContainer("istio-proxy");
  await answers(/^target /, outOf(proxy()));
  await bed.edit(pod);
  await answers(/^ECONNREFUSED$/, outOf(as(1337, "app")));
  assert.match(await outOf(proxy())(), /^target /);
});

test("a proxy in a user namespace is known by the ids of the pod", async () => {
  const second = await bed.lab.pod({ namespace: "b", name: "target", uid: "13-c", address: "10.88.3.3" });
  await ends.listen({ pod: second, container: "app" }, "target", "0.0.0.0", 80);
  await ends.listen(proxy(), "outbound", "0.0.0.0", 15001);
  await pod.remove();
  pod = await bed.lab.pod({ namespace: "a", name: "server", uid: "13-a", address: "10.88.3.1" });
  // The sandbox: a process whose user namespace maps 65,536 ids, as kubelet's do.
  const pause = pod.spawn(["unshare", "--user", "sh", "-c", "echo ready; exec sleep 600"], { container: "pause" });
  await firstLine(pause);
  for (const kind of ["uid", "gid"]) writeFileSync(`/proc/${pause.pid}/${kind}_map`, "0 200000 65536");
  await bed.edit(pod);
  await bed.start();
  const outOf = (id: number) => () => ends.call(as(id, "app"), "10.88.3.3", 80);
  await answers(/^target /, outOf(201337));
  assert.is(await outOf(1337)(), "ECONNREFUSED", "captured, and nobody listens");
  assert.is(await outOf(201000)(), "ECONNREFUSED");
});

test("a socket of another namespace, and a host process in the pod's cgroup, are left alone", async () => {
  const second = await bed.lab.pod({ namespace: "b", name: "target", uid: "13-c", address: "10.88.3.3" });
  await ends.listen({ pod: second, container: "app" }, "target", "0.0.0.0", 80);
  pod.spawn(["sleep", "600"], { container: "pause" });
  await bed.edit(pod);
  await bed.start();
  const cookie = () => bed.agent?.status().pods.find(({ name }) => name === "server")?.netnsCookie;
  await until("the pod's namespace is known", () => (cookie() ?? "") !== "");
  assert.is(await ends.call(app(), "10.88.3.3", 80), "ECONNREFUSED");
  const endpoint = join(bed.lab.directory, "endpoint");
  const join_ = `echo $$ > ${pod.container("app").cgroup}/cgroup.procs; exec "$@"`;
  // The pod's cgroup, the other pod's network.
  const foreign = ["nsenter", `--net=${client.pod.netns}`, endpoint, "connect", "10.88.3.3", "80"];
  assert.match((await outcomeOf(spawn("sh", ["-c", join_, "sh", ...foreign]))).stdout, /^target /);
  // The host's own.
  const host = await outcomeOf(spawn("sh", ["-c", join_, "sh", endpoint, "connect", "127.0.0.1", "9"]));
  assert.is(host.stdout.trim(), "ECONNREFUSED");
});

test("a pod whose IPv6 is captured gets ::6 on lo, where the proxy binds it; another one does not", async () => {
  const dual = { "proxy.istio.io/config": 'proxyMetadata: {ISTIO_DUAL_STACK: "true"}' };
  const addresses = async (): Promise<string[]> => {
    const { addresses: found } = await native().inspectNetns(pod.netns);
    return found.map(({ interface: name, address }) => `${name} ${formatAddress(addressFromBytes(address))}`);
  };
  pod.spawn(["sleep", "600"], { container: "pause" });
  await bed.edit(pod);
  await bed.start();
  await until("inbound is steered", () => attached() === 1);
  assert.not((await addresses()).includes("lo ::6"), "IPv4 first, and not dual-stack");
  await bed.edit(pod, dual);
  const end = Date.now() + 60_000;
  while (!(await addresses()).includes("lo ::6")) assert.ok(Date.now() < end, "::6 is on lo");
  await ends.listen(app(), "app", "::", 8080);
  await ends.listen(proxy(), "inbound", "::", 15006);
  const throughProxy = /^inbound \S+ \S+ \[fd00:3::1\]:8080$/;
  await answers(throughProxy, () => ends.call(proxy(), "fd00:3::1", 8080));
  assert.match(await ends.call(proxy(), "fd00:3::1", 8080, "from=::6"), /^app /);
  const [problem] = bed.agent?.status().problems ?? [];
  assert.is(problem, undefined);
});

test.run();
