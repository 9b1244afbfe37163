/** Both trained models on the held-out text, against the reference implementation's figure. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { example, fixture, readJson } from './helpers/golden.ts';
import { bundleOf, familyModel, greedy, loadBundle } from './helpers/models.ts';

interface Golden {
  readonly perplexity: number;
  readonly tokens: number;
  readonly greedy: readonly {
    readonly prompt: string;
    readonly prompt_ids: readonly number[];
    readonly greedy_ids: readonly number[];
  }[];
}

test.each([
  ['bard', () => bard],
  ['qwen3', () => familyModel(example('qwen3/weights'))],
])('%s: perplexity, prompts and greedy ids', async (name, bound) => {
  const weights = example(`${name}/weights`);
  const golden = readJson(`${weights}/golden.json`) as Golden;
  const model = await loadBundle(await bundleOf(bound(), weights), { threads: 2, context: 512 });
  const { perplexity, tokens } = await model.perplexity(
    readFileSync(fixture('valid.txt'), 'utf8'),
    256,
  );
  expect(tokens).toBe(golden.tokens);
  expect(Math.abs(perplexity / golden.perplexity - 1)).toBeLessThan(1e-3);
  expect(golden.greedy.length).toBeGreaterThan(0);
  for (const g of golden.greedy) {
    expect(model.tokenizer?.encode(g.prompt)).toEqual(g.prompt_ids);
    expect(await greedy(model, g.prompt_ids, g.greedy_ids.length)).toEqual(g.greedy_ids);
  }
  model.close();
});
