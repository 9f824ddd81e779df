/** From a redirect in the kernel to a query of a real Prometheus. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command, firstLine } from "../../src/demo/process.js";
import { diff } from "../../src/maps/diff.js";
import { agentView } from "../../src/metrics/view.js";
import type { PodStatus } from "../../src/model/status.js";
import { serveHttp } from "../../src/web/http.js";
import { agentRoutes } from "../../src/web/routes.js";
import { openBed, script } from "../kernel/bed.js";
import { startClient } from "../kernel/client.js";
import { policy } from "../samples.js";
import { metricsOf, pod as podStatus, status } from "./kit.js";
import { type Series, startPrometheus } from "./prometheus.js";

/** What to undo, last first, whatever fails. */
const undo: (() => Promise<void>)[] = [];

test("redirects that the kernel made are what Prometheus shows, also after the pod is gone", async () => {
  const bed = await openBed("metrics");
  undo.push(() => bed.close());
  const pod = await bed.lab.pod({ namespace: "test", name: "web-0", uid: "aa-0", address: "10.88.0.2" });
  const ids = { uid: 1337, gid: 1337 };
  const proxy = pod.spawn(script("originServer.ts", "proxy", "127.0.0.1:15001"), { container: "istio-proxy", ...ids });
  const [client] = await Promise.all([startClient(pod), firstLine(proxy)]);
  const excluded = { direction: "outbound", port: 9, action: "bypass", reason: "excluded-port" } as const;
  await bed.enrol([[pod, policy(1n, { ports: [excluded] })]]);

  let pods: PodStatus[] = [podStatus("web-0", pod.cgroupId, { namespace: "test" })];
  const view = agentView({
    datapath: bed.datapath,
    contract: bed.contract,
    status: () => {
      const programs = bed.datapath.programs().map(({ name, id, tag }) => ({ name, id, tag }));
      return status({ pods, maps: bed.store.fill(), policies: bed.store.have.policies.size, programs });
    },
  });
  const metrics = metricsOf({ view: () => view });
  const server = await serveHttp({
    host: "127.0.0.1",
    port: 0,
    routes: agentRoutes({ metrics, status: view.status }),
    onError(path, error) {
      throw new Error(`${path}: ${error.message}`);
    },
  });
  undo.push(() => server.close());

  const redirected = await client.ask({
    count: 12,
    parallel: 3,
    hosts: ["203.0.113.9", "10.96.0.1"],
    ports: [80, 443],
  });
  for (const { asked, local, said } of redirected) assert.is(said, `proxy ${asked} ${local}`);
  // Nobody listens there: they are let pass, and refused.
  await client.ask({ count: 2, parallel: 1, hosts: ["10.88.0.2"], ports: [9] });

  const text = await (await fetch(`http://${server.address}/metrics`)).text();
  assert.is(await command(["promtool", "check", "metrics"], text), "");

  const prometheus = await startPrometheus(server.address);
  undo.push(() => prometheus.close());
  await prometheus.until('sum(shunt_connections_total{verdict="redirect"})', ([found]) => found?.value === 12);
  const decisions = await prometheus.until("shunt_connections_total", (found) => found.length > 0);
  assert.equal(
    decisions
      .map(({ labels: { __name__, ...labels }, value }) => ({ ...labels, value }))
      .sort((a, b) => b.value - a.value),
    [
      {
        namespace: "test",
        pod: "web-0",
        direction: "outbound",
        verdict: "redirect",
        reason: "included-all",
        value: 12,
      },
      { namespace: "test", pod: "web-0", direction: "outbound", verdict: "bypass", reason: "excluded-port", value: 2 },
    ],
  );
  /** A scrape that was late leaves a gap, which the next one ends. */
  const one = async (expression: string): Promise<number | undefined> =>
    (await prometheus.until(expression, (found) => found.length > 0))[0]?.value;
  await prometheus.until("up", ([found]) => found?.value === 1);
  assert.is(await one('shunt_pods{state="enrolled"}'), 1);
  assert.is(await one("count(shunt_program_info)"), bed.datapath.programs().length);
  assert.is(await one('shunt_map_entries{map="pods"}'), 1);
  assert.is(await one('shunt_map_capacity{map="pods"}'), bed.datapath.maps.pods.info.maxEntries);
  assert.is(await one("sum(shunt_collector_errors_total)"), 0);
  assert.is(
    await one("count(shunt_faults_total)"),
    bed.contract.counters.length - 3,
    "three have metrics of their own",
  );

  // More of them show as they come.
  await client.ask({ count: 30, parallel: 10, hosts: ["203.0.113.9"], ports: [80] });
  await prometheus.until('shunt_connections_total{pod="web-0",verdict="redirect"}', ([found]) => found?.value === 42);
  await prometheus.until("sum(rate(shunt_connections_total[1m]))", ([found]) => Number(found?.value) > 0);

  // The pod goes: source, then the kernel's counts.
  const counts = bed.verdicts(pod);
  pods = [];
  await bed.store.apply(diff(bed.store.have, { pods: new Map(), policies: new Map() }));
  assert.equal(bed.verdicts(pod), []);
  for (const count of counts) metrics.onCountsGone(count);
  const either = "shunt_connections_total or shunt_node_connections_total";
  const ofNode = ({ labels }: Series): boolean => labels["__name__"] === "shunt_node_connections_total";
  await prometheus.until(either, (found) => found.length > 0 && found.every(ofNode));
  assert.is(await one("sum(shunt_node_connections_total)"), 44);
  assert.is(await one('shunt_node_connections_total{reason="included-all"}'), 42);
  // That the pod went is neither a burst nor a restart.
  assert.is(await one("max_over_time(sum(shunt_node_connections_total)[1m:1s])"), 44);
  assert.is(await one("sum(resets(shunt_node_connections_total[1m]))"), 0);
});

test.after(async () => {
  const errors: Error[] = [];
  for (const step of undo.splice(0).toReversed()) await step().catch((error: Error) => errors.push(error));
  if (errors.length > 0) throw errors[0];
});

test.run();
