/** `npm run bench`: the numbers of the README. */
import { benchAgent } from "./agent.js";
import { benchConnect } from "./connect.js";
import { benchDns } from "./dns.js";
import { benchMetrics } from "./metrics.js";

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

await benchConnect(print);
await benchDns(print);
await benchAgent(print);
await benchMetrics(print);
