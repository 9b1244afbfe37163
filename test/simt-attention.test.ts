/** Attention in workgroups: kernels over caches of many keys, alone and in company. */
import { describe, expect, test } from 'vitest';
import { blockKeys, mostParts, splitTokens } from '../compiler/4-partition/key-parts.ts';
import { type SheetSource, precision } from '../compiler/index.ts';
import { int8 } from '../stdlib/index.ts';
import {
  type AttendKernels, type Token, type Weigh, attendKernels, attendStep, attendedTo, runAttend,
} from './helpers/attend-kernels.ts'; // prettier-ignore
import { type Sizes, softmax } from './helpers/attention.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { templateOf } from './helpers/template.ts';
import { wgslOf } from './helpers/webgpu.ts';

const heads = 'q: [t, heads, n], k: [t, kv, n], v: [t, kv, n]';
const block = (body: string) => templateOf(`own(${heads}) -> [t, heads, n] {\n  ${body}\n}`);
const causal = 'return attend(q, k, v)';
const sizesOf = (group: number, head: number, kv = 2): Sizes => ({
  vocab: 16,
  width: 8,
  heads: group * kv,
  kv,
  head,
});
const kernelsOf = (body: string, sizes: Sizes, sheets: readonly SheetSource[] = []) =>
  attendKernels({ block: block(body) }, sizes, sheets);

/** f32 sums against doubles over the same cache. */
const accepted = 1e-5;
function close(
  k: AttendKernels,
  lengths: readonly number[],
  tokens: readonly Token[],
  weigh: Weigh,
) {
  const { rows } = runAttend(k, lengths, tokens);
  const wanted = tokens.map((t) => Float32Array.from(attendedTo(k, t, weigh)));
  expect(maxError(wanted, rows) / deviationOf(wanted)).toBeLessThan(accepted);
}
const bytes = (row: Float32Array | undefined): string =>
  Buffer.from(row?.buffer ?? new ArrayBuffer(0)).toString('hex');

/** The last of each sequence. */
const lastOf = (lengths: readonly number[]): Token[] =>
  lengths.map((length, sequence) => ({ sequence, length }));
/** Tokens that follow each other. */
const chunk = (sequence: number, from: number, to: number): Token[] =>
  Array.from({ length: to - from }, (_, n) => ({ sequence, length: from + n + 1 }));

const kept = {
  f32: [],
  f16: [precision`** { kv: f16 }`],
  int8: [precision`:attention { kv: ${int8()} }`],
};
const shapes = [1, 4, 8].flatMap((group) => [64, 80, 128].map((head) => [group, head] as const));

describe.each(Object.keys(kept) as (keyof typeof kept)[])('a cache of %s', (name) => {
  test.each(shapes)('groups of %i, heads of %i', (group, head) => {
    const k = kernelsOf(causal, sizesOf(group, head), kept[name]);
    const lengths = [37, 150];
    close(k, lengths, lastOf(lengths), (p) => softmax(p));
  });

  test('heads that no vectors divide, groups that no workgroup takes whole', () => {
    for (const [group, head] of [[3, 18], [9, 20], [5, 7], [20, 256]] as const) {
      const k = kernelsOf(causal, sizesOf(group, head, 1), kept[name]);
      close(k, [21, 130], lastOf([21, 130]), (p) => softmax(p));
    }
  }); // prettier-ignore

  test('changes no bit for company', () => {
    const k = kernelsOf(causal, sizesOf(2, 18, 1), kept[name]);
    const lengths = [146, 22, 7];
    const own = chunk(0, 128, 146);
    const picked = [0, 6, 17];
    const alone = picked.map((n) => bytes(runAttend(k, lengths, own.slice(n, n + 1)).rows[0]));
    const among = (rows: readonly Float32Array[], from: number): string[] =>
      picked.map((n) => bytes(rows[from + n]));
    expect(own.length).toBeGreaterThan(splitTokens);
    expect(among(runAttend(k, lengths, own).rows, 0)).toEqual(alone);
    // Between others: tiles begin elsewhere, and one holds tokens of two sequences.
    const between = [...chunk(1, 17, 22), ...own, ...chunk(2, 0, 7)];
    expect(among(runAttend(k, lengths, between).rows, 5)).toEqual(alone);
    const few = [...lastOf(lengths).slice(1), ...own.slice(4, 18)];
    expect(runAttend(k, lengths, few).rows.slice(4).map(bytes)[0]).toBe(alone[1]);
    expect(bytes(runAttend(k, lengths, few).rows.at(-1))).toBe(alone[2]);
  });
});

describe('what tokens see and how it is scored', () => {
  const sees = (body: string, weigh: Weigh) => {
    const k = kernelsOf(body, sizesOf(2, 12, 1));
    const lengths = [160, 30];
    close(k, lengths, lastOf(lengths), weigh);
    close(k, lengths, [...chunk(0, 155, 160), ...chunk(1, 16, 30)], weigh);
  };
  const seen = (p: readonly number[], test: (j: number) => boolean): (number | undefined)[] =>
    p.map((x, j) => (test(j) ? x : undefined));

  test('a window', () =>
    sees('return attend(q, k, v, mask = |i, j| j <= i and i - j < 100)', (p, i) =>
      softmax(seen(p, (j) => i - j < 100)),
    ));
  test('a window and the first keys', () =>
    sees('return attend(q, k, v, mask = |i, j| j <= i and (i - j < 20 or j < 4))', (p, i) =>
      softmax(seen(p, (j) => i - j < 20 || j < 4)),
    ));
  test('a window for each head, and a slope', () =>
    sees(
      'return attend(q, k, v, mask = |i, j, h| j <= i and i - j < 16 * (h + 1), score = |s, i, j, h| s - 0.1 * h * (i - j))',
      (p, i, h) =>
        softmax(p.map((x, j) => (i - j < 16 * (h + 1) ? x - 0.1 * h * (i - j) : undefined))),
    ));
  test('a cap', () =>
    sees('return attend(q, k, v, score = |s| 0.7 * tanh(s / 0.7))', (p) =>
      softmax(p.map((x) => 0.7 * Math.tanh(x / 0.7))),
    ));
  test('sinks', () =>
    sees('return attend(q, k, v, sink = |h| 1 - h)', (p, _, h) => softmax(p, 1 - h)));
  test('nothing of the first keys, so that some see nobody', () =>
    sees('return attend(q, k, v, mask = |i, j| j <= i and j >= 25)', (p, i) =>
      i < 25 ? p.map(() => 0) : softmax(seen(p, (j) => j >= 25)),
    ));
  test('weights that are not normalised', () =>
    sees('return attend(q, k, v, score = |s| s - 3, normalise = false)', (p) =>
      p.map((x) => Math.exp(x - 3)),
    ));
  test('what no lanes compute: keys of the same remainder', () =>
    sees('return attend(q, k, v, mask = |i, j| j <= i and (i - j) % 3 == 0)', (p, i) =>
      softmax(seen(p, (j) => (i - j) % 3 === 0)),
    ));
});

test('more keys than parts of one block hold', () => {
  const length = blockKeys * mostParts + 200;
  for (const [body, from] of [[causal, 0], ['return attend(q, k, v, mask = |i, j| j <= i and i - j < 300)', length - 300]] as const) {
    const k = kernelsOf(body, sizesOf(2, 8, 1));
    const tokens = chunk(0, length - 2, length);
    close(k, [length], tokens, (p, i) =>
      softmax(p.map((x, j) => (j > i - length + from ? x : undefined))),
    );
    const many = chunk(0, length - 17, length);
    const rows = runAttend(k, [length], many).rows.map(bytes);
    expect(rows.slice(-2)).toEqual(runAttend(k, [length], tokens).rows.map(bytes));
  }
}); // prettier-ignore

test('keys and values are read once for all query heads of a key head, in whole lines', () => {
  const sizes = sizesOf(8, 128, 1);
  const k = kernelsOf(causal, sizes);
  const { counts } = runAttend(k, [256], lastOf([256]), true);
  const [attend] = counts.launches;
  const cache = 2 * 256 * sizes.head * 4;
  expect(attend?.read).toBeLessThan(1.05 * cache);
  expect(attend?.readTotal).toBeLessThan(1.2 * cache);
  expect((attend?.busy ?? 0) / (attend?.slots ?? 1)).toBeGreaterThan(0.95);
  expect((attend?.sharedTurns ?? 0) / (attend?.sharedAccesses ?? 1)).toBeLessThan(1.2);
});

test('chosen keys are refused', () => {
  expect(() => kernelsOf('return attend(q, k, v, top = 20)', sizesOf(2, 8))).toThrow(
    /attend chooses keys, which no kernel for GPUs does/,
  );
});

test('small heads, whose keys all threads share, make no text deeper than parsers go', () => {
  const k = kernelsOf(causal, sizesOf(2, 16), kept.int8);
  const { program } = attendStep(k, [40], lastOf([40]));
  let [depth, deepest] = [0, 0];
  for (const c of wgslOf(program, false)) {
    if (c === '(') deepest = Math.max(deepest, ++depth);
    if (c === ')') depth--;
  }
  expect(deepest).toBeGreaterThan(4);
  expect(deepest).toBeLessThan(64);
});
