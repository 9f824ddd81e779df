import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Answer, NoAnswer } from "../../src/demo/call.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine } from "../../src/demo/process.js";
import { roleArgv } from "../../src/demo/role.js";
import { closeLabs, testLab, until } from "./kit.js";

const vip = "10.96.10.10";
const app = { container: "app", uid: 1000, gid: 1000 };
const sidecar = { container: "istio-proxy", uid: 1337, gid: 1337 };

interface Mesh {
  readonly client: LabPod;
  readonly workloads: readonly [LabPod, LabPod];
  /** What the client's proxy wrote to stderr. */
  log(): string;
  call(url: string): Promise<Answer & Partial<NoAnswer>>;
  /** Runs JavaScript in the client's application. @returns what it prints. */
  script(code: string): Promise<string>;
}

/** iptables rules in the pod's own namespace, as istio-init makes them. */
async function rules(pod: LabPod, lines: readonly string[]): Promise<void> {
  for (const family of ["iptables", ...(pod.address6 === undefined ? [] : ["ip6tables"])]) {
    for (const line of lines) await command(["nsenter", `--net=${pod.netns}`, family, "-t", "nat", ...line.split(" ")]);
  }
}

/** A client with a proxy, steered by iptables; two workloads; a server that speaks first and an echo in the first. */
async function mesh(): Promise<Mesh> {
  const lab = await testLab();
  const pod = (name: string, last: number) =>
    lab.pod({ namespace: "test", name, uid: `0000-${last}`, address: `10.77.0.${last}`, address6: `fd00:77::${last}` });
  const [client, v1, v2] = await Promise.all([pod("client", 2), pod("v1", 3), pod("v2", 4)]);
  const listen = ["--listen", "127.0.0.1:15001", "--listen", "[::1]:15001"];
  const service = ["--service", `${vip}:5000=${v1.address}:5000,${v2.address}:5000`];
  const proxy = client.spawn(roleArgv("proxy", [...listen, ...service]), sidecar);
  let log = "";
  proxy.stderr?.on("data", (text: Buffer) => {
    log += text;
  });
  const tcp = `const net = require("net");
    net.createServer((s) => { s.write("220 " + s.remoteAddress + "\\n"); s.once("data", (d) => s.end("bye " + d)); }).listen(25, "0.0.0.0");
    net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(7, "0.0.0.0", () => console.log("ready"));`;
  const servers = [
    v1.spawn(roleArgv("workload", ["--version", "v1", "--host", "::"]), app),
    v2.spawn(roleArgv("workload", ["--version", "v2", "--host", "::"]), app),
    v1.spawn([process.execPath, "-e", tcp], { container: "tcp" }),
  ];
  const lines = await Promise.all([proxy, ...servers].map((child) => firstLine(child)));
  assert.is(lines[0], "shunt-demo-proxy listens on 127.0.0.1:15001, [::1]:15001");
  assert.is(lines[1], "helloworld-v1 listens on :::5000");
  await rules(client, [
    "-A OUTPUT -m owner --uid-owner 1337 -j RETURN",
    "-A OUTPUT -p tcp --dport 9999 -j RETURN",
    "-A OUTPUT -p tcp ! -o lo -j REDIRECT --to-ports 15001",
  ]);
  return {
    client,
    workloads: [v1, v2],
    log: () => log,
    call: async (url) => {
      const outcome = await client.exec(roleArgv("call", [url]), app);
      assert.is(outcome.status, 0, outcome.stderr);
      return JSON.parse(outcome.stdout) as Answer;
    },
    script: async (code) => {
      const outcome = await client.exec([process.execPath, "-e", code], { ...app, timeout: 60_000 });
      assert.is(outcome.status, 0, outcome.stderr || `ended by ${outcome.signal}`);
      return outcome.stdout;
    },
  };
}

const test = suite("proxy");
test.after.each(closeLabs);

test("outbound: HTTP to an address and to a service, other TCP, what is refused", async () => {
  const { client, workloads, call, script, log } = await mesh();

  const direct = await call("http://10.77.0.3:5000/hello");
  assert.is(direct.status, 200);
  assert.is(direct.body, "Hello version: v1, instance: helloworld-v1\n");
  assert.is(direct.server, "shunt-demo-proxy");
  assert.is(direct.via, "1.1 shunt-demo-proxy");
  assert.is(direct.originalDestination, "10.77.0.3:5000");
  assert.is(direct.peerAsked, "10.77.0.3:5000");
  assert.match(direct.local, /^10\.77\.0\.2:\d+$/);
  assert.ok(direct.ms > 0);
  // The workload talks to the proxy: another port than the caller's.
  const peer = await call("http://10.77.0.3:5000/peer");
  const seen = JSON.parse(peer.body) as { peer: string; local: string };
  assert.match(seen.peer, /^10\.77\.0\.2:\d+$/);
  assert.is.not(seen.peer, peer.local);
  assert.is(seen.local, "10.77.0.3:5000");

  const six = await call("http://[fd00:77::4]:5000/");
  assert.is(six.server, "shunt-demo-proxy");
  assert.is(six.originalDestination, "[fd00:77::4]:5000");
  assert.match(six.body, "v2");

  const turns = [
    await call(`http://${vip}:5000/`),
    await call(`http://${vip}:5000/`),
    await call(`http://${vip}:5000/`),
  ];
  assert.equal(
    turns.map(({ body }) => /v\d/.exec(body)?.[0]),
    ["v1", "v2", "v1"],
  );
  assert.ok(turns.every(({ originalDestination }) => originalDestination === `${vip}:5000`));

  const down = await call("http://10.77.0.4:5999/");
  assert.is(down.status, 503);
  assert.match(down.body, "10.77.0.4:5999: ECONNREFUSED");
  assert.is(down.server, "shunt-demo-proxy");
  assert.is(down.originalDestination, "10.77.0.4:5999");

  // Not captured: the workload's own name.
  await firstLine(workloads[0].spawn(roleArgv("workload", ["--port", "9999"]), app));
  const raw = await call("http://10.77.0.3:9999/");
  assert.is(raw.server, "helloworld-v1");
  assert.is(raw.via, "");

  // A server that speaks first.
  const smtp = `const s = require("net").connect(25, "10.77.0.3"); let t = "";
    s.on("data", (d) => { t += d; if (t.endsWith("\\n")) s.write("quit"); }).on("end", () => console.log(t));`;
  assert.is(await script(smtp), "220 10.77.0.2\nbye quit\n");
  // Binary, in bulk, and half-closed: the echo comes after our FIN.
  const bulk = `const b = Buffer.alloc(3e6, 0x16); const s = require("net").connect({ port: 7, host: "10.77.0.3", allowHalfOpen: true });
    let n = 0; s.on("data", (d) => { n += d.length; }).on("end", () => console.log(n)); s.end(b);`;
  assert.is(await script(bulk), "3000000\n");
  // Begins like HTTP and is not; and says nothing at all.
  const early = (
    bytes: string,
  ) => `const s = require("net").connect({ port: 7, host: "10.77.0.3", allowHalfOpen: true });
    let t = ""; s.on("data", (d) => { t += d; }).on("end", () => console.log("got " + t)); s.write("${bytes}"); setTimeout(() => s.end("x"), 400);`;
  assert.is(await script(early("GE")), "got GEx\n");
  assert.is(await script(early("GETTER")), "got GETTERx\n");
  assert.is(await script(early("")), "got x\n");
  // A body in chunks, and two requests on one connection.
  const http = `const http = require("http"); const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (method) => new Promise((done) => { const q = http.request({ agent, method, headers: { "transfer-encoding": "chunked" }, host: "10.77.0.3", port: 5000 }, (r) => {
      let t = ""; r.on("data", (d) => { t += d; }).on("end", () => done(r.statusCode + " " + q.reusedSocket + " " + t.trim())); });
      q.write("a".repeat(1e5)); q.end("b"); });
    ask("POST").then((a) => ask("GET").then((b) => { console.log(a + "\\n" + b); agent.destroy(); }));`;
  const hello = "Hello version: v1, instance: helloworld-v1";
  assert.is(await script(http), `200 false ${hello}\n200 true ${hello}\n`);

  // Straight to the proxy: with NAT rules the kernel says that it was going there, and that is a loop.
  assert.is(log(), "");
  assert.is((await call("http://127.0.0.1:15001/")).error, "ECONNRESET");
  await until("the proxy says why", () => log().endsWith("\n"));
  assert.match(
    log(),
    /^shunt-demo-proxy: 127\.0\.0\.1:\d+: refused: its original destination 127\.0\.0\.1:15001 is the proxy itself\n$/,
  );
  await rules(client, ["-F OUTPUT"]);
});

test("a connection whose original destination is unknown is reset and logged", async () => {
  const lab = await testLab();
  const pod = await lab.pod({ namespace: "test", name: "bare", uid: "0000-2", address: "10.77.0.2" });
  const proxy = pod.spawn(roleArgv("proxy", []), sidecar);
  let log = "";
  proxy.stderr?.on("data", (text: Buffer) => {
    log += text;
  });
  assert.is(await firstLine(proxy), "shunt-demo-proxy listens on 127.0.0.1:15001");
  const outcome = await pod.exec(roleArgv("call", ["http://127.0.0.1:15001/"]), app);
  assert.is((JSON.parse(outcome.stdout) as NoAnswer).error, "ECONNRESET");
  await until("the proxy says why", () => log.endsWith("\n"));
  assert.match(log, /refused: no original destination: .*ENOENT|refused: its original destination/);
});

test("inbound: goes on to the application of the same pod from 127.0.0.6, and is not captured again", async () => {
  const lab = await testLab();
  const [from, to] = await Promise.all([
    lab.pod({ namespace: "test", name: "from", uid: "0000-2", address: "10.77.0.2" }),
    lab.pod({ namespace: "test", name: "to", uid: "0000-3", address: "10.77.0.3" }),
  ]);
  const proxy = to.spawn(roleArgv("proxy", ["--name", "to", "--inbound", "0.0.0.0:15006"]), sidecar);
  const workload = to.spawn(roleArgv("workload", ["--version", "v3"]), app);
  const [line] = await Promise.all([firstLine(proxy), firstLine(workload)]);
  assert.is(line, "shunt-demo-proxy listens on 127.0.0.1:15001, 0.0.0.0:15006");
  await rules(to, [
    "-A PREROUTING -p tcp -j REDIRECT --to-ports 15006",
    "-A OUTPUT -o lo -s 127.0.0.6/32 -j RETURN",
    "-A OUTPUT -o lo -m owner --uid-owner 1337 -p tcp -j REDIRECT --to-ports 15006",
  ]);
  const outcome = await from.exec(roleArgv("call", ["http://10.77.0.3:5000/peer"]), app);
  const answer = JSON.parse(outcome.stdout) as Answer;
  assert.is(answer.server, "shunt-demo-proxy");
  assert.is(answer.originalDestination, "10.77.0.3:5000");
  assert.is(answer.peer, answer.local);
  assert.is(answer.via, "1.1 to", "the name that tells it from another on the way");
  assert.match(answer.body, /"peer":"127\.0\.0\.6:\d+","local":"10\.77\.0\.3:5000"/);
});

test("call: no answer is told, not thrown; a role refuses wrong arguments", async () => {
  const lab = await testLab();
  const pod = await lab.pod({ namespace: "test", name: "alone", uid: "0000-2", address: "10.77.0.2" });
  const mute = `require("net").createServer(() => {}).listen(80, () => console.log("ready"))`;
  await firstLine(pod.spawn([process.execPath, "-e", mute], { container: "app" }));
  const call = async (...args: string[]) => (await pod.exec(roleArgv("call", args), app)).stdout;
  assert.match(await call("http://10.77.0.2:81/"), /^\{"error":"ECONNREFUSED","ms":[\d.]+\}\n$/);
  assert.match(await call("--timeout", "300", "http://10.77.0.2/"), /^\{"error":"ETIMEDOUT","ms":[\d.]+\}\n$/);
  for (const args of [[], ["nonsense"], ["--what"], ["https://10.77.0.2/"]]) {
    const outcome = await pod.exec(roleArgv("call", args), app);
    assert.is(outcome.status, 1, args.join(" "));
    assert.match(outcome.stderr, /^call: /);
  }
  const proxy = await pod.exec(roleArgv("proxy", ["--service", "10.0.0.1=10.0.0.2:1"]), sidecar);
  assert.match(proxy.stderr, /^proxy: not an address and a port: 10\.0\.0\.1$/m);
});

test.run();
