/** `shunt explain`: what becomes of one socket of one pod, and why. */

import { UsageError } from "../errors.js";
import { type Address, formatAddress, parseAddress } from "../model/address.js";
import { parseEndpoint } from "../model/endpoint.js";
import { podName } from "../model/pod.js";
import { describeProblem } from "../model/problem.js";
import { policyOptions } from "../policy/config.js";
import { type Explanation, explain as explainPod, type Question } from "../policy/explain.js";
import type { PolicyOptions } from "../policy/podPolicy.js";
import { parsePort } from "../policy/values.js";
import { defaultControl } from "../web/controlClient.js";
import { readConfigFile } from "./config.js";
import { explainLive, readManifestPod } from "./explainLive.js";
import { defaultBpffs, parseOptions } from "./options.js";
import { policyFlags, policyFlagsHelp, readPolicyFlags } from "./policyFlags.js";
import { plain, table } from "./table.js";

export const explainHelp = `Usage: shunt explain --pod NS/NAME (--to IP:PORT [--udp] [--as app|proxy] [--from IP] | --inbound PORT)
                     (--manifests DIR | --live) [--json]

Tells what becomes of one connection of a pod (redirect to the proxy, bypass, deny), the rule that decided, as
it is written, and everything that was considered before it.

  shunt explain --pod demo/client --to 10.96.10.10:5000 --manifests pods/
  shunt explain --pod demo/client --inbound 8080 --live

  --pod P         NAMESPACE/NAME, or the pod's uid
  --to IP:PORT    a connection that the pod opens; [fd00::1]:443 for IPv6
  --udp           over UDP instead of TCP
  --as WHO        who opens it: app (default) or proxy
  --from IP       the address that the socket is bound to, if any
  --inbound PORT  a connection to this port of the pod, from outside it
  --ipv6          with --inbound: over IPv6
  --manifests DIR what the pods in these files are to have; needs no agent and no root
  --live          what the kernel has now, read from its maps; the agent tells the pod's cgroup. If no agent
                  answers, the maps know pods by uid alone: give --pod UID, or --manifests DIR to look it up
  --control P     the agent's control socket, for --live (default: ${defaultControl})
  --bpffs P       where the maps are pinned, for --live (default: as the agent says, else ${defaultBpffs})
  --json          one JSON object

The flags of "shunt run" that say what is captured where a pod does not say it count for --manifests:

${policyFlagsHelp}
A pod that is not captured has the verdict bypass, with the reason mode-none (interceptionMode NONE),
foreign-netns (the host's network) or unknown-pod (everything else); the rule says why.
`;

const options = {
  pod: { type: "string" },
  to: { type: "string" },
  udp: { type: "boolean", default: false },
  as: { type: "string" },
  from: { type: "string" },
  ...policyFlags,
  inbound: { type: "string" },
  ipv6: { type: "boolean", default: false },
  manifests: { type: "string" },
  live: { type: "boolean", default: false },
  control: { type: "string", default: defaultControl },
  bpffs: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** What is known of a pod, and what came of the question. */
export interface Answer {
  /** `namespace/name`, or the uid where nobody knows a name. */
  readonly pod: string;
  readonly explanation: Explanation;
  /** One line each. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  /** Whether programs steer this pod, or would. */
  readonly attached: boolean;
}

function wrong(why: string): UsageError {
  return new UsageError(`shunt explain: ${why}. See "shunt explain --help".`);
}

function destination(text: string): { destination: Address; port: number } {
  try {
    const { address, port } = parseEndpoint(text);
    const parsed = parseAddress(address);
    if (parsed !== undefined) return { destination: parsed, port };
  } catch {
    // Said below.
  }
  const hint = /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:\d+$/.test(text) ? ": put the IPv6 address in brackets" : "";
  throw wrong(`--to ${text} is not an address and a port, such as 10.0.0.1:443 or [fd00::1]:443${hint}`);
}

interface Asked {
  readonly to?: string | undefined;
  readonly inbound?: string | undefined;
  readonly ipv6?: boolean;
  readonly udp: boolean;
  readonly as?: string | undefined;
  readonly from?: string | undefined;
}

/** @throws UsageError */
export function parseQuestion({ to, inbound, ipv6 = false, udp, as, from }: Asked): Question {
  if ((to === undefined) === (inbound === undefined)) throw wrong("it takes either --to IP:PORT or --inbound PORT");
  if (inbound !== undefined) {
    if (udp || as !== undefined || from !== undefined) throw wrong("--udp, --as and --from belong to --to");
    const port = parsePort(inbound);
    if ("why" in port) throw wrong(`--inbound ${inbound}: ${port.why}`);
    return { direction: "inbound", port: port.value, family: ipv6 ? 6 : 4 };
  }
  if (ipv6) throw wrong("--ipv6 belongs to --inbound; --to says it by its address");
  if (as !== undefined && as !== "app" && as !== "proxy") throw wrong(`--as ${as}: it is app or proxy`);
  const source = from === undefined ? undefined : parseAddress(from);
  if (from !== undefined && source === undefined) throw wrong(`--from ${from} is not an IP address`);
  const protocol = udp ? "udp" : "tcp";
  return { direction: "outbound", protocol, ...destination(to ?? ""), as: as ?? "app", source };
}

/** By what the pod's document says. Neither the kernel nor an agent is asked. */
function explainOffline(directory: string, wanted: string, question: Question, options: PolicyOptions): Answer {
  const { pod, context, problems: documents, notes } = readManifestPod(directory, wanted);
  const localAddresses = pod.addresses.flatMap((text) => parseAddress(text) ?? []);
  const { problems, ...explanation } = explainPod(pod, { ...options, ...context }, localAddresses, question);
  const bad = [...documents, ...problems].map(describeProblem);
  const isPods = [...documents, ...problems].some(({ kind }) => kind !== "sidecar");
  return {
    pod: podName(pod),
    explanation,
    problems: bad,
    notes: [
      ...notes,
      ...(!isPods
        ? []
        : ["a bad value counts as absent here; a pod that has a policy in the kernel keeps it: see --live"]),
      ...(localAddresses.length === 0 ? ["status.podIPs names no address: the pod's own are not known here"] : []),
    ],
    attached: true,
  };
}

function asked(question: Question): string {
  if (question.direction === "inbound") return `inbound, port ${question.port}${question.family === 6 ? ", IPv6" : ""}`;
  const { destination: address, port, protocol, as, source } = question;
  const text = formatAddress(address);
  const to = `${address.family === 6 ? `[${text}]` : text}:${port}`;
  return `${as === "app" ? "the application" : "the proxy"} to ${to}, ${protocol}${source === undefined ? "" : `, from ${formatAddress(source)}`}`;
}

function show(answer: Answer, notes: readonly string[], question: Question): string {
  const { verdict, to, reason, rule, source, policy, considered } = answer.explanation;
  const facts = [
    ["pod", answer.pod],
    ["asked", asked(question)],
    ["verdict", to === null ? verdict : `${verdict} to ${to}`],
    ["reason", reason],
    ["rule", rule],
    ["source", source],
    ...(policy === "" ? [] : [["policy", policy]]),
    ...answer.problems.map((problem) => ["problem", problem]),
    ...notes.map((note) => ["note", note]),
  ];
  const steps = considered.map((step, i) => [`${i + 1}`, step.rule, step.outcome]);
  const lines = facts.map(([name = "", text = ""]) => `${name.padEnd(7)}  ${plain(text)}`).join("\n");
  return steps.length === 0 ? lines : `${lines}\n\n${table([["#", "considered", "matched"], ...steps])}`;
}

/** @returns the exit code. @throws UsageError for a pod that is not there. */
export async function explain(args: readonly string[], print: (text: string) => void): Promise<number> {
  const values = parseOptions("explain", args, options);
  const { pod, manifests, live, control, bpffs, json } = values;
  if (pod === undefined) throw wrong("--pod NAMESPACE/NAME is needed");
  const question = parseQuestion(values);
  const policy = policyOptions(readPolicyFlags("explain", values), readConfigFile("explain", values.config));
  if (!live && manifests === undefined) throw wrong("it takes --manifests DIR or --live");
  const answer =
    live || manifests === undefined
      ? await explainLive({ wanted: pod, control, bpffs, manifests }, question)
      : explainOffline(manifests, pod, question, policy);
  const notes = [...answer.notes, ...(answer.attached ? [] : ["no program is attached: nothing is steered"])];
  const { explanation, problems } = answer;
  if (json) print(JSON.stringify({ ...explanation, pod: answer.pod, live, asked: asked(question), problems, notes }));
  else print(show(answer, notes, question));
  return 0;
}
