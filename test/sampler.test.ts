/** Random numbers that anyone can check, and what sampling options do. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../runtime/index.ts';
import { philox, uniform } from '../runtime/random.ts';
import {
  type SampleOptions,
  checkSampleOptions,
  logProbability,
  makeSampler,
  topLogProbabilities,
} from '../runtime/sampler.ts';

const word = 0xffffffff;

/** Known answers of the Random123 distribution, kat_vectors, philox4x32 10. */
test.each([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [word, word, word, word],
    [word, word],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const)('philox %j %j', (counter, key, expected) => {
  expect(philox(counter, key)).toEqual(expected);
});

test('uniform numbers lie in [0, 1) and differ by seed, sequence and position', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.nat(), (seed, sequence, position) => {
      const u = uniform(seed, sequence, position);
      expect(u >= 0 && u < 1).toBe(true);
      expect(uniform(seed, sequence, position)).toBe(u);
      expect(uniform(seed + 1, sequence, position)).not.toBe(u);
      expect(uniform(seed, sequence + 1, position)).not.toBe(u);
      expect(uniform(seed, sequence, position + 1)).not.toBe(u);
    }),
  );
});

const logits = Float32Array.from([2, 1, 0, -1, 4, 3, -5, 2.5]);
const sampler = makeSampler(logits.length);
const drawn = (o: SampleOptions, seen: readonly number[] = [], count = 4000): number[] => {
  const counts = Array.from(logits, () => 0);
  for (let p = 0; p < count; p++) {
    const id = sampler.sample(logits, { seed: 3, ...o }, seen, 0, p);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts.map((c) => c / count);
};
const softmax = (x: readonly number[]): number[] => {
  const e = x.map(Math.exp);
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};
const close = (a: readonly number[], b: readonly number[]): void =>
  a.forEach((v, i) => expect(Math.abs(v - (b[i] ?? NaN))).toBeLessThan(0.03));

describe('sampling', () => {
  test('follows the softmax', () => close(drawn({}), softmax([...logits])));
  test('of a temperature', () =>
    close(drawn({ temperature: 2 }), softmax(Array.from(logits, (l) => l / 2))));
  test('greedy and temperature 0 take the most likely token', () => {
    expect(drawn({ greedy: true }, [], 10)[4]).toBe(1);
    expect(drawn({ temperature: 0 }, [], 10)[4]).toBe(1);
  });
  test('top-k keeps k tokens', () => {
    const kept = drawn({ topK: 3 });
    expect(kept.flatMap((p, i) => (p > 0 ? [i] : []))).toEqual([4, 5, 7]);
  });
  test('top-p keeps the most likely tokens that together have the probability', () => {
    const kept = drawn({ topP: 0.5 });
    expect(kept.flatMap((p, i) => (p > 0 ? [i] : []))).toEqual([4]);
  });
  test('min-p keeps tokens at least that likely', () => {
    const kept = drawn({ minP: 0.3 });
    expect(kept.flatMap((p, i) => (p > 0 ? [i] : []))).toEqual([4, 5]);
  });
  test('a repetition penalty makes tokens that occurred less likely', () => {
    const [plain, penalised] = [drawn({}), drawn({ repetitionPenalty: 2 }, [4])];
    expect((penalised[4] ?? 1) < (plain[4] ?? 0)).toBe(true);
    close(penalised, softmax([...logits.map((l, i) => (i === 4 ? l / 2 : l))]));
  });
  test('log-probabilities are those of the softmax', () => {
    const p = softmax([...logits]);
    expect(logProbability(logits, 4)).toBeCloseTo(Math.log(p[4] ?? 0), 5);
    const top = topLogProbabilities(logits, 3);
    expect(top.map((t) => t.id)).toEqual([4, 5, 7]);
    expect(top[1]?.logprob).toBeCloseTo(Math.log(p[5] ?? 0), 5);
  });
  test.each([
    { temperature: -1 },
    { topK: 1.5 },
    { topP: 2 },
    { minP: -0.1 },
    { repetitionPenalty: 0 },
    { seed: -3 },
    { temperature: NaN },
  ])('%j is refused', (o) => expect(() => checkSampleOptions(o)).toThrow(InputError));
});
