/**
 * Counter-based random numbers: the same (seed, sequence, position) always gives the same number,
 * whatever else ran. Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
 * (2011), section 3.3.
 */
const multiplyHigh = (a: number, b: number): number => {
  const [ah, al] = [a >>> 16, a & 0xffff];
  const [bh, bl] = [b >>> 16, b & 0xffff];
  const low = al * bl;
  const middle = ah * bl + (low >>> 16);
  const cross = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) >>> 0;
};

export type Counter = readonly [number, number, number, number];

export function philox(counter: Counter, key: readonly [number, number]): Counter {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const h0 = multiplyHigh(0xd2511f53, c0);
    const l0 = Math.imul(0xd2511f53, c0) >>> 0;
    const h1 = multiplyHigh(0xcd9e8d57, c2);
    const l1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A number in [0, 1) with 53 random bits. */
export function uniform(seed: number, sequence: number, position: number): number {
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const [a, b] = philox([position >>> 0, sequence >>> 0, 0, 0], [seed >>> 0, high]);
  return (a * 2 ** 21 + (b >>> 11)) / 2 ** 53;
}
