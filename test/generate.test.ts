/** Generation on the trained bard: text, stop rules, log-probabilities, abort, the cache's limits. */
import { afterAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { InputError, type GenerateOptions, type Part } from '../runtime/index.ts';
import { makeTokenizer } from '../runtime/tokenizer.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';
import { readFileSync } from 'node:fs';

const model = await loadBundle(await bundleOf(bard, example('bard/weights')), {
  context: 128,
  capacity: 256,
  sequences: 4,
});
afterAll(() => model.close());

const prompt = 'HAMLET:\nTo be, or not';
const base = { greedy: true, maxTokens: 24, ignoreEos: true };

async function parts(options: GenerateOptions = base, from: string = prompt): Promise<Part[]> {
  const out: Part[] = [];
  for await (const part of model.generate(from, options)) out.push(part);
  return out;
}
const textOf = (all: readonly Part[]): string => all.map((p) => p.text).join('');
const idsOf = (all: readonly Part[]): number[] => all.flatMap((p) => p.ids);

test('the streamed text is the text of the ids', async () => {
  const all = await parts();
  expect(idsOf(all)).toHaveLength(24);
  const full = model.tokenizer?.decode([...(model.tokenizer.encode(prompt) ?? []), ...idsOf(all)]);
  expect(full?.endsWith(textOf(all))).toBe(true);
  expect(textOf(all).length).toBeGreaterThan(24);
});

test('the last part tells the end and the timings', async () => {
  const last = (await parts()).at(-1);
  expect(last?.finish).toBe('length');
  expect(last?.timings).toMatchObject({ generatedTokens: 24 });
  expect(last?.timings?.tokensPerSecond).toBeGreaterThan(0);
});

test('a stop text ends the generation and is not part of it', async () => {
  const text = textOf(await parts());
  const stop = text.slice(12, 17);
  const all = await parts({ ...base, stop: [stop] });
  expect(textOf(all)).toBe(text.slice(0, text.indexOf(stop)));
  expect(all.at(-1)?.finish).toBe('stop');
});

test('a stop token ends it too', async () => {
  const ids = idsOf(await parts());
  const stop = ids[9] ?? 0;
  const all = await parts({ ...base, stopTokens: [stop] });
  expect(idsOf(all)).toEqual(ids.slice(0, ids.indexOf(stop)));
  expect(all.at(-1)?.finish).toBe('stop');
});

test('log-probabilities of greedy tokens are the largest', async () => {
  const all = await parts({ ...base, maxTokens: 5, logprobs: 3 });
  const found = all.flatMap((p) => p.logprobs ?? []);
  expect(found).toHaveLength(5);
  for (const { id, logprob, top } of found) {
    expect(top).toHaveLength(3);
    expect(top[0]?.id).toBe(id);
    expect(top[0]?.logprob).toBeCloseTo(logprob, 6);
    expect(logprob).toBeLessThan(0);
  }
});

test('abort ends it after the token in flight', async () => {
  const controller = new AbortController();
  const out: Part[] = [];
  const options = { ...base, maxTokens: 100, signal: controller.signal };
  for await (const part of model.generate(prompt, options)) {
    out.push(part);
    if (out.length === 3) controller.abort();
  }
  expect(idsOf(out)).toHaveLength(3);
  expect(out.at(-1)?.finish).toBe('abort');
});

test('the context ends it', async () => {
  const all = await parts({ ...base, maxTokens: 1000 });
  expect(all.at(-1)?.finish).toBe('context');
  expect(idsOf(all).length).toBeGreaterThan(100);
});

test('one seed gives one text, another seed another', async () => {
  const sampled = (seed: number) => parts({ maxTokens: 20, seed, ignoreEos: true }).then(textOf);
  const first = await sampled(1);
  expect(await sampled(1)).toBe(first);
  expect(await sampled(2)).not.toBe(first);
});

describe('the cache', () => {
  test('that is full refuses more and goes on with the rest', async () => {
    const sequences = [1, 2, 3].map(() => model.sequence());
    const ids = Array.from({ length: 120 }, (_, i) => i + 5);
    await sequences[0]?.append(ids, { logits: 'none' });
    await sequences[1]?.append(ids, { logits: 'none' });
    const third = sequences[2]?.append(ids, { logits: 'none' });
    await expect(third).rejects.toMatchObject({ code: 'input/capacity' });
    sequences[0]?.end();
    expect(await sequences[2]?.append([7], { logits: 'last' })).toHaveLength(1);
    sequences.forEach((s) => s.end());
    expect(idsOf(await parts())).toHaveLength(24);
  });

  test('has all its blocks back after many generations, forks and aborts', async () => {
    for (let i = 0; i < 40; i++) {
      const s = model.sequence();
      await s.append([1, 2, 3, i], { logits: 'none' });
      const fork = s.fork();
      await fork.append([4, 5], { logits: 'none' });
      s.end();
      fork.end();
      for await (const part of model.generate('O', base)) if (part.ids.length > 0) break;
    }
    const all = [1, 2].map(() => model.sequence());
    for (const s of all)
      await s.append(
        Array.from({ length: 128 }, () => 9),
        { logits: 'none' },
      );
    all.forEach((s) => s.end());
  });

  test('an ended sequence says so', async () => {
    const s = model.sequence();
    s.end();
    expect(() => s.fork()).toThrow(InputError);
  });
});

test('a chat template writes the messages; without one that is said', async () => {
  const files = {
    tokenizer: readFileSync(example('bard/weights/tokenizer.json'), 'utf8'),
    config: '{ "bos_token": "<s>" }',
    bos: 0,
  };
  const template = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>';
  const chat = makeTokenizer({ ...files, chatTemplate: template });
  const messages = [{ role: 'user', content: 'Who’s there?' }];
  expect(await chat.chat(messages)).toBe('<user>Who’s there?<assistant>');
  const plain = makeTokenizer({ ...files, chatTemplate: undefined });
  await expect(plain.chat(messages)).rejects.toMatchObject({ code: 'input/chat' });
});
