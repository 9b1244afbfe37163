/** Whole models in workgroups, thread by thread: in bounds, without races, and the golden's numbers. */
import { expect, test } from 'vitest';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import type { Item } from '../compiler/6-program/program.ts';
import { deviationOf, fixture, goldenNames, maxError, readGolden } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { familyModel } from './helpers/models.ts';

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
