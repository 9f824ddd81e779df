/** `shunt flows` of real connections, decided by the real programs. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Agent } from "../../src/agent.js";
import { flows } from "../../src/cli/flows.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { outcomeOf } from "../../src/demo/process.js";
import { UsageError } from "../../src/errors.js";
import type { FlowLine } from "../../src/web/controlFlows.js";
import { until } from "../kernel/bed.js";
import { type Client, startClient } from "../kernel/client.js";
import { type AgentHere, openAgentHere, traffic } from "./agentHere.js";

let here: AgentHere;
let clients: Client[];
test.before(async () => {
  here = await openAgentHere("flows");
  const pods = await Promise.all(
    ["a", "b"].map((name, i) =>
      here.lab.pod({ namespace: "test", name, uid: `aa-${name}`, address: `10.88.0.${i + 2}` }),
    ),
  );
  const [a, b] = pods as [LabPod, LabPod];
  await here.edit(a, { [traffic("excludeOutboundPorts")]: "5000" });
  await here.edit(b);
  await here.start();
  clients = await Promise.all(pods.map((pod) => startClient(pod)));
});
test.after(() => here.close());

function agentOf({ agent }: AgentHere): Agent {
  if (agent === undefined) throw new Error("no agent");
  return agent;
}

/** Calls connect() that often. */
async function call(i: number, to: string, count = 1): Promise<void> {
  const [host = "", port = ""] = to.split(":");
  const client = clients[i] ?? assert.unreachable();
  await (client as Client).ask({ count, parallel: 1, hosts: [host], ports: [Number(port)], leave: true });
}

interface Running {
  readonly printed: string[];
  readonly notes: string[];
  readonly code: Promise<number>;
  /** As Ctrl-C does. */
  end(): void;
}

/** Starts the command here, and waits until it listens. */
async function start(...args: readonly string[]): Promise<Running> {
  const printed: string[] = [];
  const notes: string[] = [];
  const abort = new AbortController();
  const before = subscribed;
  const output = { print: (text: string) => printed.push(text), note: (text: string) => notes.push(text) };
  const code = flows(["--control", here.control, ...args], output, abort.signal);
  await until("it listens", () => subscribed > before);
  return { printed, notes, code, end: () => abort.abort() };
}

/** How many streams have begun: the agent's own stream, watched. */
let subscribed = 0;
test.before(() => {
  const stream = agentOf(here).flows;
  const { subscribe } = stream;
  Object.assign(stream, {
    subscribe: (...args: Parameters<typeof subscribe>) => {
      subscribed++;
      return subscribe(...args);
    },
  });
});

test("every decision with its pod, addresses, verdict, reason and process", async () => {
  const running = await start("--all", "--json", "--count", "3");
  await call(0, "10.99.0.1:443");
  await call(0, "10.99.0.1:5000");
  await call(1, "127.0.0.1:8080");
  assert.is(await running.code, 0);
  const said = running.printed.map((line) => JSON.parse(line) as FlowLine);
  assert.equal(
    said.map(({ pod, direction, destination, verdict, to, reason, uid, process: name }) => {
      return [pod, direction, destination, verdict, to, reason, uid, name];
    }),
    [
      ["test/a", "outbound", "10.99.0.1:443", "redirect", "127.0.0.1:15001", "included-all", 1000, "node"],
      ["test/a", "outbound", "10.99.0.1:5000", "bypass", null, "excluded-port", 1000, "node"],
      ["test/b", "outbound", "127.0.0.1:8080", "bypass", null, "loopback", 1000, "node"],
    ],
  );
  for (const { time, pid } of said) assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000 && pid > 0);
});

test("as a table, with the filters", async () => {
  const pod = await start("--all", "--pod", "test/a", "--count", "1");
  const verdict = await start("--all", "--verdict", "redirect", "--count", "1");
  await call(1, "127.0.0.1:8080");
  await call(1, "10.99.0.1:443");
  await call(0, "10.99.0.1:5000");
  assert.equal([await pod.code, await verdict.code], [0, 0]);
  const [head, line] = pod.printed;
  assert.match(head ?? "", /^time +pod +direction +source +destination +verdict +reason +process \(pid, uid\)$/);
  const shown =
    /^\d\d:\d\d:\d\d\.\d{3} {2}test\/a +outbound +– +10\.99\.0\.1:5000 +bypass +excluded-port +node \(\d+, 1000\)$/;
  assert.match(line ?? "", shown);
  assert.match(verdict.printed[1] ?? "", /test\/b .* redirect → 15001 +included-all/);
  assert.equal([pod.printed.length, verdict.printed.length], [2, 2]);
});

test("a sample by default: one of 16", async () => {
  const running = await start("--follow", "--json");
  await call(0, "10.99.0.1:443", 1600);
  const last = await start("--all", "--json", "--count", "1", "--verdict", "bypass");
  await call(0, "10.99.0.1:5000");
  assert.is(await last.code, 0);
  running.end();
  assert.is(await running.code, 0);
  const count = running.printed.filter((line) => line.includes('"redirect"')).length;
  assert.ok(count > 30 && count < 300, `${count} of 1600`);
});

test("without --follow: what comes within a second, and that is said when nothing does", async () => {
  const begin = performance.now();
  const running = await start("--pod", "test/b");
  assert.is(await running.code, 0);
  const took = performance.now() - begin;
  assert.ok(took > 900 && took < 60_000, `${took} ms`);
  assert.is(running.printed.length, 1);
  assert.equal(running.notes, ["nothing came; one decision of 16 is told, --all tells every one"]);
});

test("nobody listens: the programs tell nothing", async () => {
  const { datapath, contract } = agentOf(here);
  const running = await start("--all", "--count", "1");
  await call(0, "10.99.0.1:443");
  await running.code;
  const interval = () => {
    const { maps } = datapath;
    return contract.control.decode(maps.controls.lookup(new Uint8Array(4)) ?? new Uint8Array()).flow_interval;
  };
  await until("the stream is closed", () => interval() === 0n);
});

async function refusal(...args: readonly string[]): Promise<string> {
  try {
    await flows(["--control", here.control, ...args], { print: assert.unreachable, note: assert.unreachable });
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as Error).message;
  }
  throw new Error("not refused");
}

test("wrong usage; a pod that is not there", async () => {
  assert.match(await refusal("--verdict", "maybe"), /--verdict maybe: it is bypass, redirect, deny/);
  for (const count of ["0", "-1", "1.5", "many"])
    assert.match(await refusal(`--count=${count}`), /not a number from 1 on/);
  assert.match(await refusal("--pod", "test/c"), /the agent knows no pod test\/c; near names: test\/a, test\/b/);
  const running = await start("--pod", "test/c", "--follow");
  assert.match(running.notes[0] ?? "", /knows no pod test\/c.*waiting for it/);
  running.end();
  assert.is(await running.code, 0);
});

test("Ctrl-C ends the command itself with 0; a reader that goes, too", async () => {
  const main = new URL("../../src/cli/flows.ts", import.meta.url).href;
  const code = `
    const { flows } = await import(${JSON.stringify(main)});
    const output = { print: (text) => process.stdout.write(text + "\\n"), note: (text) => process.stderr.write(text + "\\n") };
    process.exitCode = await flows(["--control", ${JSON.stringify(here.control)}, "--follow", "--all", "--json"], output);`;
  const argv = ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", code];
  for (const how of ["SIGINT", "pipe"] as const) {
    const before = subscribed;
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await until("it listens", () => subscribed > before);
    await call(0, "10.99.0.1:443");
    assert.match(String((await lines.next()).value), /"pod":"test\/a"/);
    let ended: number | null | undefined;
    const outcome = outcomeOf(child).then((result) => {
      ended = result.status;
      return result;
    });
    if (how === "SIGINT") child.kill("SIGINT");
    else child.stdout.destroy();
    while (how === "pipe" && ended === undefined) await call(0, "10.99.0.1:443");
    const { status, stderr } = await outcome;
    assert.equal([how, status, stderr], [how, 0, ""]);
  }
});

test("an agent that ends: said, exit code 1; and without one there are no flows", async () => {
  const running = await start("--follow");
  await here.stop();
  assert.is(await running.code, 1);
  assert.equal(running.notes, ["the agent ended"]);
  const notes: string[] = [];
  const output = { print: assert.unreachable, note: (text: string) => notes.push(text) };
  assert.is(await flows(["--control", here.control], output), 1);
  assert.match(notes[0] ?? "", /no agent answers \(nothing is at .*\): the decisions come from an agent that runs/);
});

test.run();
