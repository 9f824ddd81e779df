/** The value in the middle, of an odd number of them. @throws RangeError if there is none. */
export function median(values: readonly number[]): number {
  const middle = [...values].sort((a, b) => a - b)[values.length >> 1];
  if (middle === undefined) throw new RangeError("no values");
  return middle;
}

/** `1.21`. */
export function ratio(value: number, base: number): string {
  return (value / base).toFixed(3);
}
