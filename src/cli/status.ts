/** `shunt status`: what the agent says of itself; without an agent, what is pinned in the kernel. */
import { pinDirectory } from "../kernel/datapath.js";
import { readUnknownPods } from "../maps/controls.js";
import { readPods, readPolicyIds } from "../maps/readPolicy.js";
import { formatAddress } from "../model/address.js";
import { formatPolicyId } from "../model/policy.js";
import { describeProblem } from "../model/problem.js";
import type { MapFill, PodStatus, ProgramStatus, Status, UnknownPods } from "../model/status.js";
import { askAgent, defaultControl } from "../web/controlClient.js";
import { defaultBpffs, parseOptions } from "./options.js";
import { type Pins, withPins } from "./pins.js";
import { plain, table } from "./table.js";

export const statusHelp = `Usage: shunt status [--json] [--control P] [--bpffs P]

Shows the agent that runs, its pods with their policies, the problems in its input, how full the maps are.
If no agent answers, shows what is in the kernel: programs and policies outlive the agent. Exit code 1 if
there is neither.

A pod is "enrolled" (its sockets are steered), "waiting" (its cgroup is not there yet) or "not-enrolled".

  --control P   the agent's control socket (default: ${defaultControl})
  --bpffs P     where programs and maps are pinned, if no agent answers (default: ${defaultBpffs})
  --json        the status as one JSON object; "agent" in it says whether an agent answered
`;

/** As {@link Status}, as far as the kernel knows. */
export interface PinnedStatus {
  readonly agent: false;
  /** Why no agent answers. */
  readonly why: string;
  readonly pinned: boolean;
  readonly bpffs: string;
  readonly cgroupRoot: string;
  readonly pods: readonly Omit<PodStatus, "namespace" | "name" | "cause" | "keepsPolicy">[];
  readonly policies: number;
  /** Undefined where no maps of this build are pinned. */
  readonly unknownPods?: UnknownPods;
  readonly maps: readonly MapFill[];
  readonly programs: readonly ProgramStatus[];
  /** Maps of another build, which cannot be read here. */
  readonly foreign: readonly string[];
}

function readPinnedStatus(pins: Pins): Omit<PinnedStatus, "agent" | "why" | "pinned" | "bpffs"> {
  const { maps, contract, cgroupRoot, programs, foreign } = pins;
  if (maps === undefined) return { cgroupRoot, pods: [], policies: 0, maps: [], programs, foreign };
  const pods = new Map([...readPods(maps, contract)].sort(([a], [b]) => (a < b ? -1 : 1)));
  const uids = new Map(pins.cgroups.map((cgroup) => [cgroup.id, cgroup.uid]));
  const { controls, ...filled } = maps;
  const fill = Object.entries(filled).map(([name, map]) => {
    const entries = name === "pod_records" ? pods.size : map.entries().count;
    return { name, entries, capacity: map.info.maxEntries };
  });
  return {
    cgroupRoot,
    pods: [...pods].map(([id, pod]) => ({
      uid: uids.get(id) ?? "",
      state: "enrolled",
      why: pod === undefined ? "its record is another pod's: its connections are refused" : "",
      policy: pod === undefined ? "" : formatPolicyId(pod.policy),
      cgroupId: `${id}`,
      netnsCookie: pod === undefined || pod.netnsCookie === 0n ? "" : `${pod.netnsCookie}`,
      addresses: (pod?.localAddresses ?? []).map(formatAddress),
    })),
    policies: readPolicyIds(maps).length,
    unknownPods: readUnknownPods(controls, contract),
    maps: fill,
    programs,
    foreign,
  };
}

function mapTable(maps: readonly MapFill[]): string {
  const percent = ({ entries, capacity }: MapFill): string =>
    `${capacity === 0 ? 0 : ((100 * entries) / capacity).toFixed(1)}%`;
  const lines = maps.map((map) => [map.name, `${map.entries}`, `${map.capacity}`, percent(map)]);
  return table([["map", "entries", "capacity", "fill"], ...lines]);
}

function programLine(programs: readonly ProgramStatus[]): string {
  return programs.map(({ name, id }) => `${name} (${id})`).join(", ") || "none";
}

/** Nothing of an agent of another version, which does not say it. */
function unknownLine(what: UnknownPods | undefined): (readonly [string, string])[] {
  if (what === undefined) return [];
  const text = {
    allow: "pods that the agent has not heard of pass, and are counted",
    deny: "pods that the agent has not heard of are DENIED: they cannot connect (--unknown-pods=deny)",
  };
  return [["unknown", text[what]]];
}

const policyName = (id: string): string => id.slice(0, 8);

function paragraph(lines: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${plain(text)}`).join("\n");
}

function since(seconds: number): string {
  return seconds === 0 ? "no change seen yet" : `last change ${new Date(seconds * 1000).toISOString()}`;
}

/** For people. */
export function showStatus(
  status: Status,
  agent: { readonly pid: number | undefined; readonly control: string },
): string {
  const { source } = status;
  const who = `shunt ${status.version}, pid ${agent.pid ?? "unknown"}, ${agent.control}`;
  const pods = status.pods.map((pod) => [
    `${pod.namespace}/${pod.name}`,
    pod.state,
    policyName(pod.policy),
    pod.addresses.join(" "),
    pod.keepsPolicy ? "keeps its policy: see problems" : pod.why,
  ]);
  const problems = status.problems.map((problem) => `  ${plain(describeProblem(problem))}`);
  return [
    paragraph([
      ["agent", who],
      ["ready", status.ready ? "yes" : "no: the programs are not attached yet"],
      [
        "source",
        `${source.name}, ${source.synced ? "all read" : "NOT all of it could be read"}, ${since(source.lastEvent)}`,
      ],
      ["root", status.cgroupRoot],
      ["pins", pinDirectory(status.bpffs)],
      ["programs", programLine(status.programs)],
      ["policies", `${status.policies}`],
      ...unknownLine(status.unknownPods),
    ]),
    pods.length === 0 ? "no pods" : table([["pod", "state", "policy", "addresses", "note"], ...pods]),
    problems.length === 0 ? "no problems" : `problems:\n${problems.join("\n")}`,
    mapTable(status.maps),
  ].join("\n\n");
}

function showPinned(status: PinnedStatus): string {
  const pods = status.pods.map((pod) => [
    pod.cgroupId,
    pod.uid || "its cgroup is gone",
    policyName(pod.policy),
    pod.addresses.join(" "),
    pod.why,
  ]);
  const other = `${status.foreign.join(", ")}: pinned by a build with another layout; that build's status reads them`;
  return [
    paragraph([
      ["agent", `none answers (${status.why}); what is pinned goes on working as it is`],
      ["pins", pinDirectory(status.bpffs)],
      ["root", status.cgroupRoot || "gone, or none"],
      ["programs", programLine(status.programs)],
      ["policies", `${status.policies}`],
      ...unknownLine(status.unknownPods),
      ...(status.foreign.length === 0 ? [] : [["maps", other] as const]),
    ]),
    ...(status.maps.length === 0
      ? []
      : [
          pods.length === 0 ? "no pods" : table([["cgroup", "pod uid", "policy", "addresses", "note"], ...pods]),
          mapTable(status.maps),
        ]),
  ].join("\n\n");
}

/** @returns the exit code. */
export async function status(args: readonly string[], print: (text: string) => void): Promise<number> {
  const values = parseOptions("status", args, {
    control: { type: "string", default: defaultControl },
    bpffs: { type: "string", default: defaultBpffs },
    json: { type: "boolean", default: false },
  });
  const { bpffs, control, json } = values;
  const asked = await askAgent(control, "/status");
  if (asked.agent) {
    const { pid } = asked;
    const known = asked.body as Status;
    print(json ? JSON.stringify({ agent: true, pid, ...known }) : showStatus(known, { pid, control }));
    return 0;
  }
  const { why } = asked;
  const found = await withPins(bpffs, readPinnedStatus);
  const empty = { cgroupRoot: "", pods: [], policies: 0, maps: [], programs: [], foreign: [] };
  const pinned: PinnedStatus = { agent: false, why, pinned: found !== undefined, bpffs, ...(found ?? empty) };
  if (json) print(JSON.stringify(pinned));
  else if (found === undefined) print(`no agent answers (${why}), and nothing of shunt is pinned under ${bpffs}`);
  else print(showPinned(pinned));
  return found === undefined ? 1 : 0;
}
