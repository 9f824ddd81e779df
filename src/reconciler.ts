/**
 * The loop: an event marks something dirty, a pass recomputes everything and writes the difference. One pass at
 * a time; what comes meanwhile is one more, however much it was. A pass that throws is tried again.
 */

export interface ReconcilerOptions {
  /** One pass. @param changed when the oldest change that it takes in was seen (ns, as the clock says). */
  pass(changed: bigint): Promise<void>;
  onError(error: Error): void;
  /** ns, monotonic. */
  clock(): bigint;
  /** ms to wait after a pass that threw. */
  readonly retry: number;
}

export interface Reconciler {
  markDirty(): void;
  /** Resolves when nothing is dirty and no pass runs. */
  settled(): Promise<void>;
  /** Lets a pass that runs end, and begins no other. */
  stop(): Promise<void>;
}

export function openReconciler(options: ReconcilerOptions): Reconciler {
  let dirtySince: bigint | undefined;
  let running: Promise<void> | undefined;
  let active = false;
  let stopped = false;
  let wake: () => void = () => {};

  const run = async (): Promise<void> => {
    while (dirtySince !== undefined && !stopped) {
      const changed = dirtySince;
      dirtySince = undefined;
      try {
        await options.pass(changed);
      } catch (error) {
        options.onError(error as Error);
        dirtySince ??= changed;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, options.retry);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
  };

  const start = (): void => {
    if (stopped || active || dirtySince === undefined) return;
    // Before the first pass, which may itself mark something dirty.
    active = true;
    running = run().finally(() => {
      active = false;
      running = undefined;
      // What came when the last look at it was over.
      start();
    });
  };

  return {
    markDirty() {
      dirtySince ??= options.clock();
      start();
    },
    settled: () => running ?? Promise.resolve(),
    async stop() {
      stopped = true;
      wake();
      await running;
    },
  };
}
