/** `npm run bench`: the numbers of the README. `npm run bench -- inbound bystanders` for some of them. */
import { benchAgent } from "./agent.js";
import { benchBystanders } from "./bystanders.js";
import { benchCluster } from "./cluster.js";
import { benchCompile } from "./compile.js";
import { benchConnect } from "./connect.js";
import { benchDns } from "./dns.js";
import { benchInbound } from "./inbound.js";
import { benchMetrics } from "./metrics.js";
import { benchPods } from "./pods.js";
import { benchRules } from "./rules.js";
import { benchRunTime } from "./runTime.js";

const benches: Readonly<Record<string, (print: (text: string) => void) => Promise<unknown>>> = {
  outbound: benchConnect,
  rules: benchRules,
  inbound: benchInbound,
  dns: benchDns,
  bystanders: benchBystanders,
  "run-time": benchRunTime,
  compile: benchCompile,
  agent: benchAgent,
  cluster: benchCluster,
  pods: benchPods,
  metrics: benchMetrics,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in benches));
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(", ")}; there are ${Object.keys(benches).join(", ")}\n`);
  process.exit(2);
}
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length === 0 || wanted.includes(name)) await bench((text) => process.stdout.write(`${text}\n`));
}
