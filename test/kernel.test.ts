/** Kernels in their own interpreter: in bounds, without races, and the golden's numbers. */
import { describe, expect, test } from 'vitest';
import { interpretKernel } from '../compiler/5-kernel/interpret.ts';
import type { Kernel } from '../compiler/5-kernel/kernel.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import type { Item, Program } from '../compiler/6-program/program.ts';
import { int, load, num, sub, variable } from '../compiler/scalar/expr.ts';
import { deviationOf, fixture, goldenNames, maxError, readGolden } from './helpers/golden.ts';
import { runKernels, tokens } from './helpers/kernel-run.ts';
import { familyModel } from './helpers/models.ts';

/** How far the kernels' logits for the first tokens are from a golden. */
async function run(name: string, change?: (p: Program) => Program): Promise<number> {
  const folder = fixture(`goldens/${name}`);
  const { prompt, logits } = readGolden(folder);
  const found = await runKernels(familyModel(folder), folder, prompt, change);
  return maxError(logits.slice(0, tokens), found) / deviationOf(logits);
}

describe('whole programs, three threads', () => {
  test.each(goldenNames)('%s', async (name) => {
    expect(await run(name)).toBeLessThan(2e-4);
  });

  test('a program without its barriers races', async () => {
    const without = (items: readonly Item[]): readonly Item[] =>
      items.flatMap((i): Item[] =>
        i.kind === 'barrier' ? [] : [i.kind === 'loop' ? { ...i, body: without(i.body) } : i],
      );
    const bare = run('llama', (p) => ({ ...p, body: without(p.body) }));
    await expect(bare).rejects.toMatchObject({ code: 'kernel/race' });
  });
});

describe('the interpreter finds', () => {
  const kernel = (body: Kernel['body']): Kernel => ({
    name: 'k',
    params: [
      {
        name: 'x',
        dtype: 'f32',
        shape: [],
        layout: { strides: [] },
        space: 'global',
        owner: 'grid',
      },
    ],
    scalars: ['t', 'r', 'blocks'],
    body,
    scratchBytes: 0,
    schedule: {},
    orderKept: true,
  });
  const go = (body: Kernel['body']): void =>
    interpretKernel(kernel(body), {
      memory: new DataView(new ArrayBuffer(64)),
      regions: [{ address: 0, bytes: 32 }],
      scalars: { t: 8, r: 1, blocks: 1 },
      threads: 2,
      races: makeRaceLog(64),
    });
  const i = variable('i');

  test('nothing in a good kernel', () => {
    go([loop('i', 0, variable('t'), [store('x', i, num(1))], 'thread')]);
  });
  test('a store outside', () => {
    const body = [loop('i', 0, 9, [store('x', i, num(1))], 'thread')];
    expect(() => go(body)).toThrow(/x\[8 : 1\] is outside its 32 bytes/);
  });
  test('two threads that write one element', () => {
    expect(() => go([store('x', 3, num(1))])).toThrow(/x at byte 12 is written by another thread/);
  });
  test('a thread that reads what another writes', () => {
    const last = sub(int(7), i);
    const body = [loop('i', 0, 8, [store('x', i, load('x', last))], 'thread')];
    expect(() => go(body)).toThrow(/another thread/);
  });
});
