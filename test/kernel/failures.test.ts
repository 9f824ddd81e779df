/**
 * How a captured connection fails, or ends by halves: what the application sees with Istio's iptables rules, and under
 * Shunt. Where the two differ, both are stated.
 */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine } from "../../src/demo/process.js";
import { policy } from "../samples.js";
import { type Bed, openBed } from "./bed.js";
import { type Endpoints, makeEndpoints } from "./endpoint.js";

let bed: Bed;
let ends: Endpoints;
let pods: readonly [rules: LabPod, shunt: LabPod];

test.before.each(async () => {
  bed = await openBed("failures");
  ends = await makeEndpoints(bed.lab.directory);
  const pod = (i: number): Promise<LabPod> =>
    bed.lab.pod({ namespace: "a", name: `p${i}`, uid: `16-${i}`, address: `10.88.16.${i}` });
  pods = [await pod(1), await pod(2)];
  const rules = readFileSync(new URL("istio/cni-basic.golden", import.meta.url), "utf8");
  await inside(pods[0], rules, "iptables-restore");
  await bed.enrol([[pods[1], policy(1n)]]);
});
test.after.each(() => bed.close());

const inside = (pod: LabPod, input: string, ...argv: string[]): Promise<unknown> =>
  command(["nsenter", `--net=${pod.netns}`, ...argv], input);
const app = (pod: LabPod) => ({ pod, container: "app", uid: 1000, gid: 1000 });
const proxy = (pod: LabPod) => ({ pod, container: "istio-proxy", uid: 1337, gid: 1337 });

/** Asks the same in both pods. @returns what came with the rules, and what came under Shunt. */
const both = (ask: (pod: LabPod) => Promise<string>): Promise<string[]> => Promise.all(pods.map(ask));
const call =
  (to: string, port: number, ...flags: string[]) =>
  (pod: LabPod) =>
    ends.call(app(pod), to, port, ...flags);

test("refused: no proxy listens; nobody listens where it passes", async () => {
  assert.equal(await both(call("203.0.113.9", 80)), ["ECONNREFUSED", "ECONNREFUSED"]);
  assert.equal(await both(call("127.0.0.1", 9)), ["ECONNREFUSED", "ECONNREFUSED"]);
  assert.equal(await both((pod) => call(pod.address, 9)(pod)), ["ECONNREFUSED", "ECONNREFUSED"]);
});

test("timed out: the proxy's listener answers nothing", async () => {
  for (const pod of pods) {
    await ends.listen(proxy(pod), "proxy", "0.0.0.0", 15001);
    const drop = "INPUT -i lo -p tcp --dport 15001 -j DROP".split(" ");
    await inside(pod, "", "iptables", "-I", ...drop);
  }
  // The connection is still being made.
  assert.equal(await both(call("203.0.113.9", 80, "patience=3")), ["EINPROGRESS", "EINPROGRESS"]);
});

test("DIFFERS: without a route iptables never sees the call, and Shunt takes it to the proxy", async () => {
  for (const pod of pods) {
    await ends.listen(proxy(pod), "proxy", "0.0.0.0", 15001);
    await inside(pod, "", "ip", "route", "del", "default");
  }
  const [rules, shunt] = await both(call("203.0.113.9", 80));
  assert.is(rules, "ENETUNREACH");
  assert.match(shunt ?? "", /^proxy \S+ \S+ 203\.0\.113\.9:80$/);
});

/** Answers what it got when the other side has ended; "reset" it resets. */
const server = `
  const { createServer } = require("node:net");
  createServer({ allowHalfOpen: true }, (socket) => {
    let got = "";
    socket.on("error", () => {});
    socket.on("data", (data) => { got += data; if (got === "reset") socket.resetAndDestroy(); });
    socket.on("end", () => socket.end("after the end: " + got));
  }).listen(15001, () => console.log("ready"));`;
const client = `
  const { connect } = require("node:net");
  const socket = connect({ port: 80, host: "203.0.113.9", allowHalfOpen: true });
  let got = "";
  socket.on("error", (error) => console.log(error.code));
  socket.on("data", (data) => { got += data; });
  socket.on("end", () => console.log(got));
  socket.write(process.argv[1]);
  if (process.argv[1] !== "reset") socket.end();`;

test("ended by halves, and reset", async () => {
  for (const pod of pods) {
    const { container, uid, gid } = proxy(pod);
    await firstLine(pod.spawn([process.execPath, "-e", server], { container, uid, gid }));
  }
  const say = (what: string) => async (pod: LabPod) => {
    const { container, uid, gid } = app(pod);
    const { stdout, stderr } = await pod.exec([process.execPath, "-e", client, what], { container, uid, gid });
    return (stdout + stderr).trim();
  };
  assert.equal(await both(say("abc")), ["after the end: abc", "after the end: abc"]);
  assert.equal(await both(say("reset")), ["ECONNRESET", "ECONNRESET"]);
});

test.run();
