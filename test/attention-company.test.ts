/** Kernels of attention: no access out of bounds, no race, and no bit that hangs on company. */
import { describe, expect, test } from 'vitest';
import { build, naive } from './helpers/attention.ts';
import { accepted, fence, ids, logits, published, variants } from './helpers/attention-variants.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels, tokens } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';

test.each(variants)('%s stays in bounds and has no race', async (_, variant) => {
  const built = build(variant);
  const prompt = ids.slice(0, tokens);
  const wanted = naive(built.weights, prompt, variant.formula);
  const found = await runKernels(built.bound, built.folder, prompt);
  expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(accepted);
});

describe('company changes no bit of chosen keys and read tensors', async () => {
  const built = build({ ...published['indexed'], block: fence('indexed') });
  const open = async (threads: number) =>
    loadBundle(await bundleOf(built.bound, built.folder), { threads, context: 256, sequences: 8 });
  const bytes = (all: readonly Float32Array[]): string =>
    Buffer.concat(all.map((r) => Buffer.from(r.buffer, r.byteOffset, r.byteLength))).toString(
      'hex',
    );
  const alone = await logits(await open(1));

  test.each([1, 5, 16, 63])('chunks of %i', async (chunk) => {
    const model = await open(2);
    const found = await model.sequence().append(ids, { logits: 'all', chunk });
    expect(bytes(found)).toBe(bytes(alone));
    model.close();
  });

  test('beside four others', async () => {
    const model = await open(2);
    const others = [3, 17, 29, 40].map((n) => model.logits([...ids.slice(n), ...ids.slice(0, n)]));
    const [found] = await Promise.all([model.logits(ids), ...others]);
    expect(bytes(found)).toBe(bytes(alone));
    model.close();
  });
});
