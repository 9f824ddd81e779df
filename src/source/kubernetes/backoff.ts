/** How long to wait after a failure: longer each time, and never the same on two nodes. */

export interface BackoffOptions {
  /** ms, after the first failure. */
  readonly first: number;
  /** ms. */
  readonly longest: number;
  /** 0 up to, not including, 1. */
  random(): number;
}

export interface Backoff {
  /** @param atLeast ms that the other side asked for. @returns ms to wait now. */
  next(atLeast?: number): number;
  reset(): void;
}

/** Doubles; of each wait the second half is left to chance, so that a thousand agents do not come back at once. */
export function makeBackoff({ first, longest, random }: BackoffOptions): Backoff {
  let wait = first;
  return {
    next(atLeast = 0) {
      const now = wait / 2 + (wait / 2) * random();
      wait = Math.min(wait * 2, longest);
      // What the server asks for is a least, also for the one that drew the shortest straw.
      return atLeast > 0 ? atLeast + now : now;
    },
    reset() {
      wait = first;
    },
  };
}
