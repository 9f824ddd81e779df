/** The control socket: who gets it, what it answers, and readers that are slow or gone. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { firstLine } from "../../src/demo/process.js";
import { NodeError, UsageError } from "../../src/errors.js";
import type { Flow } from "../../src/events/flows.js";
import { native } from "../../src/kernel/native.js";
import { parseAddress } from "../../src/model/address.js";
import type { PodStatus, Status } from "../../src/model/status.js";
import { type Control, openControl as open, type Served } from "../../src/web/control.js";
import { AgentError, askAgent, openFlows } from "../../src/web/controlClient.js";
import type { FlowLine, LostLine } from "../../src/web/controlFlows.js";
import { AgentRuns } from "../../src/web/controlLock.js";

const openControl = (place: string): Promise<Control> => open(place, native().lock);

let directory: string;
let path: string;
const closers: (() => unknown)[] = [];
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), "shunt-control-"));
  path = join(directory, "shunt", "agent.sock");
});
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
});

const readNames = (place: string): string[] => readdirSync(place).sort();

/** Polls. @throws Error after a minute. */
async function until(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within 60 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function flow(changes: Partial<Flow> = {}): Flow {
  return {
    time: process.hrtime.bigint(),
    pod: 42n,
    source: undefined,
    sourcePort: 0,
    destination: parseAddress("10.96.10.10"),
    destinationPort: 5000,
    direction: "outbound",
    verdict: "redirect",
    reason: "included-all",
    protocol: 6,
    targetPort: 15001,
    pid: 4711,
    uid: 1000,
    command: "curl",
    ...changes,
  };
}

const pod = (name: string, cgroupId: string) => ({ namespace: "demo", name, cgroupId }) as PodStatus;

/** An agent without a kernel. */
class FakeAgent implements Served {
  origin?: NonNullable<Served["origin"]>;
  pods: PodStatus[] = [pod("client", "42")];
  readonly listeners = new Map<(flow: Flow) => void, boolean>();
  lost = 0n;
  asked = 0;
  readonly flows = {
    subscribe: (onFlow: (flow: Flow) => void, all: boolean) => {
      this.listeners.set(onFlow, all);
      return () => void this.listeners.delete(onFlow);
    },
  };
  status(): Status {
    this.asked++;
    return { version: "1", ready: true, pods: this.pods } as unknown as Status;
  }
  flowsLost(): bigint {
    return this.lost;
  }
  emit(...flows: readonly Flow[]): void {
    for (const each of flows) for (const listener of [...this.listeners.keys()]) listener(each);
  }
}

async function serve(agent = new FakeAgent()): Promise<{ control: Control; agent: FakeAgent }> {
  const control = await openControl(path);
  closers.push(() => control.close());
  control.serve(agent);
  return { control, agent };
}

async function subscribe(agent: FakeAgent, query: Record<string, string> = {}, signal = new AbortController().signal) {
  const before = agent.listeners.size;
  const opened = await openFlows(path, new URLSearchParams(query), signal);
  if (!opened.agent) throw new Error(opened.why);
  assert.is(agent.listeners.size, before + 1, "who has the head is subscribed");
  return opened.lines[Symbol.asyncIterator]();
}

async function next<T = FlowLine>(lines: AsyncIterator<string>): Promise<T> {
  const line = await lines.next();
  if (line.done === true) throw new Error("the stream ended");
  return JSON.parse(line.value) as T;
}

/** @returns what was thrown. */
async function thrown(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

test("the socket is its owner's alone, in a directory that is too", async () => {
  const { control } = await serve();
  assert.is(control.path, path);
  assert.is((statSync(path).mode & 0o7777).toString(8), "600");
  assert.is((statSync(join(directory, "shunt")).mode & 0o7777).toString(8), "700");
  assert.equal(readNames(join(directory, "shunt")), ["agent.sock"], "nothing else");
  const umask = process.umask();
  process.umask(umask);
  assert.is.not(umask, 0o177, "the umask is as it was");
  await control.close();
  assert.not(existsSync(path));
  await control.close();
});

test("a directory that is there keeps its mode; one whose parent is missing is refused", async () => {
  chmodSync(directory, 0o755);
  const control = await openControl(join(directory, "a.sock"));
  assert.is((statSync(directory).mode & 0o777).toString(8), "755");
  await control.close();
  const error = await thrown(openControl(join(directory, "no", "such", "a.sock")));
  assert.instance(error, UsageError);
  assert.match(error.message, /no does not exist/);
});

test("a path that no socket can have is refused, not cut", async () => {
  const long = join(directory, "x".repeat(100));
  for (const attempt of [openControl(long), askAgent(long, "/")]) assert.instance(await thrown(attempt), UsageError);
  assert.equal(readNames(directory), []);
});

test("something else at the path is left alone", async () => {
  const file = join(directory, "file");
  writeFileSync(file, "precious");
  const link = join(directory, "link");
  symlinkSync(file, link);
  for (const place of [file, link, directory]) {
    const error = await thrown(openControl(place));
    assert.instance(error, UsageError);
    assert.match(error.message, /is not a socket/);
  }
  assert.equal(readNames(directory), ["file", "link"]);
});

test("GET / says at once who it is; questions wait until the agent has started", async () => {
  const control = await openControl(path);
  closers.push(() => control.close());
  const hello = await askAgent(path, "/");
  assert.ok(hello.agent);
  assert.is(hello.pid, process.pid);
  assert.is((hello.body as { pid: number }).pid, process.pid);
  let answered = false;
  const status = askAgent(path, "/status").then((value) => {
    answered = true;
    return value;
  });
  await askAgent(path, "/"); // a whole round later
  assert.not(answered);
  control.serve(new FakeAgent());
  const said = await status;
  assert.ok(said.agent);
  assert.equal(said.body, { version: "1", ready: true, pods: [pod("client", "42")] });
});

test("who waits when the agent fails to start is told so", async () => {
  const control = await openControl(path);
  const status = askAgent(path, "/status");
  await askAgent(path, "/");
  await control.close();
  assert.instance(await thrown(status), AgentError);
});

test("an agent that is silent is no riddle: there is a deadline", async () => {
  const control = await openControl(path);
  closers.push(() => control.close());
  const error = await thrown(askAgent(path, "/status", 50));
  assert.match(error.message, /does not answer: nothing in 50 ms/);
});

/** Status and body, as curl would see them. */
function get(target: string, method = "GET"): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, path: target, method, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve([response.statusCode ?? 0, body]));
    });
    asked.on("error", reject).end();
  });
}

test("HTTP: what is not there, not allowed or not understood", async () => {
  const { agent } = await serve();
  assert.equal(await get("/nothing"), [404, "there are /, /status, /origin and /flows\n"]);
  assert.equal(await get("/status", "POST"), [405, "GET alone is answered here\n"]);
  assert.equal((await get("/flows?verdict=maybe"))[0], 400);
  assert.match((await get("/flows?verdict=maybe"))[1], /bypass, redirect, deny/);
  assert.is((await get("/flows?all=yes"))[0], 400);
  assert.is((await get("/flows?everything=1"))[0], 400);
  assert.is(agent.listeners.size, 0);
  assert.equal(await get("/origin?pod=a"), [404, "nobody tells it here\n"]);
  agent.origin = (query) => {
    if (query.get("pod") === "b") return null;
    if (query.get("pod") === "c") return { rule: "443", source: "d" };
    throw new UsageError("which pod?");
  };
  assert.equal(await get("/origin?pod=a"), [400, "which pod?\n"]);
  assert.equal(await get("/origin?pod=b"), [200, "null\n"]);
  assert.equal(await get("/origin?pod=c"), [200, '{"rule":"443","source":"d"}\n']);
  agent.status = () => {
    throw new Error("no status today");
  };
  assert.equal(await get("/status"), [500, "no status today\n"]);
  assert.match((await thrown(askAgent(path, "/status"))).message, /refuses: no status today/);
});

test("curl --unix-socket works", async () => {
  await serve();
  const curl = spawn("curl", ["-sS", "--unix-socket", path, "http://localhost/status"], { stdio: "pipe" });
  assert.equal(JSON.parse(await firstLine(curl)).pods[0].name, "client");
});

test("no agent is an outcome, with the reason; no permission is an error", async () => {
  assert.equal(await askAgent(path, "/"), { agent: false, why: `nothing is at ${path}` });
  const file = join(directory, "file");
  writeFileSync(file, "");
  assert.equal(await askAgent(file, "/"), { agent: false, why: `nobody listens at ${file}` });
  assert.equal(await askAgent(join(file, "below"), "/"), { agent: false, why: `nothing is at ${join(file, "below")}` });
  const flows = await openFlows(path, new URLSearchParams(), new AbortController().signal);
  assert.equal(flows, { agent: false, why: `nothing is at ${path}` });

  await serve();
  const ask = async (): Promise<unknown> => {
    process.seteuid?.(65534);
    try {
      return await askAgent(path, "/");
    } finally {
      process.seteuid?.(0);
    }
  };
  const refused = await thrown(ask());
  assert.instance(refused, NodeError);
  assert.is(refused.message, `the agent's control socket ${path} is its owner's alone: run this as root`);
});

test("a second agent is refused, with the pid of the first, and nothing of it is left", async () => {
  const { control } = await serve();
  const error = await thrown(openControl(path));
  assert.instance(error, AgentRuns);
  assert.match(error.message, new RegExp(`another agent runs \\(pid ${process.pid}, control socket ${path}\\)`));
  assert.equal(readNames(join(directory, "shunt")), ["agent.sock"]);
  assert.ok((await askAgent(path, "/")).agent, "the first one goes on");
  await control.close();
  const second = await openControl(path);
  await second.close();
});

test("a second agent is refused also by one that does not answer, or is no agent at all", async () => {
  const place = join(directory, "mute.sock");
  const sockets: Socket[] = [];
  const mute = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", () => {});
  });
  await new Promise<void>((resolve) => mute.listen(place, resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  assert.match((await thrown(openControl(place))).message, /mute.sock is in use: .*does not answer/);
  mute.removeAllListeners("connection").on("connection", (socket) => socket.end("220 mail\r\n"));
  const error = await thrown(openControl(place));
  assert.instance(error, AgentRuns);
  assert.match(error.message, /is in use: .*broke off/);
});

/** Leaves a socket behind as a killed agent does. */
async function leaveStale(place: string): Promise<void> {
  const code = `require("net").createServer().listen(${JSON.stringify(place)}, () => console.log("ready"))`;
  const child = spawn(process.execPath, ["-e", code], { stdio: "pipe" });
  await firstLine(child);
  const gone = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await gone;
}

test("the socket of a killed agent is taken over", async () => {
  path = join(directory, "agent.sock");
  await leaveStale(path);
  assert.equal(await askAgent(path, "/"), { agent: false, why: `nobody listens at ${path}` });
  await serve();
  assert.equal(readNames(directory), ["agent.sock"]);
  assert.ok((await askAgent(path, "/status")).agent);
});

test("many at once over a dead agent's socket: one gets it", async () => {
  path = join(directory, "agent.sock");
  for (let round = 0; round < 10; round++) {
    await leaveStale(path);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => openControl(path)));
    const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const lost = results.flatMap((result) => (result.status === "rejected" ? [result.reason as Error] : []));
    assert.is(won.length, 1);
    for (const error of lost) assert.instance(error, AgentRuns);
    assert.equal(readNames(directory), ["agent.sock"]);
    await won[0]?.close();
    assert.equal(readNames(directory), []);
  }
});

/** A process that opens the path when it is told to, and says what came of it. */
function contender(): { child: ChildProcess; lines: AsyncIterator<string> } {
  const source = (file: string): string => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href);
  const code = `
    const { openControl } = await import(${source("web/control.ts")});
    const { lock } = (await import(${source("kernel/native.ts")})).native();
    process.stdin.on("data", () => openControl(${JSON.stringify(path)}, lock).then(() => console.log("won " + process.pid), (e) => console.log(e.message)));
    console.log("ready");`;
  const argv = ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", code];
  const child = spawn(process.execPath, argv, { stdio: ["pipe", "pipe", "inherit"] });
  closers.push(() => child.kill("SIGKILL"));
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

test("processes at once over a dead agent's socket: one gets it, the others name it", async () => {
  path = join(directory, "agent.sock");
  const contenders = Array.from({ length: 4 }, contender);
  for (const { lines } of contenders) assert.is((await lines.next()).value, "ready");
  for (let left = contenders; left.length > 0; ) {
    if (!existsSync(path)) await leaveStale(path);
    for (const { child } of left) child.stdin?.write("go\n");
    const said = await Promise.all(left.map(async ({ lines }) => String((await lines.next()).value)));
    const winners = said.filter((line) => line.startsWith("won"));
    assert.is(winners.length, 1, said.join("\n"));
    const pid = winners[0]?.split(" ")[1];
    for (const line of said) if (!winners.includes(line)) assert.match(line, new RegExp(`pid ${pid},`));
    // Killed: it leaves its socket, and the others try again.
    const winner = left.find(({ child }) => `${child.pid}` === pid)?.child;
    const gone = new Promise((resolve) => winner?.once("close", resolve));
    winner?.kill("SIGKILL");
    await gone;
    left = left.filter(({ child }) => child !== winner);
  }
  assert.equal(readNames(directory), ["agent.sock"]);
});

test("an agent that ends takes away its own socket and no other's", async () => {
  path = join(directory, "agent.sock");
  const first = await openControl(path);
  rmSync(path); // somebody
  const second = await openControl(path);
  await first.close();
  assert.ok((await askAgent(path, "/")).agent);
  await second.close();
  assert.equal(readNames(directory), []);
});

test("flows: the line of a redirect, of a bypass, of one that is not known", async () => {
  const { agent } = await serve();
  const lines = await subscribe(agent);
  const at = process.hrtime.bigint();
  const wall = Date.now();
  agent.emit(
    flow({ time: at }),
    flow({ verdict: "bypass", reason: "loopback", targetPort: 0, source: parseAddress("10.0.0.1"), sourcePort: 99 }),
    flow({ pod: 43n, destination: parseAddress("fd00::1"), protocol: 17, command: 'a"\n' }),
  );
  const { time, ...first } = await next(lines);
  assert.equal(first, {
    pod: "demo/client",
    direction: "outbound",
    source: null,
    destination: "10.96.10.10:5000",
    verdict: "redirect",
    to: "127.0.0.1:15001",
    reason: "included-all",
    protocol: "tcp",
    process: "curl",
    pid: 4711,
    uid: 1000,
    cgroupId: "42",
    at: `${at}`,
  });
  assert.ok(Math.abs(Date.parse(time) - wall) < 10_000, time);
  const second = await next(lines);
  assert.equal([second.source, second.to, second.verdict], ["10.0.0.1:99", null, "bypass"]);
  const third = await next(lines);
  assert.equal([third.pod, third.destination, third.to], ["cgroup 43", "[fd00::1]:5000", "[::1]:15001"]);
  assert.equal([third.protocol, third.process], ["udp", 'a"\n']);
});

test("flows: filters by pod and verdict; only who wants all makes the programs tell all", async () => {
  const { agent } = await serve();
  agent.pods = [pod("client", "42"), pod("other", "43")];
  const mine = await subscribe(agent, { pod: "demo/client" });
  const refused = await subscribe(agent, { verdict: "deny" });
  const both = await subscribe(agent, { verdict: "bypass", pod: "demo/other", all: "1" });
  assert.equal([...agent.listeners.values()], [false, false, true]);
  agent.emit(
    flow({ pod: 43n, pid: 1 }),
    flow({ pod: 43n, pid: 2, verdict: "deny", reason: "no-memory" }),
    flow({ pid: 3 }),
    flow({ pod: 43n, pid: 4, verdict: "bypass" }),
    flow({ pid: 5, verdict: "bypass" }),
  );
  assert.equal([(await next(mine)).pid, (await next(mine)).pid], [3, 5]);
  assert.is((await next(refused)).pid, 2);
  assert.is((await next(both)).pid, 4);
});

test("flows: a pod that comes gets its name; the status is not asked for each flow", async () => {
  const { agent } = await serve();
  const lines = await subscribe(agent);
  agent.emit(...Array.from({ length: 100 }, () => flow()));
  for (let i = 0; i < 100; i++) assert.is((await next(lines)).pod, "demo/client");
  assert.is(agent.asked, 1);
  agent.pods = [...agent.pods, pod("new", "44")];
  let name = "";
  // Each line is read before the next one comes: a reader that falls behind would lose some.
  const end = Date.now() + 60_000;
  while (name !== "demo/new" && Date.now() < end) {
    agent.emit(flow({ pod: 44n }));
    name = (await next(lines)).pod;
  }
  assert.is(name, "demo/new");
});

test("a reader that is gone, or ends its stream, is forgotten", async () => {
  const { agent } = await serve();
  const abort = new AbortController();
  const lines = await subscribe(agent, {}, abort.signal);
  agent.emit(flow());
  await next(lines);
  abort.abort();
  assert.is((await lines.next()).done, true, "ends, without an error");
  await until("the subscription ends", () => agent.listeners.size === 0);

  const rude = connect(path);
  rude.on("error", () => {});
  rude.write("GET /flows HTTP/1.1\r\nHost: agent\r\n\r\n");
  await until("it is subscribed", () => agent.listeners.size === 1);
  rude.destroy();
  await until("the subscription ends", () => {
    agent.emit(flow());
    return agent.listeners.size === 0;
  });
});

test("an agent that ends, ends the streams", async () => {
  const { agent, control } = await serve();
  const lines = await subscribe(agent);
  await control.close();
  assert.is((await lines.next()).done, true);
  assert.is(agent.listeners.size, 0);
});

/** What came over a connection, chunks put together: the lines of JSON. */
function linesOf(raw: string): (Partial<FlowLine> & Partial<LostLine>)[] {
  return raw.split("\r\n").flatMap((part) =>
    part
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as FlowLine & LostLine),
  );
}

test("a slow reader loses lines, is told how many, and holds up neither the agent nor another reader", async () => {
  const { agent } = await serve();
  const slow = connect(path);
  let raw = "";
  slow.setEncoding("latin1");
  slow.write("GET /flows?all=1 HTTP/1.1\r\nHost: agent\r\n\r\n");
  await until("it is subscribed", () => agent.listeners.size === 1);
  slow.pause();
  const fast = await subscribe(agent, { all: "1" });
  const total = 20_000;
  let longest = 0;
  for (let pid = 0; pid < total; pid += 200) {
    const begin = performance.now();
    agent.emit(...Array.from({ length: 200 }, (_, i) => flow({ pid: pid + i })));
    longest = Math.max(longest, performance.now() - begin);
    for (let i = 0; i < 200; i++) assert.is((await next(fast)).pid, pid + i, "not one is lost");
  }
  assert.ok(longest < 10_000, `the agent was held up for ${longest} ms`);

  slow.on("data", (text: string) => {
    raw += text;
  });
  slow.resume();
  await until("it is told of the loss", () => /"lost":\d+,"where":"client"}\n/.test(raw));
  agent.emit(flow({ pid: total }));
  await until("it is up to date again", () => raw.includes(`"pid":${total},`));
  slow.destroy();
  const lines = linesOf(raw);
  const pids = lines.flatMap((line) => (line.pid === undefined ? [] : [line.pid]));
  const lost = lines.reduce((sum, line) => sum + (line.lost ?? 0), 0);
  assert.ok(lost > 1000, `${lost} were lost`);
  assert.is(pids.length + lost, total + 1, "none without a trace");
  assert.equal(
    pids,
    [...pids].sort((a, b) => a - b),
    "in order",
  );
  const kept = pids.length - 1;
  assert.equal(
    pids.slice(0, kept),
    Array.from({ length: kept }, (_, i) => i),
    "the first ones",
  );
  assert.is(lines[kept]?.lost, lost, "told at the place where they are missing");
  const bytes = Buffer.byteLength(raw);
  assert.ok(bytes > 1024 * 1024 && bytes < 2 * 1024 * 1024, `${bytes} were kept for it`);
});

test("what the ring has lost is told, too", async () => {
  const { agent } = await serve();
  agent.lost = 7n; // before anybody listened
  const lines = await subscribe(agent);
  agent.lost = 12n;
  assert.equal(await next<LostLine>(lines), { lost: 5, where: "ring" });
});

test.run();
