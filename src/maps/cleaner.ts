/**
 * What is wanted no more goes a grace period later, and nobody waits for that: a pod that comes while another goes has
 * its policy at once.
 */
import type { Op } from "./diff.js";
import type { Failure } from "./store.js";

export interface CleanerOptions {
  readonly store: { clear(ops: readonly Op[]): Failure[] };
  /** Resolves when every program that ran at the call has ended. */
  gracePeriod(): Promise<void>;
  /** Another pass may do better: there is room where something was refused, or what could not go is something else now. */
  onChange(): void;
  onError(error: Error): void;
}

export interface Cleaner {
  /**
   * @param ops all of the newest diff, whose first part has been carried out: what is not in it any more is needed again.
   * @param refused of the first part, most often because a map is full: what goes makes room.
   */
  shown(ops: readonly Op[], refused: readonly Failure[]): void;
  /** What could not go at the last time. */
  readonly failures: readonly Failure[];
  /** Resolves when all has gone that was not needed. */
  settled(): Promise<void>;
}

const keyOf = (op: Op): string =>
  JSON.stringify(op, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value));

export function openCleaner(options: CleanerOptions): Cleaner {
  let latest = new Map<string, Op>();
  /** Those of them that have not been needed since the grace period began. */
  let since = new Set<string>();
  let failures: readonly Failure[] = [];
  let isShort = false;
  let running: Promise<void> | undefined;

  const run = async (): Promise<void> => {
    while (latest.size > 0) {
      since = new Set(latest.keys());
      await options.gracePeriod();
      const ops = [...latest].flatMap(([key, op]) => (since.has(key) ? [op] : []));
      for (const key of since) latest.delete(key);
      const before = failures;
      failures = options.store.clear(ops);
      const texts = [before, failures].map((list) => list.map(({ error }) => error.message).join("\n"));
      if (texts[0] !== texts[1] || (isShort && failures.length < ops.length)) options.onChange();
    }
  };

  const start = (): void => {
    if (running !== undefined || latest.size === 0) return;
    running = run()
      .catch((error: Error) => {
        // The next diff says it all again.
        latest.clear();
        options.onError(error);
      })
      .finally(() => {
        running = undefined;
        start();
      });
  };

  return {
    shown(ops, refused) {
      isShort = refused.length > 0;
      const fence = ops.findIndex((op) => op.kind === "fence");
      latest = new Map(fence < 0 ? [] : ops.slice(fence + 1).map((op) => [keyOf(op), op]));
      for (const key of since) if (!latest.has(key)) since.delete(key);
      start();
      // An entry goes at once, but behind those that come.
      const isRefused = (op: Op): boolean => refused.some((failure) => failure.op === op);
      if (isShort && ops.some((op) => op.kind === "unlist-pod" && !isRefused(op))) options.onChange();
    },
    get failures() {
      return failures;
    },
    settled: () => running ?? Promise.resolve(),
  };
}
