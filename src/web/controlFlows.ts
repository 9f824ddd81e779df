/** Flows as lines of JSON for whoever asks over the control socket, without ever waiting for them. */
import type { ServerResponse } from "node:http";
import type { Flow } from "../events/flows.js";
import { type Address, formatAddress } from "../model/address.js";
import { type Endpoint, formatEndpoint } from "../model/endpoint.js";
import type { Status } from "../model/status.js";
import { type Direction, type Reason, type Verdict, verdicts } from "../model/verdict.js";

/** One decision. Fields may be added after these. */
export interface FlowLine {
  /** Wall clock, ISO 8601. */
  readonly time: string;
  /** `namespace/name`, or `cgroup N` while the agent knows no name for it. */
  readonly pod: string;
  readonly direction: Direction;
  /** `10.0.0.1:4711`; null if the socket was not bound when the decision fell. */
  readonly source: string | null;
  readonly destination: string | null;
  readonly verdict: Verdict;
  /** The proxy's address, where redirected. */
  readonly to: string | null;
  readonly reason: Reason;
  readonly protocol: string;
  /** Name of the calling thread, at most 15 bytes. */
  readonly process: string;
  readonly pid: number;
  readonly uid: number;
  /** Decimal. */
  readonly cgroupId: string;
  /** ns, CLOCK_MONOTONIC, as text. */
  readonly at: string;
}

/** Flows that are missing at this place of the stream. */
export interface LostLine {
  readonly lost: number;
  /** `client`: this reader was too slow. `ring`: the agent was, for all readers. */
  readonly where: "client" | "ring";
}

export interface FlowQuery {
  readonly all: boolean;
  readonly pod: string | undefined;
  readonly verdict: Verdict | undefined;
}

/** @throws RangeError in words for a value that is not one. */
export function readFlowQuery(query: URLSearchParams): FlowQuery {
  for (const key of query.keys())
    if (!["all", "pod", "verdict"].includes(key)) throw new RangeError(`there is no ${key}`);
  const all = query.get("all") ?? "0";
  if (all !== "0" && all !== "1") throw new RangeError(`all is 0 or 1, not ${all}`);
  const wanted = query.get("verdict") ?? undefined;
  const verdict = verdicts.find((known) => known === wanted);
  if (wanted !== verdict) throw new RangeError(`a verdict is ${verdicts.join(", ")}, not ${wanted}`);
  return { all: all === "1", pod: query.get("pod") ?? undefined, verdict };
}

/** ms between two looks at the status for a name that is not known. */
const namesAge = 100;

/** Cgroup id → pod. A cgroup's id is never another's, so what was found stays true. */
export function podNames(status: () => Pick<Status, "pods">): (id: bigint) => string {
  let names = new Map<string, string>();
  let read = Number.NEGATIVE_INFINITY;
  return (id) => {
    const key = `${id}`;
    if (!names.has(key) && performance.now() - read > namesAge) {
      read = performance.now();
      const known = status().pods.filter((pod) => pod.cgroupId !== "");
      names = new Map(known.map((pod) => [pod.cgroupId, `${pod.namespace}/${pod.name}`]));
    }
    return names.get(key) ?? `cgroup ${id}`;
  };
}

const protocols: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp" };

function endpoint(address: Address | undefined, port: number): string | null {
  if (address === undefined) return null;
  const value: Endpoint = { address: formatAddress(address), port };
  return formatEndpoint(value);
}

/** @param now of both clocks: ms since the epoch, and ns of CLOCK_MONOTONIC. */
export function flowLine(
  flow: Flow,
  pod: string,
  now: { readonly wall: number; readonly monotonic: bigint },
): FlowLine {
  const { direction, verdict, reason, pid, uid, targetPort, destination } = flow;
  const loopback = destination?.family === 6 ? "::1" : "127.0.0.1";
  return {
    time: new Date(now.wall - Number(now.monotonic - flow.time) / 1e6).toISOString(),
    pod,
    direction,
    source: endpoint(flow.source, flow.sourcePort),
    destination: endpoint(destination, flow.destinationPort),
    verdict,
    to: verdict === "redirect" ? formatEndpoint({ address: loopback, port: targetPort }) : null,
    reason,
    protocol: protocols[flow.protocol] ?? `${flow.protocol}`,
    process: flow.command,
    pid,
    uid,
    cgroupId: `${flow.pod}`,
    at: `${flow.time}`,
  };
}

/** Characters that may wait for one reader. */
export const bufferLimit = 1024 * 1024;

export interface LossyLines {
  /** Writes the line, or counts it as lost while the reader does not keep up. */
  write(line: string): void;
  /** Tells of flows that were lost elsewhere. */
  lost(count: number): void;
}

/** Lines of one turn of the event loop go out in one write: a ring brings many at once. */
export function lossyLines(to: ServerResponse, limit = bufferLimit): LossyLines {
  const lost = { client: 0, ring: 0 };
  let batch: string[] = [];
  let size = 0;
  let behind = false;
  const flush = (): void => {
    const text = batch.join("");
    batch = [];
    size = 0;
    if (!to.writableEnded && !to.destroyed) to.write(text);
  };
  const push = (text: string): void => {
    if (batch.length === 0) setImmediate(flush);
    batch.push(`${text}\n`);
    size += text.length + 1;
  };
  const tell = (): void => {
    for (const where of ["client", "ring"] as const) {
      if (lost[where] === 0) continue;
      const line: LostLine = { lost: lost[where], where };
      push(JSON.stringify(line));
      lost[where] = 0;
    }
  };
  // Until all that waits is gone: one line at a time beside each loss would be of no use to anyone.
  to.on("drain", () => {
    behind = false;
    tell();
  });
  return {
    write(line) {
      behind ||= to.writableLength + size + line.length > limit;
      if (behind) lost.client++;
      else push(line);
    },
    lost(count) {
      lost.ring += count;
      if (!behind) tell();
    },
  };
}
