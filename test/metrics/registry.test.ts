/** `/metrics` from plain data. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command } from "../../src/demo/process.js";
import type { AgentView } from "../../src/metrics/view.js";
import type { Problem } from "../../src/model/problem.js";
import { fastest } from "../fastest.js";
import { count, metricsOf, pod, samples, status, view } from "./kit.js";

const problem = (kind: Problem["kind"]): Problem => ({ kind, where: "", pod: "", key: "", value: "", why: "" });

const busy: AgentView = {
  status: () =>
    status({
      pods: [
        pod("web-7d4b9c5f6d-x2k4z", 11n),
        pod('odd"name\\', 12n),
        pod("late", undefined),
        pod("off", undefined, { state: "not-enrolled" }),
      ],
      policies: 2,
      problems: [problem("annotation"), problem("annotation"), problem("kernel")],
      maps: [
        { name: "pods", entries: 2, capacity: 2048 },
        { name: "port_rules", entries: 7, capacity: 131072 },
      ],
      programs: [{ name: "shunt_connect4", id: 42, tag: "f00df00df00df00d" }],
    }),
  verdicts: () => [
    count(11n, 1234567890123n),
    count(11n, 3n, { verdict: "bypass", reason: "excluded-port" }),
    count(12n, 1n, { direction: "inbound", verdict: "deny", reason: "no-listener" }),
    count(99n, 5n),
  ],
  counters: () =>
    new Map([
      ["flow-lost", 1n],
      ["handoff-lost", 2n],
      ["proxy-narrow", 5n],
      ["source-unbound", 3n],
      ["policy-missing", 0n],
    ]),
};

/** Without what differs from run to run. */
const stable = (text: string): string =>
  text
    .split("\n\n")
    .filter((block) => !/^# HELP (process|nodejs)_/.test(block))
    .join("\n\n");

async function promtool(text: string): Promise<string> {
  return command(["promtool", "check", "metrics"], text);
}

test("the whole text, as it was agreed", async () => {
  const metrics = metricsOf({ view: () => busy });
  for (const seconds of [0.0004, 0.003, 0.003, 7]) metrics.observe.reconciled(seconds);
  metrics.observe.visible(0.012);
  const text = await metrics.scrape();
  assert.fixture(stable(text), readFileSync(new URL("data/metrics.txt", import.meta.url), "utf8"));
  assert.is(metrics.contentType, "text/plain; version=0.0.4; charset=utf-8");
});

test("promtool has nothing to say: busy, idle, and while the agent starts", async () => {
  for (const each of [busy, view(), undefined]) {
    const metrics = metricsOf({ view: () => each });
    assert.is(await promtool(await metrics.scrape()), "");
  }
});

test("promtool would have something to say", async () => {
  const why = await promtool("# TYPE shunt_pods_total gauge\nshunt_pods_total 1\n").catch((error: Error) => error);
  assert.match(`${why}`, /shunt_pods_total no help text/);
});

test("what the process uses is there, and plausible", async () => {
  const text = await metricsOf({}).scrape();
  const value = (name: string): number => Number(samples(text, name)[0]);
  assert.ok(value("process_resident_memory_bytes") > 10e6);
  assert.ok(value("nodejs_heap_size_used_bytes") < value("process_resident_memory_bytes"));
  assert.ok(value("process_open_fds") > 2);
  assert.ok(value("process_cpu_seconds_total") > 0.01);
  assert.ok(Math.abs(value("process_start_time_seconds") - Date.now() / 1e3) < 300);
  assert.ok(value("nodejs_eventloop_active_seconds_total") > 0);
});

const broken = (): never => {
  throw new Error("E2BIG");
};
const failures: readonly [string, Partial<AgentView>, readonly string[], readonly string[]][] = [
  [
    "the map of verdicts",
    { verdicts: broken },
    ["connections"],
    ["shunt_connections_total", "shunt_node_connections_total"],
  ],
  [
    "the map of counters",
    { counters: broken },
    ["faults"],
    ["shunt_flows_lost_total", "shunt_handoff_lost_total", "shunt_narrow_redirects_total", "shunt_faults_total"],
  ],
  ["a counter that the programs do not have", { counters: () => new Map() }, ["faults"], ["shunt_flows_lost_total"]],
  [
    "the agent's status",
    { status: broken },
    ["connections", "pods", "maps", "problems", "source", "programs"],
    ["shunt_connections_total", "shunt_pods", "shunt_policies", "shunt_map_entries", "shunt_source_synced"],
  ],
];
for (const [what, change, collectors, missing] of failures) {
  test(`${what} cannot be read: only its metrics are missing, and it is counted and reported`, async () => {
    let current: AgentView = busy;
    const reported: string[] = [];
    const metrics = metricsOf({
      view: () => current,
      onError: (collector, { message }) => reported.push(`${collector}: ${message}`),
    });
    const names = (text: string): string[] => [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");
    const errors = (text: string): string[] =>
      samples(text, "shunt_collector_errors_total").filter((line) => !line.endsWith(" 0"));
    const whole = await metrics.scrape();
    assert.equal(errors(whole), []);

    current = { ...busy, ...change };
    await metrics.scrape();
    const text = await metrics.scrape();
    for (const name of missing) assert.not.ok(names(text).includes(name), name);
    assert.equal(
      errors(text),
      collectors.map((name) => `{collector="${name}"} 2`),
    );
    assert.is(reported.length, collectors.length, "the second failure of the same kind is not logged again");
    assert.ok(names(text).includes("shunt_reconcile_duration_seconds"));
    assert.is(await promtool(text), "");

    current = busy;
    const mended = await metrics.scrape();
    assert.equal(names(mended), names(whole));
    for (const name of ["shunt_connections_total", "shunt_node_connections_total"])
      assert.equal(samples(mended, name), samples(whole, name));
    current = { ...busy, ...change };
    await metrics.scrape();
    assert.is(reported.length, 2 * collectors.length, "a new failure after it was well is logged");
  });
}

test("each thing is read once a scrape, however many collectors ask", async () => {
  const calls = { status: 0, verdicts: 0, counters: 0 };
  const counting = Object.fromEntries(
    (["status", "verdicts", "counters"] as const).map((name) => [
      name,
      () => {
        calls[name]++;
        return busy[name]();
      },
    ]),
  ) as unknown as AgentView;
  await metricsOf({ view: () => counting }).scrape();
  assert.equal(calls, { status: 1, verdicts: 1, counters: 1 });
});

test("scrapes at the same time each see one moment", async () => {
  let moment = 0n;
  const metrics = metricsOf({
    view: () =>
      view({
        status: () => status({ pods: [pod("a", 1n), pod("b", 2n)] }),
        verdicts: () => [count(1n, ++moment), count(2n, moment)],
      }),
  });
  const texts = await Promise.all(Array.from({ length: 20 }, () => metrics.scrape()));
  const values = texts.map((text) => samples(text, "shunt_connections_total").map((line) => line.split(" ")[1]));
  assert.equal(
    values,
    Array.from({ length: 20 }, (_, i) => [`${i + 1}`, `${i + 1}`]),
  );
});

test("before its first pass the agent knows no names: counts wait, and have no series", async () => {
  let ready = false;
  const metrics = metricsOf({
    view: () =>
      view({ status: () => status({ ready, pods: ready ? [pod("a", 1n)] : [] }), verdicts: () => [count(1n, 9n)] }),
  });
  assert.equal(samples(await metrics.scrape(), "shunt_connections_total"), []);
  ready = true;
  const decision = 'direction="outbound",verdict="redirect",reason="included-all"';
  assert.equal(samples(await metrics.scrape(), "shunt_connections_total"), [
    `{namespace="shop",pod="a",${decision}} 9`,
  ]);
});

test("250 pods with five series each take less than 30 ms", async () => {
  const decisions = ["included-all", "excluded-port", "loopback", "tunnel-port", "local-address"] as const;
  const pods = Array.from({ length: 250 }, (_, i) => pod(`web-${i}`, BigInt(i + 1)));
  const counts = pods.flatMap(({ cgroupId }) => decisions.map((reason) => count(BigInt(cgroupId), 1n, { reason })));
  const metrics = metricsOf({ view: () => view({ status: () => status({ pods }), verdicts: () => counts }) });
  const best = await fastest(30, () => metrics.scrape());
  assert.ok(best < 30, `${best} ms`);
});

test.run();
