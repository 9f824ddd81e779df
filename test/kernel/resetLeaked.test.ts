/** `--reset-leaked`: connections that were there before the pod's policy, with the real agent on the real kernel. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine, mortal } from "../../src/demo/process.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { type AgentBed, reach, traffic, withBed } from "./agentBed.js";
import { script, until } from "./bed.js";

/** Takes connections and keeps them. */
const server = `
  const { createServer } = require("net");
  const ports = process.argv.slice(1).map(Number);
  let left = ports.length;
  for (const port of ports) createServer((s) => { s.on("error", () => {}); s.resume(); s.write("x"); })
    .listen(port, "0.0.0.0", () => { if (--left === 0) console.log("listening"); });`;

/** Makes connections, keeps them, and tells what becomes of each. */
const client = `
  const { connect } = require("net");
  for (const to of process.argv.slice(1)) {
    const [host, port] = to.split(":");
    const socket = connect(Number(port), host);
    console.log("calling " + to);
    socket.on("data", () => console.log("open " + to));
    socket.on("error", (e) => console.log(e.code + " " + to));
    socket.on("end", () => console.log("end " + to));
  }
  setInterval(() => {}, 1000);`;

const node = (source: string, ...args: readonly string[]): [string, ...string[]] => [
  process.execPath,
  "-e",
  source,
  ...args,
];

/** What a client has said of each destination so far, the last of it. */
function follow(child: ChildProcess): ReadonlyMap<string, string> {
  const said = new Map<string, string>();
  if (child.stdout === null || child.stderr === null) throw new Error("no pipes");
  child.stderr.resume();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [word = "", to = ""] = line.split(" ");
    said.set(to, word);
  });
  return said;
}

const captured = "10.88.7.9:5000";
const excluded = "10.88.7.9:5001";
const mute = "10.88.7.8:5000";
const inbound = "10.88.7.2:8080";
const passes = { [traffic("excludeOutboundPorts")]: "5001" };

let lab: Lab;
let pod: LabPod;
let outside: LabPod;
test.before(async () => {
  lab = await openLab({ kind: "leaks" });
  const make = (name: string, host: number) =>
    lab.pod({ namespace: "test", name, uid: `1e-${host}`, address: `10.88.7.${host}` });
  const silent = await make("silent", 8);
  // It cannot answer: who calls it stays at its SYN.
  await command(["nsenter", `--net=${silent.netns}`, "ip", "route", "add", "blackhole", "10.88.7.2/32"]);
  [pod, outside] = await Promise.all([make("shop", 2), make("outside", 9)]);
  const proxy = pod.spawn(script("originServer.ts", "proxy", "127.0.0.1:15001"), {
    ...{ container: "istio-proxy", uid: 1337, gid: 1337 },
  });
  await Promise.all([
    firstLine(outside.spawn(node(server, "5000", "5001"), { container: "app" }), 60_000),
    firstLine(proxy, 60_000),
  ]);
});
test.after(async () => {
  await lab.close();
});

interface Calls {
  readonly app: ReadonlyMap<string, string>;
  readonly proxy: ReadonlyMap<string, string>;
  readonly caller: ReadonlyMap<string, string>;
  /** A process of the host in the pod's namespace. */
  readonly host: ReadonlyMap<string, string>;
}

/** Connections out of the pod, of its proxy, of the host in its namespace, and into it, all of them open. */
async function call(use: (calls: Calls) => Promise<void>): Promise<void> {
  const listener = pod.spawn(node(server, "8080"), { container: "app" });
  await firstLine(listener, 60_000);
  const ids = { uid: 1000, gid: 1000 };
  const app = pod.spawn(node(client, captured, excluded, mute), { container: "app", ...ids });
  const proxy = pod.spawn(node(client, captured), { container: "istio-proxy", uid: 0, gid: 1337 });
  const caller = outside.spawn(node(client, inbound), { container: "app" });
  const host = spawn("nsenter", [`--net=${pod.netns}`, ...mortal(node(client, captured))]);
  const calls = { app: follow(app), proxy: follow(proxy), caller: follow(caller), host: follow(host) };
  try {
    await until(
      "all are open",
      () =>
        [captured, excluded].every((to) => calls.app.get(to) === "open") &&
        calls.app.get(mute) === "calling" &&
        calls.proxy.get(captured) === "open" &&
        calls.host.get(captured) === "open" &&
        calls.caller.get(inbound) === "open",
      60_000,
    );
    await use(calls);
  } finally {
    for (const child of [app, proxy, caller, host, listener]) child.kill("SIGKILL");
  }
}

const start = async (bed: AgentBed, ...args: readonly string[]) => {
  const agent = bed.start("--unknown-pods", "allow", ...args);
  await agent.waitFor(({ event }) => event === "ready", 0, 60_000);
  return agent;
};
const isReset = ({ event }: { event: string }): boolean => event === "reset";

test("what went around the proxy ends with the first policy; what the policy lets pass stays", async () => {
  await withBed(lab, async (bed) => {
    const agent = await start(bed, "--reset-leaked");
    await call(async ({ app, proxy, caller, host }) => {
      await bed.edit(pod, passes);
      await until(
        "both ended",
        () => [captured, mute].every((to) => !["open", "calling"].includes(app.get(to) ?? "")),
        60_000,
      );
      assert.equal(
        [captured, mute].map((to) => app.get(to)),
        ["ECONNABORTED", "ECONNABORTED"],
      );
      const { msg } = await agent.waitFor(isReset, 0, 60_000);
      assert.is(msg, "2 connections around the proxy were reset");
      assert.is(await reach(pod, captured), `proxy ${captured}`);
      const stays = (): unknown[] => [
        app.get(excluded),
        ...[proxy, host].map((one) => one.get(captured)),
        caller.get(inbound),
      ];
      assert.equal(stays(), ["open", "open", "open", "open"]);

      // The pod has a policy now: another one, or another agent, ends nothing.
      const from = agent.events.length;
      await bed.edit(pod);
      await agent.waitFor(({ event }) => event === "policy", from, 60_000);
      await agent.stop();
      const again = await start(bed, "--reset-leaked");
      const since = again.events.length;
      await bed.edit(pod, passes);
      await again.waitFor(({ event }) => event === "policy", since, 60_000);
      assert.is(await reach(pod, captured), `proxy ${captured}`);
      assert.is([...agent.events, ...again.events].filter(isReset).length, 1);
      assert.equal(stays(), ["open", "open", "open", "open"]);

      // Nor does an agent whose maps have another layout, which begins with empty ones.
      const later = again.events.length;
      await bed.edit(pod);
      await again.waitFor(({ event }) => event === "policy", later, 60_000);
      await again.stop();
      const [maps = ""] = readdirSync(pinDirectory(bed.bpffs)).filter((name) => name.startsWith("maps-"));
      renameSync(join(pinDirectory(bed.bpffs), maps), join(pinDirectory(bed.bpffs), "maps-0123456789ab"));
      const other = await start(bed, "--reset-leaked");
      const then = other.events.length;
      assert.equal(
        readdirSync(pinDirectory(bed.bpffs)).filter((name) => name.startsWith("maps-")),
        [maps],
      );
      await until("its namespace is known", () => bed.pins.record(pod.cgroupId)?.netns_cookie !== 0n);
      await bed.edit(pod, { [traffic("excludeOutboundPorts")]: "5002" });
      await other.waitFor(({ event }) => event === "policy", then, 60_000);
      assert.is(await reach(pod, captured), `proxy ${captured}`);
      assert.not.ok(other.events.some(isReset));
      assert.equal(stays(), ["open", "open", "open", "open"]);
      await other.stop();
    });
  });
});

test("without the flag nothing ends", async () => {
  await withBed(lab, async (bed) => {
    const agent = await start(bed);
    await call(async ({ app }) => {
      await bed.edit(pod, passes);
      await agent.waitFor(({ event }) => event === "policy", 0, 60_000);
      assert.is(await reach(pod, captured), `proxy ${captured}`);
      assert.equal(
        [captured, excluded, mute].map((to) => app.get(to)),
        ["open", "open", "calling"],
      );
      assert.not.ok(agent.events.some(isReset));
    });
  });
});

test.run();
