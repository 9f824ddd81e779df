/** Decisions as they happen, for whoever listens. While nobody does, the programs write none. */
import type { NativeMap, NativeRing } from "../kernel/native.js";
import { type Flow, type FlowRecord, readFlow } from "./flows.js";

/** One of so many, unless somebody wants all. */
export const defaultInterval = 16;

export interface FlowStream {
  /** @param all every decision, not a sample. @returns what ends the subscription. */
  subscribe(onFlow: (flow: Flow) => void, all: boolean): () => void;
  close(): void;
}

export interface FlowStreamOptions {
  readonly ring: NativeMap;
  openRing(map: NativeMap, onRecords: (records: Uint8Array[]) => void): NativeRing;
  decode(bytes: Uint8Array): FlowRecord;
  /** 0: none, 1: all, n: one of n. */
  sample(interval: number): void;
}

export function openFlowStream(options: FlowStreamOptions): FlowStream {
  const listeners = new Map<(flow: Flow) => void, boolean>();
  const adjust = (): void => {
    const all = [...listeners.values()].includes(true);
    options.sample(listeners.size === 0 ? 0 : all ? 1 : defaultInterval);
  };
  const ring = options.openRing(options.ring, (records) => {
    for (const record of records) {
      const flow = readFlow(options.decode(record));
      for (const listener of listeners.keys()) listener(flow);
    }
  });
  adjust();
  return {
    subscribe(onFlow, all) {
      // A wrapper, so that the same function may listen twice.
      const listener = (flow: Flow): void => onFlow(flow);
      listeners.set(listener, all);
      adjust();
      return () => {
        if (listeners.delete(listener)) adjust();
      };
    },
    close() {
      listeners.clear();
      adjust();
      ring.close();
    },
  };
}
