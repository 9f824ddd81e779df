/** The value in the middle, of an odd number of them. @throws RangeError if there is none. */
export function median(values: readonly number[]): number {
  const middle = [...values].sort((a, b) => a - b)[values.length >> 1];
  if (middle === undefined) throw new RangeError("no values");
  return middle;
}

/** The value below which this part of them is. @param part 0 to 1. @throws RangeError if there are none. */
export function percentile(values: readonly number[], part: number): number {
  const at = [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(part * values.length))];
  if (at === undefined) throw new RangeError("no values");
  return at;
}

/** `1.21`. */
export function ratio(value: number, base: number): string {
  return (value / base).toFixed(3);
}

export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The median, and the two values between which the true one lies in 95 of 100 runs: by ranks, so nothing is
 * supposed of the distribution. (How many of n values are below the true median is binomial, n and ½.)
 * @throws RangeError if there are no values.
 */
export function interval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(0, Math.floor((sorted.length - 1) / 2 - 0.98 * Math.sqrt(sorted.length)));
  const low = sorted[rank] ?? Number.NaN;
  return { median: median(values), low, high: sorted[sorted.length - 1 - rank] ?? low };
}

/** Of each value to the one that was taken in the same round, so that what slows down a round slows both. */
export function ratios(values: readonly number[], base: readonly number[]): Interval {
  return interval(values.map((value, i) => value / (base[i] ?? Number.NaN)));
}

/** `1.210 (1.198–1.221)`. */
export function written({ median: middle, low, high }: Interval): string {
  return `${middle.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
}
