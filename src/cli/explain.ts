/** `shunt explain`: what becomes of one socket of one pod, and why. */

import { policyOptions } from "../policy/config.js";
import type { Explanation } from "../policy/explain.js";
import type { Question } from "../policy/question.js";
import { defaultControl } from "../web/controlClient.js";
import { readConfigFile } from "./config.js";
import { explainLive } from "./explainLive.js";
import { explainManifests } from "./explainManifests.js";
import { askedOf, describeQuestion, parseQuestion, questionFlags, wrong } from "./explainQuestion.js";
import { choose, defaultBpffs, parseOptions } from "./options.js";
import { policyFlags, policyFlagsHelp, readPolicyFlags } from "./policyFlags.js";
import { plain, table } from "./table.js";

export const explainHelp = `Usage: shunt explain --pod NS/NAME (--to IP:PORT [--udp] [--as app|proxy] [--from IP] | --inbound PORT)
                     (--manifests DIR | --live) [--interface NAME] [--json]

Tells what becomes of one connection of a pod (redirect to the proxy, bypass, deny), the rule that decided, as
it is written, and everything that was considered before it.

  shunt explain --pod demo/client --to 10.96.10.10:5000 --manifests pods/
  shunt explain --pod demo/client --inbound 8080 --live

  --pod P         NAMESPACE/NAME, or the pod's uid
  --to IP:PORT    a connection that the pod opens; [fd00::1]:443 for IPv6
  --udp           over UDP instead of TCP
  --as WHO        who opens it: app (default) or proxy, which runs in the proxy's container
  --uid N         the caller's user, and
  --gid N         its group, as the pod sees them (default: of app two that are not the proxy's, of proxy the proxy's)
  --from IP       the address that the socket is bound to, if any
  --inbound PORT  a connection to this port of the pod, from outside it
  --ipv6          with --inbound: over IPv6
  --interface N   where the pod excludes interfaces: by which one it leaves or arrives (default: by another one).
                  With --live and --to the pod's own routes tell it
  --manifests DIR what the pods in these files are to have; needs no agent and no root
  --live          what the kernel has now, read from its maps; the agent tells the pod's cgroup and whose
                  words the rule is. If no agent answers, the maps know pods by uid alone: give --pod UID, or
                  --manifests DIR to look it up
  --control P     the agent's control socket, for --live (default: ${defaultControl})
  --bpffs P       where the maps are pinned, for --live (default: as the agent says, else ${defaultBpffs})
  --json          one JSON object

A redirect over IPv4 goes to 127.0.0.1, or to one of 127.65.0.1 to .7 where the proxy listens on every address: --live
looks, and says which ("alsoTo" in the JSON).

The flags of "shunt run" that say what is captured where a pod does not say it count for --manifests:

  --dns WHICH, --proxy-identity I
                     as "shunt run" has them
${policyFlagsHelp}
A pod that is not captured has the verdict bypass, with the reason mode-none (interceptionMode NONE),
foreign-netns (the host's network) or unknown-pod (everything else); the rule says why.
A pod that the agent has not heard of has a cgroup and no name: --live --pod UID tells whether it is let pass or denied.
`;

const options = {
  pod: { type: "string" },
  ...questionFlags,
  ...policyFlags,
  dns: { type: "string", default: "all" },
  "proxy-identity": { type: "string", default: "uid" },
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
  /** The rule as the kernel's maps have it, where the explanation has it in the words of who wrote it. */
  readonly kernel?: string;
  /** Where else the kernel may redirect it to, at random; not known without a look at the proxy's listener. */
  readonly alsoTo?: readonly string[];
}

function describeOthers(alsoTo: readonly string[]): string {
  return alsoTo.length === 0 ? "" : `, or ${alsoTo[0]} to ${alsoTo.at(-1)}: its proxy listens on every address`;
}

function show(answer: Answer, notes: readonly string[], question: Question): string {
  const { verdict, to, reason, rule, source, policy, considered } = answer.explanation;
  const { alsoTo = [], kernel } = answer;
  const facts = [
    ["pod", answer.pod],
    ["asked", describeQuestion(question)],
    ["verdict", to === null ? verdict : `${verdict} to ${to}${describeOthers(alsoTo)}`],
    ["reason", reason],
    ["rule", rule],
    ["source", source],
    ...(kernel === undefined ? [] : [["kernel", kernel]]),
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
  const policy = {
    ...policyOptions(readPolicyFlags("explain", values), readConfigFile("explain", values.config)),
    dns: choose("explain", "dns", values.dns, ["all", "resolv-conf"]),
    proxyIdentity: choose("explain", "proxy-identity", values["proxy-identity"], ["uid", "cgroup"]),
  };
  if (!live && manifests === undefined) throw wrong("it takes --manifests DIR or --live");
  const answer =
    live || manifests === undefined
      ? await explainLive({ wanted: pod, control, bpffs, manifests, asked: askedOf(values) }, question)
      : explainManifests(manifests, pod, question, policy);
  const { assumed, ...explanation } = answer.explanation;
  const notes = [
    ...assumed,
    ...answer.notes,
    ...(answer.attached ? [] : ["no program is attached: nothing is steered"]),
  ];
  const { problems, alsoTo, kernel } = answer;
  const others = { ...(alsoTo && { alsoTo }), ...(kernel === undefined ? {} : { kernel }) };
  const asked = describeQuestion(question);
  if (json) print(JSON.stringify({ ...explanation, ...others, pod: answer.pod, live, asked, problems, notes }));
  else print(show(answer, notes, question));
  return 0;
}
