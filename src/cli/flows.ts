/** `shunt flows`: decisions as they happen. */
import { UsageError } from "../errors.js";
import type { Status } from "../model/status.js";
import { verdicts } from "../model/verdict.js";
import { askAgent, defaultControl, openFlows } from "../web/controlClient.js";
import type { FlowLine, LostLine } from "../web/controlFlows.js";
import { nearNames } from "./names.js";
import { parseOptions } from "./options.js";
import { row } from "./table.js";

export const flowsHelp = `Usage: shunt flows [--follow] [--all] [--pod NS/NAME] [--verdict V] [--count N] [--json] [--control P]

Prints the decisions of the running agent's programs as they fall: one for each connect() of a pod. Without
--follow and --count it ends after a second. The programs tell one decision of 16; --all makes them tell every
one while this command runs. No connection waits for it: what a slow terminal or pipe cannot take is lost, and
counted. Ctrl-C ends it with exit code 0; if the agent ends first, the exit code is 1.

  --follow      until Ctrl-C
  --all         every decision, not a sample
  --pod P       of this pod alone: NAMESPACE/NAME
  --verdict V   ${verdicts.join(", ")}
  --count N     until N were printed, however long that takes
  --json        one JSON object a line; {"lost":N} tells how many are missing at that place
  --control P   the agent's control socket (default: ${defaultControl})
`;

const options = {
  follow: { type: "boolean", default: false },
  all: { type: "boolean", default: false },
  pod: { type: "string" },
  verdict: { type: "string" },
  count: { type: "string" },
  json: { type: "boolean", default: false },
  control: { type: "string", default: defaultControl },
} as const;

/** ms to listen where nobody says how long. */
const glimpse = 1000;

export interface FlowsOutput {
  print(text: string): void;
  /** What is no flow: to stderr, so that a pipe gets flows alone. */
  note(text: string): void;
}

/** Columns from the start as wide as most of their cells, since nobody knows what is to come. */
function startWidths(): number[] {
  return [12, 20, 8, 21, 21, 16, 14];
}

const head = ["time", "pod", "direction", "source", "destination", "verdict", "reason", "process (pid, uid)"];

function cells(flow: FlowLine): string[] {
  const port = flow.to === null ? "" : ` → ${flow.to.slice(flow.to.lastIndexOf(":") + 1)}`;
  return [
    flow.time.slice(11, 23),
    flow.pod,
    flow.direction,
    flow.source ?? "",
    flow.destination ?? "",
    `${flow.verdict}${port}`,
    flow.reason,
    `${flow.process} (${flow.pid}, ${flow.uid})`,
  ];
}

function lostText({ lost, where }: LostLine): string {
  const why = where === "client" ? "this command did not keep up" : "the agent did not keep up";
  return `(${lost} decisions are missing here: ${why})`;
}

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`shunt flows: --count ${text} is not a number from 1 on`);
}

/** A name that is mistyped would show nothing, as if nothing happened. With --follow the pod may be yet to come. */
async function checkPod(control: string, pod: string, follow: boolean, note: (text: string) => void): Promise<void> {
  const asked = await askAgent(control, "/status");
  if (!asked.agent) return;
  const { pods } = asked.body as Status;
  const enrolled = pods.filter((each) => each.state === "enrolled").map((each) => `${each.namespace}/${each.name}`);
  if (enrolled.includes(pod)) return;
  const known = pods.find((each) => `${each.namespace}/${each.name}` === pod);
  const why =
    known === undefined
      ? `the agent knows no pod ${pod}; ${nearNames(pod, enrolled)}`
      : `${pod} is ${known.state}: ${known.why}`;
  if (!follow) throw new UsageError(`shunt flows: ${why}`);
  note(`${why}; waiting for it`);
}

/** Ends with SIGINT, SIGTERM, the reader of our output, or `outer`. @returns what to undo. */
function endWith(abort: AbortController, outer: AbortSignal | undefined): () => void {
  const end = (): void => abort.abort();
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== "EPIPE") throw error;
    end(); // shunt flows | head
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, end);
  process.stdout.on("error", onError);
  outer?.addEventListener("abort", end, { once: true });
  if (outer?.aborted === true) end();
  return () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, end);
    process.stdout.off("error", onError);
    outer?.removeEventListener("abort", end);
  };
}

/** @param signal stands for Ctrl-C. @returns the exit code. */
export async function flows(args: readonly string[], output: FlowsOutput, signal?: AbortSignal): Promise<number> {
  const values = parseOptions("flows", args, options);
  const { control, follow, json, all, pod, verdict } = values;
  const { print, note } = output;
  const count = parseCount(values.count);
  if (verdict !== undefined && !verdicts.some((known) => known === verdict))
    throw new UsageError(`shunt flows: --verdict ${verdict}: it is ${verdicts.join(", ")}`);
  if (pod !== undefined) await checkPod(control, pod, follow, note);

  const query = new URLSearchParams({
    ...(all ? { all: "1" } : {}),
    ...(pod === undefined ? {} : { pod }),
    ...(verdict === undefined ? {} : { verdict }),
  });
  const abort = new AbortController();
  const undo = endWith(abort, signal);
  let timer: NodeJS.Timeout | undefined;
  try {
    const stream = await openFlows(control, query, abort.signal);
    if (!stream.agent) {
      note(`no agent answers (${stream.why}): the decisions come from an agent that runs`);
      return 1;
    }
    if (!follow && count === undefined) timer = setTimeout(() => abort.abort(), glimpse);
    const widths = startWidths();
    let shown = 0;
    if (!json) print(row(head, widths));
    for await (const line of stream.lines) {
      const said = JSON.parse(line) as FlowLine | LostLine;
      if (json) print(line);
      else if ("lost" in said) note(lostText(said));
      else print(row(cells(said), widths));
      if (!("lost" in said) && ++shown === count) return 0;
    }
    if (!abort.signal.aborted) {
      note("the agent ended");
      return 1;
    }
    if (shown === 0 && !json) note(`nothing came${all ? "" : "; one decision of 16 is told, --all tells every one"}`);
    return 0;
  } catch (error) {
    if (abort.signal.aborted) return 0;
    throw error;
  } finally {
    clearTimeout(timer);
    abort.abort();
    undo();
  }
}
