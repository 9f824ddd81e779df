/** A random generator that a seed repeats, and what is chosen with it. */

/** Uniform in [0, 1). */
export type Random = () => number;

/** Mulberry32: small, and good enough to choose test cases. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** @param from not empty. */
export function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)] as T;
}

/** Up to `most` of them, each chosen anew: an item may come twice, as in a list that a person wrote. */
export function list(random: Random, most: number, item: (random: Random) => string): string {
  return Array.from({ length: below(random, most + 1) }, () => item(random)).join();
}
