/** Models around a block of attention, with random weights, and attention written out naively. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGraph } from '../../compiler/compile.ts';
import { type BoundModel, type SheetSource, type Template, bind } from '../../compiler/index.ts';
import { nameAt } from '../../compiler/2-model/model.ts';
import type { Node } from '../../compiler/3-graph/graph.ts';
import { makeRandom } from './random-checkpoint.ts';
import { temporaryFolder } from './models.ts';
import { templateOf } from './template.ts';

export interface Sizes {
  readonly vocab: number;
  readonly width: number;
  readonly heads: number;
  readonly kv: number;
  readonly head: number;
}
export const sizes: Sizes = { vocab: 32, width: 32, heads: 4, kv: 2, head: 8 };

/** A matrix of doubles by rows, as it was rounded to f32. */
export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export type Weights = ReadonlyMap<string, Weight>;

export interface Case {
  readonly block: Template;
  /** Arguments of the block after q, k, v, and statements that make them from `x`. */
  readonly inputs?: string;
  readonly before?: string;
  readonly params?: string;
  /** Weights that hold whole numbers below this bound. */
  readonly whole?: Readonly<Record<string, number>>;
}

export interface Built {
  readonly bound: BoundModel;
  readonly folder: string;
  readonly weights: Weights;
}

/** The block between projections of an embedding; its result is the model's. */
export function build(c: Case, own = sizes, sheets: readonly SheetSource[] = []): Built {
  const { vocab, width, heads, kv, head } = own;
  const text = `variant(ids: i32[t]) -> [t, ${heads * head}] {
    weight table: [${vocab}, ${width}], wq: [${heads * head}, ${width}]
    weight wk: [${kv * head}, ${width}], wv: [${kv * head}, ${width}]
    use attention = \${0}(${c.params ?? ''})
    x = table[ids]
    q = (x @ wq.T) as [t, ${heads}, ${head}]
    k = (x @ wk.T) as [t, ${kv}, ${head}]
    v = (x @ wv.T) as [t, ${kv}, ${head}]
    ${c.before ?? ''}
    return attention(q, k, v${c.inputs ?? ''}) as [t, ${heads * head}]
  }`;
  const bound = bind(templateOf(text, [c.block], 'model'), { sheets });
  const weights = randomWeights(bound, c.whole ?? {});
  const folder = temporaryFolder();
  writeCheckpoint(folder, weights);
  return { bound, folder, weights };
}

function randomWeights(bound: BoundModel, whole: Readonly<Record<string, number>>): Weights {
  const { graph } = compileGraph(bound, undefined);
  const random = makeRandom(9);
  const out = new Map<string, Weight>();
  const visit = (nodes: readonly Node[], rounds: number): void => {
    for (const n of nodes) {
      if (n.kind === 'loop') visit(n.body, n.count);
      if (n.kind !== 'weight') continue;
      for (let i = 0; i < rounds; i++) draw(nameAt(n.name, i), n.result);
    }
  };
  const draw = (name: string, value: number): void => {
    const shape = (graph.types.get(value)?.shape ?? []).map(Number);
    const below = whole[name];
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, () =>
      below === undefined ? random() : Math.floor(((random() + 1) / 2) * below),
    );
    out.set(name, { shape, data });
  };
  visit(graph.nodes, 1);
  return out;
}

function writeCheckpoint(folder: string, weights: Weights): void {
  let offset = 0;
  const header = Object.fromEntries(
    [...weights].map(([name, w]) => {
      const from = offset;
      offset += 4 * w.data.length;
      return [name, { dtype: 'F32', shape: w.shape, data_offsets: [from, offset] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const parts = [...weights.values()].map((w) => Buffer.from(w.data.buffer));
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
}

/** What a variant's formula may speak of, for one sequence of tokens. */
export interface Tokens {
  readonly ids: readonly number[];
  readonly weights: Weights;
  /** The embedding of each token, and a weight's product with it. */
  readonly x: readonly Float64Array[];
  project(name: string): readonly Float64Array[];
  weight(name: string): Weight;
}

export function tokensOf(weights: Weights, ids: readonly number[]): Tokens {
  const weight = (name: string): Weight => {
    const found = weights.get(name);
    if (!found) throw new Error(`no weight ${name}`);
    return found;
  };
  const rowOf = ({ shape, data }: Weight, row: number): Float64Array => {
    const columns = shape.slice(1).reduce((a, b) => a * b, 1);
    return Float64Array.from(data.subarray(row * columns, (row + 1) * columns));
  };
  const x = ids.map((id) => rowOf(weight('table'), id));
  const project = (name: string): Float64Array[] =>
    x.map((row) =>
      Float64Array.from({ length: weight(name).shape[0] ?? 0 }, (_, n) =>
        dot(rowOf(weight(name), n), row),
      ),
    );
  return { ids, weights, x, project, weight };
}

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
};

/** A variant's formula, written out: weights of the values of keys j <= i for a query and head. */
export type Formula = (t: Tokens, i: number, h: number, products: readonly number[]) => number[];

/** exp(score) over their sum, with `rest` added to it; undefined scores are not seen. */
export function softmax(scores: readonly (number | undefined)[], rest = -Infinity): number[] {
  const most = Math.max(rest, ...scores.map((s) => s ?? -Infinity));
  const parts = scores.map((s) => (s === undefined ? 0 : Math.exp(s - most)));
  const total = parts.reduce((a, b) => a + b, Math.exp(rest - most));
  return parts.map((p) => p / total);
}

/**
 * The model's rows for `ids` from row `first` on, by the formula; products are q.k without a scale.
 * `keep`: what a cache keeps of a row of keys or values.
 */
export function naive(
  weights: Weights,
  ids: readonly number[],
  formula: Formula,
  own = sizes,
  first = 0,
  keep = (row: Float64Array): Float64Array => row,
): Float32Array[] {
  const { heads, kv, head } = own;
  const t = tokensOf(weights, ids);
  const [q, k, v] = ['wq', 'wk', 'wv'].map((w) =>
    w === 'wq' ? t.project(w) : t.project(w).map(keep),
  );
  return ids.slice(first).map((_, n) => {
    const i = first + n;
    const out = new Float32Array(heads * head);
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kv));
      const part = (rows: readonly Float64Array[] | undefined, row: number, n: number) =>
        rows?.[row]?.subarray(n * head, (n + 1) * head) ?? new Float64Array(0);
      const js = Array.from({ length: i + 1 }, (_, j) => j);
      const products = js.map((j) => dot(part(q, i, h), part(k, j, g)));
      const weightsOf = formula(t, i, h, products);
      for (let c = 0; c < head; c++) {
        out[h * head + c] = js.reduce(
          (s, j) => s + (weightsOf[j] ?? 0) * (part(v, j, g)[c] ?? 0),
          0,
        );
      }
    }
    return out;
  });
}
