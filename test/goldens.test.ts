/** Logits of the families against those of the reference implementations. */
import { describe, expect, test } from 'vitest';
import type { LoadedModel } from '../runtime/index.ts';
import { deviationOf, fixture, goldenNames, maxError, readGolden } from './helpers/golden.ts';
import { bundleOf, familyModel, greedy, loadBundle, referenceOf } from './helpers/models.ts';

/** Largest accepted |difference|, in standard deviations of the golden's logits. */
const accepted = 2e-4;

async function holds(model: LoadedModel, folder: string): Promise<void> {
  const golden = readGolden(folder);
  const logits = await model.logits(golden.prompt);
  const error = maxError(golden.logits, logits) / deviationOf(golden.logits);
  expect(error).toBeLessThanOrEqual(accepted);
  expect(golden.greedy.length).toBeGreaterThan(0);
  expect(await greedy(model, golden.prompt, golden.greedy.length)).toEqual(golden.greedy);
  model.close();
}

describe.each(goldenNames)('%s', (name) => {
  const folder = fixture(`goldens/${name}`);
  const bundle = bundleOf(familyModel(folder), folder);

  test('on the reference interpreter', async () => {
    await holds(await referenceOf(familyModel(folder), folder), folder);
  });

  test.each([1, 2])('on wasm with %i threads', async (threads) => {
    await holds(await loadBundle(await bundle, { threads }), folder);
  });
});
