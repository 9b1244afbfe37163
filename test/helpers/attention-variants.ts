/** Variants of attention, the book's and some of no book, each with its formula. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Template } from '../../compiler/index.ts';
import type { LoadedModel } from '../../runtime/model.ts';
import { type Case, type Formula, type Tokens, dot, sizes, softmax } from './attention.ts';
import { templateOf } from './template.ts';

const book = readFileSync(
  fileURLToPath(new URL('../../spec/attention.md', import.meta.url)),
  'utf8',
);
export const fences = new Map(
  [...book.matchAll(/^```ts\n.*?export const (\w+) = block`\n(.*?)`;\n```$/gms)].map((m) => [
    m[1] ?? '',
    m[2] ?? '',
  ]),
);
export const fence = (name: string): Template => templateOf(fences.get(name) ?? '');

const scale = 1 / Math.sqrt(sizes.head);
/** Softmax of scores of the keys that are seen. */
const plain =
  (
    seen: (t: Tokens, i: number, j: number, h: number) => boolean,
    score: (s: number, i: number, j: number, h: number, t: Tokens) => number = (s) => s,
    factor = scale,
  ): Formula =>
  (t, i, h, products) =>
    softmax(products.map((p, j) => (seen(t, i, j, h) ? score(p * factor, i, j, h, t) : undefined)));
const all = (): boolean => true;
const numberOf = (t: Tokens, name: string, ...index: number[]): number => {
  const { shape, data } = t.weight(name);
  return data[index.reduce((sum, x, a) => sum * (shape[a] ?? 1) + x, 0)] ?? NaN;
};

export interface Variant extends Case {
  readonly formula: Formula;
  /** Kernels that make what it reads. */
  readonly more?: number;
  /** Those of them that attend. */
  readonly attends?: number;
}

/** A whole number for each token, a column of a table by token id. */
const perToken = (name: string, below: number) => ({
  before: `weight kinds: [${sizes.vocab}, 1]\n    ${name} = kinds[ids] as [t]`,
  inputs: `, ${name}`,
  whole: { kinds: below },
  more: 1,
});
const kind = (t: Tokens, i: number): number => numberOf(t, 'kinds', t.ids[i] ?? 0, 0);

const bucketOf = (d: number): number =>
  d < 16 ? d : Math.min(16 + Math.floor((Math.log(d / 16) / Math.log(128 / 16)) * 16), 31);
const block16 = (p: number): number => Math.floor(p / 16);
const drawn = (a: number, b: number, h: number): boolean => (a * 37 + b * 101 + h * 17) % 5 === 0;

const projections = new Map<Tokens, Map<string, readonly Float64Array[]>>();
/** Rows of a product with a weight, computed once for a sequence. */
function rows(t: Tokens, name: string): readonly Float64Array[] {
  const own = projections.get(t) ?? new Map<string, readonly Float64Array[]>();
  projections.set(t, own);
  const found = own.get(name) ?? t.project(name);
  own.set(name, found);
  return found;
}
const rowOf = (t: Tokens, name: string, i: number): Float64Array =>
  rows(t, name)[i] ?? new Float64Array(0);
const argmax = (row: Float64Array): number => row.indexOf(Math.max(...row));

const indexScore = (t: Tokens, i: number, j: number): number =>
  [0, 1, 2].reduce((sum, m) => {
    const query = rowOf(t, 'wqi', i).subarray(m * 6, m * 6 + 6);
    return sum + (rowOf(t, 'ww', i)[m] ?? 0) * Math.max(0, dot(query, rowOf(t, 'wki', j)));
  }, 0);
/** The 7 best of the keys up to i, the earlier of equal ones. */
const chosen = (t: Tokens, i: number): readonly number[] =>
  Array.from({ length: i + 1 }, (_, j) => ({ j, by: indexScore(t, i, j) }))
    .sort((a, b) => b.by - a.by || a.j - b.j)
    .slice(0, 7)
    .map((x) => x.j);

const indexer = {
  before: `weight wqi: [18, ${sizes.width}], wki: [6, ${sizes.width}], ww: [3, ${sizes.width}]`,
  inputs: ', (x @ wqi.T) as [t, 3, 6], x @ wki.T, x @ ww.T',
};

/** The book's, by name. */
export const published: Readonly<Record<string, Omit<Variant, 'block'>>> = {
  slidingWindow: { params: 'window = 9', formula: plain((_, i, j) => i - j < 9) },
  streaming: {
    params: 'window = 20, sinks = 3',
    formula: plain((_, i, j) => i - j < 20 || j < 3),
  },
  alibi: {
    formula: plain(all, (s, i, j, h) => s - 2 ** ((-8 * (h + 1)) / sizes.heads) * (i - j)),
  },
  softcap: { params: 'cap = 0.7', formula: plain(all, (s) => 0.7 * Math.tanh(s / 0.7)) },
  relativeBuckets: {
    formula: plain(
      all,
      (s, i, j, h, t) => s + numberOf(t, 'attention.bias', bucketOf(i - j), h),
      1,
    ),
  },
  documents: { ...perToken('docs', 3), formula: plain((t, i, j) => kind(t, i) === kind(t, j)) },
  learnedSinks: {
    params: 'window = 30',
    formula: (t, i, h, products) =>
      softmax(
        products.map((p, j) => (i - j < 30 ? p * scale : undefined)),
        numberOf(t, 'attention.sinks', h),
      ),
  },
  bigBird: {
    formula: plain((_, i, j, h) => {
      const [a, b] = [block16(i), block16(j)];
      return b === 0 || a - b < 2 || drawn(a, b, h);
    }),
  },
  strided: { formula: plain((_, i, j, h) => (h % 2 === 0 ? i - j < 8 : (i - j) % 8 === 0)) },
  indexed: {
    ...indexer,
    params: 'chosen = 7',
    formula: plain((t, i, j) => chosen(t, i).includes(j)),
  },
  hashed: {
    inputs: ', x',
    formula: plain((t, i, j) => {
      const bucket = (n: number): number => argmax(rowOf(t, 'attention.planes', n));
      return i === j || bucket(i) === bucket(j);
    }),
  },
  paths: {
    ...perToken('path', 3),
    formula: plain((t, i, j) => [0, kind(t, i)].includes(kind(t, j)) || kind(t, i) === 0),
  },
};

export const heads = 'q: [t, heads, n], k: [t, kv, n], v: [t, kv, n]';
/** Of no book: nobody wrote a rule for them. */
const others: Readonly<Record<string, Variant>> = {
  'a guess tree, whose tokens see their ancestors': {
    block: templateOf(`tree(${heads}, node: [t], path: [t, 4]) -> [t, heads, n] {
      return attend(q, k, v, mask = |i, j| i == j or node[j] == path[i, j % 4])
    }`),
    before: `weight kinds: [${sizes.vocab}, 1], ways: [${sizes.vocab}, 4]
    node = kinds[ids] as [t]`,
    inputs: ', node, ways[ids]',
    whole: { kinds: 5, ways: 5 },
    more: 1,
    formula: plain(
      (t, i, j) => i === j || kind(t, j) === numberOf(t, 'ways', t.ids[i] ?? 0, j % 4),
    ),
  },
  'documents, in a function that goes through two blocks': {
    block: templateOf(
      `documents(${heads}, docs: [t], more: [t]) -> [t, heads, n] {
        return \${0}(q, k, v, mask = |i, j| docs[i] == docs[j] and more[j] < 2)
      }`,
      [
        templateOf(
          `windowed(${heads}; mask: fn) -> [t, heads, n] {
            outer = |i, j| mask(i, j) and i - j < 30
            return \${0}(q, k, v, mask = outer)
          }`,
          [
            templateOf(`masked(${heads}; mask: fn) -> [t, heads, n] {
              docs = q
              return attend(docs, k, v, mask = mask)
            }`),
          ],
        ),
      ],
    ),
    ...perToken('docs', 3),
    inputs: ', docs, docs',
    formula: (t, i, _h, products) => {
      const scores = products.map((p, j) =>
        kind(t, i) === kind(t, j) && kind(t, j) < 2 && i - j < 30 ? p * scale : undefined,
      );
      return scores.every((x) => x === undefined) ? scores.map(() => 0) : softmax(scores);
    },
  },
  'a forgetting gate, whose logarithms are added up by attention': {
    block: templateOf(`forgetting(${heads}, gate: [t, heads]) -> [t, heads, n] {
      f = gate as [t, heads, 1]
      sums = attend(0 * f, 0 * f, log(sigmoid(f)), normalise = false) as [t, heads]
      return attend(q, k, v, score = |s, i, j, h| s + sums[i, h] - sums[j, h])
    }`),
    before: `weight wf: [${sizes.heads}, ${sizes.width}]`,
    inputs: ', x @ wf.T',
    more: 2,
    attends: 1,
    formula: plain(all, (s, i, j, h, t) => {
      let forgotten = 0;
      for (let l = j + 1; l <= i; l++) {
        forgotten -= Math.log(1 + Math.exp(-(rowOf(t, 'wf', l)[h] ?? 0)));
      }
      return s + forgotten;
    }),
  },
  'weights by a sigmoid, not normalised, of a dilated window for each head': {
    block: templateOf(`gated(${heads}; windows: [int] = [8, 16, 32, 64]) -> [t, heads, n] {
      seen = |i, j, h| i - j < windows[h] and (i - j) % (h + 1) == 0
      return attend(q, k, v, mask = seen, score = |s| log(sigmoid(s - 1)), normalise = false)
    }`),
    formula: (_, i, h, products) =>
      products.map((p, j) => {
        const seen = i - j < 8 * 2 ** h && (i - j) % (h + 1) === 0;
        return seen ? 1 / (1 + Math.exp(1 - p * scale)) : 0;
      }),
  },
  'blocks of keys chosen by their mean, the own one always': {
    block: templateOf(`blocks(${heads}) -> [t, heads, n] {
      own = |i, j| floor(i / 8) == floor(j / 8)
      by = |i, j, h| if own(i, j) then 1e9 else dot(q[i, h], k[j, floor(h / 2)])
      return attend(q, k, v, top = 3, each = 8, select = by)
    }`),
    formula: (_, i, _h, products) => {
      const blocks = Array.from({ length: Math.floor(i / 8) }, (_x, n) => n)
        .map((n) => ({ n, mean: products.slice(8 * n, 8 * n + 8).reduce((x, y) => x + y) / 8 }))
        .sort((x, y) => y.mean - x.mean)
        .slice(0, 2)
        .map((b) => b.n);
      const seen = new Set([Math.floor(i / 8), ...blocks]);
      return softmax(products.map((p, j) => (seen.has(Math.floor(j / 8)) ? p * scale : undefined)));
    },
  },
  'a learned temperature for each head, and nobody seen but by a rare table': {
    block: templateOf(`rare(${heads}, kinds: [t]) -> [t, heads, n] {
      weight heat: [heads], pairs: [3, 3]
      return attend(q, k, v, scale = 1, score = |s, i, j, h| s * exp(heat[h]),
        mask = |i, j| pairs[kinds[i], kinds[j]] == 1)
    }`),
    ...perToken('sort', 3),
    whole: { kinds: 3, 'attention.pairs': 3 },
    formula: (t, i, h, products) => {
      const scores = products.map((p, j) =>
        numberOf(t, 'attention.pairs', kind(t, i), kind(t, j)) === 1
          ? p * Math.exp(numberOf(t, 'attention.heat', h))
          : undefined,
      );
      return scores.every((s) => s === undefined) ? scores.map(() => 0) : softmax(scores);
    },
  },
};

export const variants: readonly (readonly [string, Variant])[] = [
  ...Object.entries(published).map(([name, v]) => [name, { ...v, block: fence(name) }] as const),
  ...Object.entries(others),
];

/** Steps of a prompt in chunks and of decoding. */
const steps = [33, 20, 1, 1, 7, 1];
export const ids = Array.from(
  { length: steps.reduce((a, b) => a + b) },
  (_, i) => (i * i * 7 + 3 * i) % sizes.vocab,
);

/** f32 sums against doubles. */
export const accepted = 1e-4;

export async function logits(model: LoadedModel): Promise<Float32Array[]> {
  const sequence = model.sequence();
  const out: Float32Array[] = [];
  let done = 0;
  for (const n of steps) {
    out.push(...(await sequence.append(ids.slice(done, done + n), { logits: 'all' })));
    done += n;
  }
  model.close();
  return out;
}
