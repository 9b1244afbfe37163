/** Seeded randomness: the same seed gives the same inputs on every machine. */

export interface Random {
  /** From 0 (included) to 1. */
  real(): number;
  /** A whole number from 0 to n - 1. */
  below(n: number): number;
  /** True once in `n` times. */
  oneIn(n: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** `least` to `most` of what `make` gives. */
  list<T>(least: number, most: number, make: (index: number) => T): T[];
}

/** mulberry32 by Tommy Ettinger, public domain. */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const real = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(real() * n);
  return {
    real,
    below,
    oneIn: (n) => below(n) === 0,
    pick(from) {
      if (from.length === 0) throw new Error('nothing to pick from');
      return from[below(from.length)] as (typeof from)[number]; // in range
    },
    list: (least, most, make) =>
      Array.from({ length: least + below(most - least + 1) }, (_, i) => make(i)),
  };
}
