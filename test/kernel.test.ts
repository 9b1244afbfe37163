/** Kernels in their own interpreter: in bounds, without races, and the golden's numbers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../compiler/cli/node-files.ts';
import { compileProgram } from '../compiler/compile.ts';
import { blockEntries } from '../compiler/5-kernel/attend.ts';
import { interpretKernel } from '../compiler/5-kernel/interpret.ts';
import type { Kernel } from '../compiler/5-kernel/kernel.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import { interpretProgram } from '../compiler/6-program/interpret.ts';
import type { Item, Program } from '../compiler/6-program/program.ts';
import { readCheckpoint } from '../compiler/8-bundle/checkpoint.ts';
import { int, load, num, sub, variable } from '../compiler/scalar/expr.ts';
import { readManifest } from '../runtime/validate.ts';
import { deviationOf, fixture, goldenNames, maxError, readGolden } from './helpers/golden.ts';
import { bundleOf, familyModel } from './helpers/models.ts';

const tokens = 6;
const limits = { tokens, rows: tokens };

/** The program's logits for the first tokens of a golden, in chunks of 4 and 2. */
async function run(name: string, change: (p: Program) => Program = (p) => p) {
  const folder = fixture(`goldens/${name}`);
  const bound = familyModel(folder);
  const bundle = await bundleOf(bound, folder, limits);
  const manifest = readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));
  const checkpoint = await readCheckpoint(nodeFiles, folder);
  const program = change(compileProgram(bound, checkpoint, { limits }).program);
  const { prompt, logits } = readGolden(folder);
  const { arenaBytes, weightBytes, stateBytesPerSlot } = program.memory;
  const slots = 2 * blockEntries;
  const align = (n: number): number => Math.ceil(n / 64) * 64;
  const stepBytes = 64 * 8;
  const arena = stepBytes;
  const state = align(arena + arenaBytes);
  const weights = align(state + stateBytesPerSlot * slots);
  const keys = weights + manifest.weights.bytes;
  const bytes = new Uint8Array(keys + slots * 4);
  for (const s of manifest.weights.shards) {
    bytes.set(readFileSync(join(bundle, s.file)), weights + s.offset);
  }
  expect(weightBytes).toBeLessThanOrEqual(manifest.weights.bytes);
  const view = new DataView(bytes.buffer);
  const fields = ['ids', 'sequence', 'position', 'slot', 'length', 'rows', 'table'];
  const step = new Map(fields.map((f, i) => [f, { address: i * 64, bytes: 64 }]));
  step.set('keys', { address: keys, bytes: slots * 4 });
  const out: Float32Array[] = [];
  const put = (field: string, i: number, v: number): void =>
    view.setInt32((step.get(field)?.address ?? 0) + 4 * i, v, true);
  let done = 0;
  for (const count of [4, 2]) {
    put('table', 0, 1); // the first block is the second one of the cache
    for (let i = 0; i < count; i++) {
      const position = done + i;
      put('ids', i, prompt[position] ?? 0);
      put('sequence', i, 0);
      put('position', i, position);
      put('slot', i, blockEntries + position);
      put('length', i, position + 1);
      put('rows', i, i);
      put('keys', blockEntries + position, position);
    }
    const m = { memory: view, arena, weights, state, step, slots };
    const sizes = { t: count, r: count, blocks: 1, threads: 3 };
    interpretProgram(program, m, sizes, makeRaceLog(bytes.byteLength));
    const { offset, width, rowBytes } = program.output;
    for (let i = 0; i < count; i++) {
      const at = arena + offset + i * rowBytes;
      out.push(new Float32Array(bytes.slice(at, at + 4 * width).buffer));
    }
    done += count;
  }
  return maxError(logits.slice(0, tokens), out) / deviationOf(logits);
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
