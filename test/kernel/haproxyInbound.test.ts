/**
 * HAProxy from Debian on both sides of a pod: a proxy that knows nothing of us. Its inbound side connects on from
 * 127.0.0.6, as Envoy does; without that its own connection would be steered back into it, which is the contract.
 */
import type { ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { listeningPorts } from "../../src/cli/captureProbe.js";
import { untilCaptured } from "../../src/demo/captured.js";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { firstLine } from "../../src/demo/process.js";
import { withBed } from "./agentBed.js";
import { script, until } from "./bed.js";
import { type Client, startClient, startClientAt } from "./client.js";
import type { Request, Result } from "./originClient.js";

const pod = "10.88.5.2";
const other = "10.88.5.3";
/** A service with this pod alone behind it. */
const service = "10.96.0.10";

/** Four sockets on one port (SO_REUSEPORT), as Envoy has one for each of its workers. */
const configuration = `
global
  maxconn 1000
  nbthread 4
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend outbound
  bind :15001
  use_backend service if { dst ${service} }
  default_backend asked
backend service
  server own ${pod}:5000
backend asked
  server asked 0.0.0.0:0
listen inbound
  bind :15006 shards 4
  server application 0.0.0.0:0 source 127.0.0.6
`;

/** @param more its flags. */
async function startHaproxy(lab: Lab, where: LabPod, ...more: readonly string[]): Promise<ChildProcess> {
  const file = join(lab.directory, "haproxy.cfg");
  writeFileSync(file, configuration);
  const ids = { uid: 1337, gid: 1337 };
  const child = where.spawn(["haproxy", "-db", "-f", file, ...more], {
    container: "istio-proxy",
    ...ids,
    stdio: ["ignore", "inherit", "inherit"],
  });
  await until("HAProxy listens", () => {
    const ports = listeningPorts(readFileSync(`/proc/${child.pid}/net/tcp`, "utf8"));
    return ports.has(15001) && ports.has(15006);
  });
  return child;
}

/** Of the process's network namespace (proc(5): names in one line, numbers in the next). */
function listenDrops({ pid }: ChildProcess): string {
  const [names = [], numbers = []] = readFileSync(`/proc/${pid}/net/netstat`, "utf8")
    .split("\n")
    .map((line) => line.split(" "));
  return numbers[names.indexOf("ListenDrops")] ?? "";
}

/** Tells everyone who connects where they arrived and whom it sees. */
const startServer = (where: LabPod, ...ports: readonly number[]): Promise<string> => {
  const listens = ports.map((port) => `0.0.0.0:${port}`);
  const ids = { container: "app", uid: 1000, gid: 1000 };
  return firstLine(where.spawn(script("originServer.ts", "%l", ...listens), ids));
};

/** @param first whether HAProxy is there before the agent; else it comes after the policy. */
async function withHaproxy(
  first: boolean,
  use: (lab: Lab, mine: LabPod, theirs: LabPod, haproxy: ChildProcess) => Promise<void>,
): Promise<void> {
  const lab = await openLab({ kind: "haproxyinbound" });
  try {
    const [mine, theirs] = await Promise.all(
      [pod, other].map((address, i) => lab.pod({ namespace: "test", name: `p${i}`, uid: `ff-${i}`, address })),
    );
    if (mine === undefined || theirs === undefined) throw new Error("no pods");
    await Promise.all([startServer(mine, 5000, 5001, 15008, 15020, 15021, 15090), startServer(theirs, 5000)]);
    mine.container("istio-proxy"); // its id is in the manifest
    const before = first ? await startHaproxy(lab, mine) : undefined;
    await withBed(lab, async (bed) => {
      const { agent } = await bed.ready();
      await bed.edit(mine);
      await agent.waitFor((event) => event.event === "policy" && event.pod === `test/${mine.name}`);
      const haproxy = before ?? (await startHaproxy(lab, mine));
      await untilCaptured(bed.bpffs, [mine], 4);
      await use(lab, mine, theirs, haproxy);
    });
  } finally {
    await lab.close();
  }
}

interface Way {
  readonly arrived: string;
  /** `inbound`: HAProxy's, from 127.0.0.6. `outbound`: HAProxy's, from the pod. `direct`: the caller's own. */
  readonly by: string;
}

function way({ said, local, asked }: Result): Way {
  const [arrived = "", , peer = ""] = said.split(" ");
  const host = peer.split(":")[0];
  const by = peer === local ? "direct" : host === "127.0.0.6" ? "inbound" : host === pod ? "outbound" : said;
  return { arrived: arrived === asked ? "as asked" : arrived, by };
}

/** @param to `IP:PORT`. */
async function ways(client: Client, to: string, more: Partial<Request> = {}): Promise<Way> {
  const [host = "", port = ""] = to.split(":");
  const [result] = await client.ask({ count: 1, parallel: 1, hosts: [host], ports: [Number(port)], ...more });
  if (result === undefined) throw new Error("no result");
  assert.is(result.peer === "" ? result.asked : result.peer, host === "0.0.0.0" ? `127.0.0.1:${port}` : result.asked);
  return way(result);
}

const asked = (by: string): Way => ({ arrived: "as asked", by });

test("from another pod and from the node: through HAProxy, but for the ports that are its own", () =>
  withHaproxy(true, async (lab, _, theirs, haproxy) => {
    const [neighbour, node] = await Promise.all([
      startClient(theirs),
      startClientAt({ cgroup: dirname(lab.cgroupRoot), netns: lab.node }),
    ]);
    for (const client of [neighbour, node]) {
      for (const port of [5000, 5001]) assert.equal(await ways(client, `${pod}:${port}`), asked("inbound"), `${port}`);
      for (const port of [15008, 15020, 15021, 15090])
        assert.equal(await ways(client, `${pod}:${port}`), asked("direct"), `${port}`);
    }
    const many = await neighbour.ask({ count: 300, parallel: 20, hosts: [pod], ports: [5000, 5001] });
    for (const result of many) assert.equal(way(result), asked("inbound"));

    const ended = new Promise((resolve) => haproxy.once("exit", resolve));
    haproxy.kill("SIGKILL");
    await ended;
    const [refused] = await neighbour.ask({ count: 1, parallel: 1, hosts: [pod], ports: [5000] });
    assert.is(refused?.said, "ECONNREFUSED", "without a proxy nobody gets to the application");
  }));

test("HAProxy replaced under load, its sockets beside the old ones until those close: never past it, never refused", () =>
  withHaproxy(false, async (lab, mine, theirs, haproxy) => {
    const neighbour = await startClient(theirs);
    const ask = { parallel: 8, hosts: [pod], ports: [5000] };
    let old = haproxy;
    /*
     * A client whose last packet of the handshake comes while the listener gives its port up has its connection, and
     * nobody knows of it: the kernel drops the packet (__inet_inherit_port() finds no bucket; ListenDrops counts it)
     * and later the request, without a reset. Seen on Linux 6.18 with nothing but a listener that closes.
     */
    let inVain = 0;
    for (let i = 0; i < 5; i++) {
      let replaced = false;
      const load = async (): Promise<void> => {
        while (!replaced) {
          for (const result of await neighbour.ask({ ...ask, count: 100 })) {
            // What waits in a listener's queue when it closes is reset, with or without us.
            if (result.said === "ETIMEDOUT") inVain++;
            else if (result.said !== "ECONNRESET") assert.equal(way(result), asked("inbound"), result.said);
          }
        }
      };
      const replace = async (): Promise<void> => {
        const ended = new Promise((resolve) => old.once("exit", resolve));
        // It binds with SO_REUSEPORT, and then tells its predecessor to close and finish.
        old = await startHaproxy(lab, mine, "-sf", `${old.pid}`);
        await ended;
        replaced = true;
      };
      await Promise.all([load(), replace()]);
    }
    if (inVain > 0) console.log(`${inVain} waited in vain; ListenDrops ${listenDrops(old)}`);
    const after = await neighbour.ask({ ...ask, count: 100 });
    for (const result of after) assert.equal(way(result), asked("inbound"));
  }));

test("from within the pod: each lands where the table says", () =>
  withHaproxy(false, async (_, mine) => {
    const [app, group, proxy] = await Promise.all([
      startClient(mine),
      startClient(mine, { uid: 1000, gid: 1337 }),
      startClient(mine, { uid: 1337, gid: 1337 }),
    ]);
    assert.equal(await ways(app, `${other}:5000`), asked("outbound"));
    // HAProxy picks its own pod: steered once more, to its inbound side.
    assert.equal(await ways(app, `${service}:5000`), { arrived: `${pod}:5000`, by: "inbound" });
    assert.equal(await ways(app, `${pod}:5000`), asked("direct"));
    assert.equal(await ways(app, "127.0.0.1:5000"), asked("direct"));
    assert.equal(await ways(app, "127.0.0.9:5000"), asked("direct"));
    assert.equal(await ways(app, "0.0.0.0:5000"), { arrived: "127.0.0.1:5000", by: "direct" });
    assert.equal(await ways(group, `${pod}:5000`), asked("direct"));

    assert.equal(await ways(proxy, `${pod}:5000`), asked("inbound"));
    assert.equal(await ways(proxy, `${pod}:15008`), asked("direct"));
    assert.equal(await ways(proxy, "127.0.0.1:5000"), asked("direct"));
    assert.equal(await ways(proxy, `${pod}:5000`, { localAddress: "127.0.0.6" }), asked("direct"));
    assert.equal(await ways(proxy, `${other}:5000`), asked("direct"));

    const many = await app.ask({ count: 300, parallel: 20, hosts: [service, pod, other], ports: [5000] });
    const by = new Map([
      [`${service}:5000`, "inbound"],
      [`${pod}:5000`, "direct"],
      [`${other}:5000`, "outbound"],
    ]);
    for (const result of many) assert.is(way(result).by, by.get(result.asked), result.asked);
  }));

test.run();
