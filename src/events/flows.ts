/** A decision as the programs tell it through the ring. */
import type { Address } from "../model/address.js";
import { type Direction, directions, type Reason, reasons, type Verdict, verdicts } from "../model/verdict.js";

export interface Flow {
  /** ns, CLOCK_MONOTONIC. */
  readonly time: bigint;
  /** Cgroup id. */
  readonly pod: bigint;
  /** Undefined if the socket was not bound when the decision fell. */
  readonly source: Address | undefined;
  readonly sourcePort: number;
  readonly destination: Address | undefined;
  readonly destinationPort: number;
  readonly direction: Direction;
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** IPPROTO_TCP is 6. */
  readonly protocol: number;
  /** Of the proxy; 0 unless redirected. */
  readonly targetPort: number;
  readonly pid: number;
  readonly uid: number;
  /** Of the thread: at most 15 bytes. */
  readonly command: string;
}

/** The fields of struct flow, decoded. */
export interface FlowRecord {
  readonly time: bigint;
  readonly pod: bigint;
  readonly source: Address | undefined;
  readonly destination: Address | undefined;
  readonly source_port: number;
  readonly destination_port: number;
  readonly pid: number;
  readonly uid: number;
  readonly direction: number;
  readonly verdict: number;
  readonly reason: number;
  readonly protocol: number;
  readonly target_port: number;
  readonly command: Uint8Array;
}

/** @throws RangeError for a number that the lists do not have. */
export function readFlow(record: FlowRecord): Flow {
  const direction = directions[record.direction];
  const verdict = verdicts[record.verdict];
  const reason = reasons[record.reason];
  if (direction === undefined || verdict === undefined || reason === undefined) {
    throw new RangeError(`flow of direction ${record.direction}, verdict ${record.verdict}, reason ${record.reason}`);
  }
  const end = record.command.indexOf(0);
  return {
    time: record.time,
    pod: record.pod,
    source: record.source,
    sourcePort: record.source_port,
    destination: record.destination,
    destinationPort: record.destination_port,
    direction,
    verdict,
    reason,
    protocol: record.protocol,
    targetPort: record.target_port,
    pid: record.pid,
    uid: record.uid,
    command: new TextDecoder().decode(record.command.subarray(0, end < 0 ? record.command.length : end)),
  };
}
