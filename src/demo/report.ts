/** What the demo prints. Pure. */
import { table } from "../cli/table.js";
import type { Answer, Call, Step } from "./steps.js";

/** One line of the table. */
export interface Row {
  readonly change: string;
  /** ms from the manifest's rename to the policy in the kernel; undefined where nothing was edited. */
  readonly latency: number | undefined;
  readonly call: Call;
  readonly answer: Answer | undefined;
  readonly wrong: readonly string[];
}

/** `through the proxy (it saw 10.96.10.10:5000), answered by helloworld-v2`. */
function describeWay(answer: Answer): string {
  const version = /instance: (\S+)/.exec(answer.body)?.[1] ?? answer.body;
  if (answer.via === "") return `direct, answered by ${version} (server: ${answer.server})`;
  return `through the proxy (which saw ${answer.originalDestination}), answered by ${version} (server: ${answer.server})`;
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
  const head = ["annotations of the client", "call", "way", "proxy saw", "answered by", "edit → kernel", "contract"];
  const lines = rows.map(({ change, call: { to }, answer, latency, wrong }) => [
    change,
    to,
    answer === undefined ? "none" : answer.via === "" ? "direct" : "proxy",
    answer?.originalDestination || "–",
    answer?.server ?? "–",
    latency === undefined ? "–" : `${latency.toFixed(1)} ms`,
    wrong.length === 0 ? "ok" : "WRONG",
  ]);
  return table([head, ...lines]);
}
