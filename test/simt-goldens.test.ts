/** Whole models in workgroups, thread by thread: in bounds, without races, and the golden's numbers. */
import { expect, test } from 'vitest';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import type { Item } from '../compiler/6-program/program.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { int8, q8_0 } from '../stdlib/index.ts';
import { deviationOf, fixture, goldenNames, maxError, readGolden } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { familyModel, referenceOf } from './helpers/models.ts';

/** A prompt of two tokens, and one that is decoded after it. */
const steps = [2, 1];
const tokens = 3;

test.each(goldenNames)('%s', async (name) => {
  const folder = fixture(`goldens/${name}`);
  const { prompt, logits } = readGolden(folder);
  const bound = familyModel(folder);
  const found = await runKernels(bound, folder, prompt, undefined, undefined, simtMachine, steps);
  expect(maxError(logits.slice(0, tokens), found) / deviationOf(logits)).toBeLessThan(2e-4);
});

/** A number in the middle between two that are kept may go to either, as f32 or f64. */
const kept: readonly (readonly [string, SheetSource, number])[] = [
  ['a cache of f16', precision`** { kv: f16 }`, 3e-4],
  ['a cache of int8', precision`:attention { kv: ${int8()} }`, 3e-3],
  ['codes times codes', precision`:linear { weights: ${q8_0}; activations: ${int8(32)} }`, 2e-3],
];
test.each(kept)(
  'llama with %s rounds as the interpreter of its graph does',
  async (_, sheet, near) => {
    const folder = fixture('goldens/llama');
    const bound = { ...familyModel(folder), sheets: [sheet] };
    const prompt = readGolden(folder).prompt.slice(0, tokens);
    const reference = await referenceOf(bound, folder);
    const wanted = await reference.sequence().append(prompt, { logits: 'all' });
    const found = await runKernels(bound, folder, prompt, undefined, undefined, simtMachine, steps);
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(near);
  },
);

test.each(['llama', 'qwen3_moe', 'deepseek_v3'])(
  '%s: tokens in one step or several give the same bits',
  async (name) => {
    const folder = fixture(`goldens/${name}`);
    const { prompt } = readGolden(folder);
    const bound = familyModel(folder);
    const bitsIn = async (own: readonly number[]): Promise<string> => {
      const rows = await runKernels(bound, folder, prompt, undefined, undefined, simtMachine, own);
      return rows.map((r) => Buffer.from(r.buffer).toString('hex')).join('\n');
    };
    expect(await bitsIn([1, 1, 1])).toBe(await bitsIn([3]));
  },
);

test('a program without its barriers races between its launches', async () => {
  const folder = fixture('goldens/llama');
  const bare = (items: readonly Item[]): readonly Item[] =>
    items.flatMap((i): Item[] =>
      i.kind === 'barrier' ? [] : [i.kind === 'loop' ? { ...i, body: bare(i.body) } : i],
    );
  const change = <P extends { readonly body: readonly Item[] }>(p: P): P => ({
    ...p,
    body: bare(p.body),
  });
  const { prompt } = readGolden(folder);
  const run = runKernels(
    familyModel(folder),
    folder,
    prompt,
    change,
    undefined,
    simtMachine,
    steps,
  );
  await expect(run).rejects.toMatchObject({ code: 'kernel/race' });
});
