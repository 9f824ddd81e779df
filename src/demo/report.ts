/** What the demo prints. Pure. */
import { table } from "../cli/table.js";
import { type Answer, answeredBy, type Call, hops, type Step } from "./steps.js";

/** One line of the table. */
export interface Row {
  readonly change: string;
  /** ms from the manifest's rename to the policy in the kernel; undefined where nothing was edited. */
  readonly latency: number | undefined;
  readonly call: Call;
  readonly answer: Answer | undefined;
  readonly wrong: readonly string[];
}

/** `through client's proxy (it saw 10.96.10.10:5000) and helloworld-v2's (it saw …) to helloworld-v2 (server: …)`. */
function describeWay(answer: Answer): string {
  const way = hops(answer).map(({ pod, saw }, i) => `${pod}'s ${i === 0 ? "proxy " : ""}(it saw ${saw})`);
  const how = way.length === 0 ? "straight" : `through ${way.join(" and ")}`;
  return `${how} to ${answeredBy(answer) || answer.body} (server: ${answer.server})`;
}

/** One line that a person understands. */
export function describeStep(step: Step, rows: readonly Row[]): string {
  const latency = rows[0]?.latency;
  const edited = latency === undefined ? "" : `, in the kernel ${latency.toFixed(1)} ms after the edit`;
  const calls = rows.map(({ call: { to }, answer, wrong }) => {
    const mark = wrong.length === 0 ? "" : `  ✗ ${wrong.join("; ")}`;
    return `${to} went ${answer === undefined ? "nowhere" : describeWay(answer)}${mark}`;
  });
  return `${rows.every((row) => row.wrong.length === 0) ? "✓" : "✗"} ${step.change}${edited}: ${calls.join("; ")}`;
}

export function resultTable(rows: readonly Row[]): string {
  const head = [
    "annotations",
    "call",
    "through the proxies of",
    "answered by",
    "server header",
    "edit → kernel",
    "contract",
  ];
  const lines = rows.map(({ change, call: { to }, answer, latency, wrong }) => {
    const way = answer === undefined ? [] : hops(answer).map(({ pod }) => pod);
    return [
      change,
      to,
      way.join(", ") || "–",
      (answer && answeredBy(answer)) || "–",
      answer?.server ?? "–",
      latency === undefined ? "–" : `${latency.toFixed(1)} ms`,
      wrong.length === 0 ? "ok" : "WRONG",
    ];
  });
  return table([head, ...lines]);
}
