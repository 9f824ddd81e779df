/** What a scrape of a full node costs: 250 pods with five series each. */
import { readFileSync } from "node:fs";
import { artifact } from "../../src/kernel/artifact.js";
import { type NativeMap, native } from "../../src/kernel/native.js";
import { bindContract, type Contract } from "../../src/maps/contract.js";
import { readVerdicts, type VerdictCount } from "../../src/maps/counts.js";
import { openMetrics } from "../../src/metrics/registry.js";
import type { AgentView } from "../../src/metrics/view.js";
import { directions, type Reason, reasons, verdicts } from "../../src/model/verdict.js";
import { serveHttp } from "../../src/web/http.js";
import { agentRoutes } from "../../src/web/routes.js";
import { pod, status, view } from "../metrics/kit.js";
import { median } from "./statistics.js";

const pods = 250;
/** Milliseconds that a scrape may take. */
export const limit = 30;
const warmUp = 10;
const rounds = 51;
const decisions: readonly Reason[] = ["included-all", "excluded-port", "loopback", "tunnel-port", "local-address"];

const ids = Array.from({ length: pods }, (_, i) => 1_000_000n + BigInt(i));

function plainCounts(): VerdictCount[] {
  return ids.flatMap((id) =>
    decisions.map((reason, i): VerdictCount => {
      return { pod: id, direction: "outbound", verdict: i === 0 ? "redirect" : "bypass", reason, count: id };
    }),
  );
}

/** A map of the built object, filled. No program is loaded. */
function fillMap(contract: Contract, object: Uint8Array, name: string): NativeMap {
  const opened = native().openObject(object, name);
  try {
    for (const program of opened.programs()) opened.setAutoload(program.name, false);
    opened.load();
    const map = opened.map("verdicts");
    const counts = plainCounts();
    const keys = counts.map(({ direction, verdict, reason, pod: id }) =>
      contract.verdictKey.encode({
        pod: id,
        direction: directions.indexOf(direction),
        verdict: verdicts.indexOf(verdict),
        reason: reasons.indexOf(reason),
      }),
    );
    map.updateMany(Buffer.concat(keys), new Uint8Array(counts.length * map.info.valueStride).fill(1));
    return map;
  } finally {
    opened.close();
  }
}

interface Times {
  readonly first: number;
  readonly median: number;
  readonly worst: number;
}

/** Milliseconds. `first` is what a new agent's first scrape costs; it and some more warm up and are left out. */
async function time(run: () => Promise<unknown>): Promise<Times> {
  const times: number[] = [];
  for (let round = 0; round < warmUp + rounds; round++) {
    const begin = performance.now();
    await run();
    times.push(performance.now() - begin);
  }
  const [first = 0] = times;
  const warm = times.slice(warmUp);
  return { first, median: median(warm), worst: Math.max(...warm) };
}

async function measure(name: string, agent: AgentView, print: (text: string) => void): Promise<number> {
  const metrics = openMetrics({
    view: () => agent,
    detail: "pod",
    onError: (_, error) => {
      throw error;
    },
  });
  const server = await serveHttp({
    host: "127.0.0.1",
    port: 0,
    routes: agentRoutes({ metrics, status: agent.status }),
    onError: (_, error) => {
      throw error;
    },
  });
  try {
    const bytes = (await (await fetch(`http://${server.address}/metrics`)).text()).length;
    const {
      first,
      median: usual,
      worst,
    } = await time(async () => (await fetch(`http://${server.address}/metrics`)).text());
    const ms = [usual, worst, first].map((each) => each.toFixed(1));
    print(`  ${name}: median ${ms[0]} ms, worst ${ms[1]} ms, cold ${ms[2]} ms, ${Math.round(bytes / 1024)} KiB`);
    return usual;
  } finally {
    await server.close();
  }
}

/** @returns the median time of a scrape over HTTP with the kernel's map, in milliseconds. */
export async function benchMetrics(print: (text: string) => void): Promise<number> {
  print(`/metrics with ${pods} pods, ${decisions.length} series each (at most ${limit} ms):`);
  const states = ids.map((id, i) => pod(`web-${i}`, id));
  const plain = view({ status: () => status({ pods: states }), verdicts: plainCounts });
  await measure("plain data", plain, print);
  const name = artifact("shunt.bpf.o");
  const object = readFileSync(name);
  const contract = bindContract(native().readBtf(object, name));
  const map = fillMap(contract, object, name);
  try {
    const kernel = { ...plain, verdicts: () => readVerdicts(map, contract) };
    return await measure(`per-CPU map of ${native().cpus} CPUs`, kernel, print);
  } finally {
    map.close();
  }
}
