/** Attention in tiles and parts: every size of group, long caches, and no bit that hangs on company. */
import { describe, expect, test } from 'vitest';
import { blockKeys, mostParts } from '../compiler/4-partition/key-parts.ts';
import { halfOf, halfToFloat } from '../compiler/base/half.ts';
import { compileProgram } from '../compiler/compile.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { wasmMachine, x86Machine } from '../compiler/5-kernel/machine.ts';
import { load } from '../runtime/index.ts';
import { int8 } from '../stdlib/index.ts';
import { type Formula, type Sizes, build, naive, sizes, softmax } from './helpers/attention.ts';
import { fence, published } from './helpers/attention-variants.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels, tokens } from './helpers/kernel-run.ts';
import { bundleOf, loadBundle, referenceOf } from './helpers/models.ts';
import { nativeBundleOf } from './helpers/native-bundle.ts';
import { lacksNative } from './helpers/native-run.ts';
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
const toF16 = (row: Float64Array): Float64Array => row.map((x) => halfToFloat(halfOf(x)));
const even = (x: number): number => {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
};
const toInt8 =
  (head: number) =>
  (row: Float64Array): Float64Array =>
    row.map((x, i) => {
      const from = i - (i % head);
      const scale = Math.fround(Math.max(...row.subarray(from, from + head).map(Math.abs)) / 127);
      return scale === 0 ? 0 : even(x / scale) * scale;
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

describe('caches of fewer bits', () => {
  const f16 = [precision`** { kv: f16 }`];
  const byte = [precision`:attention { kv: ${int8()} }`];
  const chosen = block('return attend(q, k, v, mask = |i, j| j <= i, top = 200)');

  test.each([
    ['f16, heads of 8', 8, causal, f16],
    ['f16, heads of 18', 18, causal, f16],
    ['f16, entry by entry', 8, chosen, f16],
    ['int8, heads of 8', 8, causal, byte],
    ['int8, heads of 18', 18, causal, byte],
    ['int8, entry by entry', 8, chosen, byte],
  ] as const)('%s: kernels round as the interpreter does', async (_, head, template, sheets) => {
    const own = sizesOf(3, 2, head);
    const built = build({ block: template }, own, sheets);
    const prompt = idsFrom(2, 60);
    const keep = sheets === f16 ? toF16 : toInt8(head);
    const wanted = naive(built.weights, prompt, plain(own.head), own, 0, keep);
    const rough = naive(built.weights, prompt, plain(own.head), own);
    const reference = await referenceOf(built.bound, built.folder);
    const exact = await reference.logits(prompt);
    expect(maxError(wanted, exact) / deviationOf(wanted)).toBeLessThan(1e-6);
    expect(maxError(rough, exact) / deviationOf(wanted)).toBeGreaterThan(2e-5);
    const model = await loadBundle(await bundleOf(built.bound, built.folder), { threads: 2 });
    const found = await model.logits(prompt);
    // A number in the middle between two that are kept may go to either, as f32 or f64.
    const near = sheets === f16 ? 3e-4 : 3e-3;
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(near);
    const one = await model.sequence().append(prompt, { logits: 'all', chunk: 1 });
    expect(bytes(one)).toBe(bytes(found));
    model.close();
    const first = prompt.slice(0, tokens);
    for (const machine of [wasmMachine, x86Machine]) {
      const kernels = await runKernels(
        built.bound,
        built.folder,
        first,
        undefined,
        undefined,
        machine,
      );
      expect(maxError(wanted.slice(0, tokens), kernels) / deviationOf(wanted)).toBeLessThan(near);
    }
  });

  test('take less memory', () => {
    const built = build({ block: causal });
    const bytesOf = (sheets: readonly SheetSource[]): number =>
      compileProgram(built.bound, undefined, { sheets }).program.memory.stateBytesPerSlot;
    const all = bytesOf([]);
    expect(2 * bytesOf(f16)).toBe(all);
    // A byte for each element, and a factor for each head.
    const { kv, head } = sizes;
    expect(bytesOf(byte)).toBe(2 * kv * (head + 4));
    expect(all).toBe(2 * kv * head * 4);
  });
});

const native = [
  ['avx512', 1, 24, 'f32'],
  ['avx512', 4, 64, 'f16'],
  ['avx512', 2, 32, 'int8'],
  ['avx2', 3, 16, 'f16'],
] as const;
const rows = {
  f32: { sheets: [], keep: () => (row: Float64Array) => row, near: 1e-4 },
  f16: { sheets: [precision`** { kv: f16 }`], keep: () => toF16, near: 3e-4 },
  int8: { sheets: [precision`:attention { kv: ${int8()} }`], keep: toInt8, near: 3e-3 },
};
for (const [isa, group, head, kept] of native) {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '')(
    `native code for ${isa}: groups of ${group}, heads of ${head}, ${kept}${lacks}`,
    async () => {
      const own = sizesOf(group, 2, head);
      const { sheets, keep, near } = rows[kept];
      const built = build({ block: causal }, own, sheets);
      const prompt = idsFrom(group, 140);
      const wanted = naive(built.weights, prompt, plain(own.head), own, 0, keep(head));
      const bundle = await nativeBundleOf(built.bound, built.folder, {}, isa);
      const found: string[] = [];
      for (const [threads, chunk] of [
        [1, 140],
        [2, 37],
        [2, 1],
      ] as const) {
        const model = await load(bundle, { target: 'native', threads, context: 512 });
        const rows = await model.sequence().append(prompt, { logits: 'all', chunk });
        expect(maxError(wanted, rows) / deviationOf(wanted)).toBeLessThan(near);
        found.push(bytes(rows));
        model.close();
      }
      expect(new Set(found).size).toBe(1);
    },
    60_000,
  );
}

test.each(['learnedSinks', 'softcap', 'alibi', 'streaming'] as const)(
  '%s: parts of one token in two threads, to the bit',
  async (name) => {
    const built = build({ ...published[name], block: fence(name) });
    const prompt = idsFrom(9, 400);
    const bundle = await bundleOf(built.bound, built.folder);
    const found: string[] = [];
    for (const [threads, chunk] of [
      [1, 400],
      [2, 1],
    ] as const) {
      const model = await loadBundle(bundle, { threads, context: 512 });
      found.push(bytes(await model.sequence().append(prompt, { logits: 'all', chunk })));
      model.close();
    }
    expect(found[1]).toBe(found[0]);
  },
);

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
