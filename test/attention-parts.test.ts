/** Attention in tiles and parts: every size of group, long caches, and no bit that hangs on company. */
import { describe, expect, test } from 'vitest';
import { blockKeys, mostParts } from '../compiler/4-partition/key-parts.ts';
import { halfOf, halfToFloat } from '../compiler/base/half.ts';
import { compileProgram } from '../compiler/compile.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import { load } from '../runtime/index.ts';
import { type Formula, type Sizes, build, naive, softmax } from './helpers/attention.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels, tokens } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { nativeBundleOf } from './helpers/native-bundle.ts';
import { lacksNative } from './helpers/one-kernel.ts';
import { templateOf } from './helpers/template.ts';

const heads = 'q: [t, heads, n], k: [t, kv, n], v: [t, kv, n]';
const block = (body: string) => templateOf(`own(${heads}) -> [t, heads, n] {\n  ${body}\n}`);
const causal = block('return attend(q, k, v)');
const plain =
  (head: number, seen = (i: number, j: number): boolean => j <= i): Formula =>
  (_, i, __, products) =>
    softmax(products.map((p, j) => (seen(i, j) ? p / Math.sqrt(head) : undefined)));

/** Below the number of the model's results too, which are taken for a vocabulary. */
function idsFrom(seed: number, count: number): readonly number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % 8;
  });
}
const sizesOf = (group: number, kv = 2, head = 8): Sizes => ({
  vocab: 32,
  width: 16,
  heads: group * kv,
  kv,
  head,
});
const bytes = (rows: readonly Float32Array[]): string =>
  Buffer.concat(rows.map((r) => Buffer.from(r.buffer, r.byteOffset, r.byteLength))).toString('hex');

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('groups of %i', (group) => {
  const own = sizesOf(group, 2, group === 5 ? 18 : group === 3 ? 20 : 8);
  const built = build({ block: causal }, own);
  const prompt = idsFrom(group, 140);
  const open = async (threads: number) =>
    loadBundle(await bundleOf(built.bound, built.folder), { threads, context: 256, sequences: 4 });

  test('are what the formula says, one token at a time too, to the bit', async () => {
    const model = await open(1);
    const all = await model.logits(prompt);
    const wanted = naive(built.weights, prompt, plain(own.head), own);
    expect(maxError(wanted, all) / deviationOf(wanted)).toBeLessThan(1e-4);
    const one = await model.sequence().append(prompt, { logits: 'all', chunk: 1 });
    expect(bytes(one)).toBe(bytes(all));
    model.close();
    const two = await open(2);
    const [together] = await Promise.all([
      two.sequence().append(prompt, { logits: 'all', chunk: 13 }),
      two.logits(prompt.slice(3)),
      two.sequence().append(prompt.slice(7, 40), { logits: 'all', chunk: 2 }),
    ]);
    expect(bytes(together)).toBe(bytes(all));
    const decoded = await two.sequence().append(prompt, { logits: 'all', chunk: 1 });
    expect(bytes(decoded)).toBe(bytes(all));
    two.close();
  });

  test('stay in bounds and have no race', async () => {
    const own6 = prompt.slice(0, tokens);
    const wanted = naive(built.weights, own6, plain(own.head), own);
    for (const machine of [wasmMachine, x86Machine]) {
      const found = await runKernels(
        built.bound,
        built.folder,
        own6,
        undefined,
        undefined,
        machine,
      );
      expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(1e-4);
    }
  });
});

describe('caches of f16', () => {
  const keep = (row: Float64Array): Float64Array => row.map((x) => halfToFloat(halfOf(x)));
  const sheets = [precision`** { kv: f16 }`];

  test.each([
    ['heads of 8 in lanes', 8, causal],
    ['heads of 18', 18, causal],
    ['entry by entry', 8, block('return attend(q, k, v, mask = |i, j| j <= i, top = 200)')],
  ] as const)('%s: kernels round as the interpreter does', async (_, head, template) => {
    const own = sizesOf(3, 2, head);
    const built = build({ block: template }, own, sheets);
    const prompt = idsFrom(2, 60);
    const wanted = naive(built.weights, prompt, plain(own.head), own, 0, keep);
    const rough = naive(built.weights, prompt, plain(own.head), own);
    const reference = await referenceOf(built.bound, built.folder);
    const exact = await reference.logits(prompt);
    expect(maxError(wanted, exact) / deviationOf(wanted)).toBeLessThan(1e-6);
    expect(maxError(rough, exact) / deviationOf(wanted)).toBeGreaterThan(2e-5);
    const model = await loadBundle(await bundleOf(built.bound, built.folder), { threads: 2 });
    const found = await model.logits(prompt);
    // A number in the middle between two of 16 bits may go to either, as f32 or f64.
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(3e-4);
    const one = await model.sequence().append(prompt, { logits: 'all', chunk: 1 });
    expect(bytes(one)).toBe(bytes(found));
    model.close();
    const first = prompt.slice(0, tokens);
    const kernels = await runKernels(built.bound, built.folder, first);
    expect(maxError(wanted.slice(0, tokens), kernels) / deviationOf(wanted)).toBeLessThan(3e-4);
  });

  test('take half the memory of those of f32', () => {
    const built = build({ block: causal });
    const bytesOf = (own?: readonly SheetSource[]): number =>
      compileProgram(built.bound, undefined, own ? { sheets: own } : {}).program.memory
        .stateBytesPerSlot;
    expect(2 * bytesOf(sheets)).toBe(bytesOf());
  });
});

const native = [
  ['avx512', 1, 24, false],
  ['avx512', 4, 64, true],
  ['avx2', 3, 16, true],
] as const;
for (const [isa, group, head, narrow] of native) {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '')(
    `native code for ${isa}: groups of ${group}, heads of ${head}, f16: ${narrow}${lacks}`,
    async () => {
      const own = sizesOf(group, 2, head);
      const built = build({ block: causal }, own, narrow ? [precision`** { kv: f16 }`] : []);
      const prompt = idsFrom(group, 140);
      const keep = (x: number): number => (narrow ? halfToFloat(halfOf(x)) : x);
      const kept = (row: Float64Array): Float64Array => row.map(keep);
      const wanted = naive(built.weights, prompt, plain(own.head), own, 0, kept);
      const bundle = await nativeBundleOf(built.bound, built.folder, {}, isa);
      const found: string[] = [];
      for (const [threads, chunk] of [
        [1, 140],
        [2, 37],
        [2, 1],
      ] as const) {
        const model = await load(bundle, { target: 'native', threads, context: 512 });
        const rows = await model.sequence().append(prompt, { logits: 'all', chunk });
        expect(maxError(wanted, rows) / deviationOf(wanted)).toBeLessThan(narrow ? 3e-4 : 1e-4);
        found.push(bytes(rows));
        model.close();
      }
      expect(new Set(found).size).toBe(1);
    },
    60_000,
  );
}

describe('more keys than parts of one block hold', () => {
  const own = sizesOf(2, 1);
  const length = blockKeys * mostParts + 200;
  const first = length - 3;
  const prompt = idsFrom(5, length);

  test.each([
    ['all of them', causal, plain(own.head)],
    [
      'a window of 300',
      block('return attend(q, k, v, mask = |i, j| j <= i and i - j < 300)'),
      plain(own.head, (i, j) => j <= i && i - j < 300),
    ],
    [
      'keys no token sees, at the start',
      block('return attend(q, k, v, mask = |i, j| j <= i and j >= 1500)'),
      plain(own.head, (i, j) => j <= i && j >= 1500),
    ],
  ] as const)('%s', async (_, template, formula) => {
    const built = build({ block: template }, own);
    const bundle = await bundleOf(built.bound, built.folder);
    const open = (threads: number) => loadBundle(bundle, { threads, context: 4096, sequences: 2 });
    const wanted = naive(built.weights, prompt, formula, own, first);
    const found: string[] = [];
    for (const [threads, chunk] of [
      [1, 512],
      [2, 300],
    ] as const) {
      const model = await open(threads);
      const s = model.sequence();
      const start = await s.append(prompt.slice(0, length - 40), { logits: 'all', chunk });
      const rows = await s.append(prompt.slice(length - 40), { logits: 'all', chunk: threads });
      expect(maxError(wanted, rows.slice(-3)) / deviationOf(wanted)).toBeLessThan(1e-4);
      found.push(bytes([...start.slice(1490), ...rows]));
      model.close();
    }
    expect(found[0]).toBe(found[1]);
  });
});
