/** Programs of workgroups around attention: projections, entries into the cache, every variant that has kernels. */
import { describe, expect, test } from 'vitest';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { int8 } from '../stdlib/index.ts';
import { type Sizes, build, naive, sizes } from './helpers/attention.ts';
import { accepted, heads, ids, variants } from './helpers/attention-variants.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels, tokens } from './helpers/kernel-run.ts';
import { referenceOf } from './helpers/models.ts';
import { templateOf } from './helpers/template.ts';

const prompt = ids.slice(0, tokens);
const inGroups = (b: ReturnType<typeof build>, steps?: readonly number[]) =>
  runKernels(b.bound, b.folder, prompt, undefined, undefined, simtMachine, steps);

describe('variants', () => {
  test.each(variants)('%s', async (_, variant) => {
    const built = build(variant);
    const text = JSON.stringify(variant.block);
    if (/top = /.test(text)) {
      await expect(inGroups(built)).rejects.toThrow(/chooses keys, which no kernel for GPUs does/);
      return;
    }
    const wanted = naive(built.weights, prompt, variant.formula);
    const found = await inGroups(built);
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(accepted);
  });
});

describe('what the cache keeps of tokens', () => {
  const block = templateOf(`causal(${heads}) -> [t, heads, n] { return attend(q, k, v) }`);
  const kept: Readonly<Record<string, readonly SheetSource[]>> = {
    f32: [],
    f16: [precision`** { kv: f16 }`],
    int8: [precision`:attention { kv: ${int8()} }`],
  };
  // A number in the middle between two that are kept may go to either, as f32 or f64: with these weights and
  // heads of 8 one value is half a unit of f32 from there, so heads have other sizes.
  const near: Readonly<Record<string, number>> = { f32: 1e-4, f16: 3e-4, int8: 3e-3 };
  const shapes: readonly Partial<Sizes>[] = [{ head: 16 }, { heads: 6, kv: 2, head: 18 }, { heads: 4, kv: 1, head: 64 }]; // prettier-ignore
  test.each(Object.keys(kept).flatMap((k) => shapes.map((s) => [k, s] as const)))(
    '%s, %j',
    async (name, shape) => {
      const built = build({ block }, { ...sizes, ...shape }, kept[name]);
      const wanted = await (await referenceOf(built.bound, built.folder)).logits(prompt);
      const found = await inGroups(built);
      expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(near[name] ?? 0);
      // One token after the other: to the bit the same.
      const single = await inGroups(built, [1, 1, 1, 1, 1, 1]);
      expect(single).toEqual(found);
    },
  );
});
