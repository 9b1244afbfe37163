/** One token at a time: stretches of a matrix side by side give what tokens together give, on any threads. */
import { describe, expect, test } from 'vitest';
import { wasmMachine } from '../compiler/5-kernel/machine.ts';
import { type BoundModel, type QuantScheme, precision } from '../compiler/index.ts';
import { int4, int8, q4_0, q6_k, q8_0 } from '../stdlib/index.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

// 128 units of columns in the middle, 64 at the end: four and two side by side; heads of two bands.
const { folder, bound } = randomCheckpoint({
  vocab: 1024,
  width: 256,
  inner: 2048,
  depth: 1,
  heads: 2,
  kvHeads: 1,
  head: 32,
  dtype: 'F32',
  context: 64,
});
const prompt = [3, 911, 30, 707, 25, 12, 511, 1000, 4];

const schemes: readonly (readonly [string, QuantScheme])[] = [
  ['q4_0', q4_0],
  ['q8_0', q8_0],
  ['q6_k', q6_k],
  ['int4(64)', int4(64)],
];
const activations = int8(32);

describe.each(schemes)('%s', (_, weights) => {
  const sheet = precision`:linear { weights: ${weights}; activations: ${activations} } :embedding { weights: ${weights} }`;
  const model: BoundModel = { ...bound, sheets: [sheet] };

  test('one by one on three threads, as all at once on one', async () => {
    const bundle = await bundleOf(model, folder);
    const together = await loadBundle(bundle);
    const wanted = await together.logits(prompt);
    const apart = await loadBundle(bundle, { threads: 3 });
    const sequence = apart.sequence();
    for (const [i, id] of prompt.entries()) {
      const [found] = await sequence.append([id], { logits: 'all' });
      expect(found).toEqual(wanted[i]);
    }
    together.close();
    apart.close();
  }, 60_000);

  test('one token in the kernel interpreter', async () => {
    const wanted = await (await referenceOf(model, folder)).logits([707]);
    const found = await runKernels(model, folder, [707], undefined, undefined, wasmMachine, [1]);
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(2e-3);
  }, 60_000);
});
