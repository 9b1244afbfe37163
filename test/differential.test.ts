/** wasm against the interpreter, over sizes that stress the edges of tiles, lanes and blocks. */
import { describe, expect, test } from 'vitest';
import { deviationOf, maxError } from './helpers/golden.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { type RandomShape, makeRandom, randomCheckpoint } from './helpers/random-checkpoint.ts';

/** f32 sums against doubles; the goldens' own limit. */
const accepted = 2e-4;

const base: RandomShape = {
  vocab: 67,
  width: 48,
  inner: 40,
  depth: 2,
  heads: 4,
  kvHeads: 2,
  head: 16,
  dtype: 'BF16',
  context: 256,
};

function randomIds(count: number, seed: number): readonly number[] {
  const random = makeRandom(seed);
  return Array.from({ length: count }, () => Math.floor((random() + 1) * 33));
}

async function pair(shape: RandomShape, threads: number) {
  const { folder, bound } = randomCheckpoint(shape);
  const { context } = shape;
  const wasm = await loadBundle(await bundleOf(bound, folder), { threads, context });
  return { wasm, reference: await referenceOf(bound, folder, context) };
}

describe.each([
  ['head 64', { ...base, head: 64 }],
  ['head 80', { ...base, head: 80 }],
  ['head 128, one key head', { ...base, head: 128, heads: 2, kvHeads: 1 }],
  ['head 256', { ...base, head: 256, heads: 2 }],
  [
    'head 6, sizes that are no multiple of anything',
    { ...base, head: 6, width: 37, inner: 53, vocab: 71 },
  ],
  ['inner 129, f32', { ...base, inner: 129, dtype: 'F32' as const }],
  ['inner 33, f16', { ...base, inner: 33, width: 50, dtype: 'F16' as const }],
])('%s', (_, shape) => {
  test.each([1, 2])('steps of 1 to 9 and 64 tokens, %i threads', async (threads) => {
    const { wasm, reference } = await pair(shape, threads);
    const [a, b] = [wasm.sequence(), reference.sequence()];
    for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 1, 9]) {
      const ids = randomIds(count, 31 * count);
      const wanted = await b.append(ids, { logits: 'all' });
      const found = await a.append(ids, { logits: 'all' });
      expect(maxError(wanted, found) / deviationOf(wanted), `${count} tokens`).toBeLessThan(
        accepted,
      );
    }
    wasm.close();
  });
});

test('2,000 keys', async () => {
  const shape = { ...base, depth: 1, heads: 2, kvHeads: 1, context: 2048 };
  const { wasm, reference } = await pair(shape, 2);
  const ids = randomIds(2000, 5);
  const after = randomIds(9, 6);
  const [a, b] = [wasm.sequence(), reference.sequence()];
  const first = [await b.append(ids), await a.append(ids)] as const;
  const next = [
    await b.append(after, { logits: 'all' }),
    await a.append(after, { logits: 'all' }),
  ] as const;
  for (const [wanted, found] of [first, next]) {
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(accepted);
  }
  wasm.close();
});
