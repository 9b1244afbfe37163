/** A sequence's logits and samples do not depend on what else runs, or on how it was fed. */
import { describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import type { LoadedModel } from '../runtime/index.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';

const vocab = 2048;
/** Token ids that look random and are the same every time. */
function idsFrom(seed: number, count: number): readonly number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % vocab;
  });
}
const prompt = idsFrom(7, 300);
const sampling = { maxTokens: 24, temperature: 0.9, topP: 0.95, seed: 11, ignoreEos: true };

const bundle = bundleOf(bard, example('bard/weights'));
const open = async (threads = 1): Promise<LoadedModel> =>
  loadBundle(await bundle, { threads, context: 512, capacity: 8192, sequences: 16 });

const alone = (async () => {
  const model = await open();
  const logits = await model.logits(prompt);
  const samples = await sampleAfter(model, prompt);
  model.close();
  return { logits, samples };
})();

async function sampleAfter(model: LoadedModel, ids: readonly number[]): Promise<number[]> {
  const out: number[] = [];
  for await (const part of model.generate(ids, sampling)) out.push(...part.ids);
  return out;
}

/** Bit for bit, so that -0 and 0 differ. */
const bytesOf = (r: Float32Array): Buffer => Buffer.from(r.buffer, r.byteOffset, r.byteLength);

async function expectSame(rows: readonly Float32Array[], from = 0): Promise<void> {
  const wanted = (await alone).logits.slice(from, from + rows.length);
  expect(rows.length).toBeGreaterThan(0);
  const differing = rows.flatMap((r, i) => {
    const other = wanted[i];
    return other && bytesOf(r).equals(bytesOf(other)) ? [] : [from + i];
  });
  expect(differing).toEqual([]);
}

describe('bard, a prompt of 300 tokens', () => {
  test('samples are there and vary', async () => {
    const { samples } = await alone;
    expect(samples).toHaveLength(sampling.maxTokens);
    expect(new Set(samples).size).toBeGreaterThan(4);
  });

  test.each([1, 7, 64, 300])('in chunks of %i', async (chunk) => {
    const model = await open();
    const s = model.sequence();
    await expectSame(await s.append(prompt, { logits: 'all', chunk }));
    model.close();
  });

  test('with two threads', async () => {
    const model = await open(2);
    await expectSame(await model.logits(prompt));
    expect(await sampleAfter(model, prompt)).toEqual((await alone).samples);
    model.close();
  });

  test.each([1, 2])('inside a batch of 8 others, %i threads', async (threads) => {
    const model = await open(threads);
    const others = Array.from({ length: 8 }, (_, i) =>
      sampleAfter(model, idsFrom(100 + i, 20 + 37 * i)),
    );
    const [rows, samples] = await Promise.all([
      model.logits(prompt),
      sampleAfter(model, prompt),
      ...others,
    ]);
    await expectSame(rows);
    expect(samples).toEqual((await alone).samples);
    model.close();
  });

  test('after a fork, whose other side goes on elsewhere', async () => {
    const model = await open();
    const s = model.sequence();
    await s.append(prompt.slice(0, 203), { logits: 'none' });
    const fork = s.fork();
    const [rest] = await Promise.all([
      fork.append(prompt.slice(203), { logits: 'all' }),
      s.append(idsFrom(5, 60), { logits: 'none' }),
    ]);
    await expectSame(rest, 203);
    model.close();
  });

  test('after a rollback', async () => {
    const model = await open();
    const s = model.sequence();
    await s.append(prompt.slice(0, 150), { logits: 'none' });
    await s.append(idsFrom(9, 100), { logits: 'none' });
    s.rollback(150);
    await expectSame(await s.append(prompt.slice(150), { logits: 'all' }), 150);
    model.close();
  });

  test('after a snapshot restored in another model', async () => {
    const first = await open();
    const s = first.sequence();
    await s.append(prompt.slice(0, 131), { logits: 'none' });
    const bytes = await s.snapshot();
    first.close();
    const second = await open();
    const other = second.sequence();
    await other.append(idsFrom(3, 40), { logits: 'none' });
    const restored = await second.restore(bytes);
    await expectSame(await restored.append(prompt.slice(131), { logits: 'all' }), 131);
    second.close();
  });
});
