/** The paged cache and attention over it. */
import { type Dim, constantDim, sameDim, showShape, symbol } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { evaluateFn } from '../scalar/eval.ts';
import { type ScalarFn, compare, variable } from '../scalar/expr.ts';
import { onlineSoftmax } from '../scalar/monoid.ts';
import { type NoAttrs, type Problem, type Step, defineOp } from './op.ts';
import { array, number, sizeOf, wrongRank } from './shape.ts';

const rowOf = (t: TensorType): number[] => t.shape.slice(1).map(number);

export const cache = defineOp<NoAttrs>({
  doc: "Stores each token's row in the cache slot of the token; the result is what tokens can look back on.",
  operands: ['x'],
  results: ['entries'],
  attrs: {},
  step: ['slot'],
  infer([x]) {
    const type = present(x);
    if (type.shape.length !== 3) return wrongRank('cache', 0, '[t, heads, n]', type);
    return [{ dtype: 'f32', shape: [symbol('c'), ...type.shape.slice(1)] }];
  },
  state: ([x]) => ({ row: rowOf(present(x)), dtype: 'f32' }),
  cost: ([x]) => ({
    flops: 0,
    weightBytes: 0,
    stateBytes: 4 * sizeOf(present(x).shape),
    activationBytes: 0,
  }),
  evaluate([x], _, __, { step, state }, name) {
    const { shape, data } = present(x);
    const width = sizeOf(shape.slice(1));
    step.slot.forEach((slot, n) => {
      state.row(name, slot, width).set(data.subarray(n * width, (n + 1) * width));
      state.setPosition(slot, step.position[n] ?? 0);
    });
    return [{ shape: [0, ...shape.slice(1)], data: new Float64Array(0) }];
  },
  lower: () => ({ kind: 'append' }),
  samples: [],
});

/** Slot of entry `e` of the sequence of token `n`. */
export function slotOf(step: Step, n: number, e: number): number {
  const row = (step.sequence[n] ?? 0) * step.blocksPerSequence;
  const block = step.table[row + Math.floor(e / step.block)] ?? 0;
  return block * step.block + (e % step.block);
}

const causal: ScalarFn = {
  params: ['i', 'j'],
  body: compare('le', variable('j'), variable('i')),
};
const plainScore: ScalarFn = { params: ['s'], body: variable('s', 'f32') };

export const attend = defineOp<{
  readonly scale: number;
  readonly score: ScalarFn;
  readonly mask: ScalarFn;
}>({
  doc: 'Softmax of the scores q.k over the cached entries that the mask lets a token see, times their values.',
  operands: ['q', 'k', 'v'],
  results: ['y'],
  cached: [1, 2],
  attrs: {
    scale: {
      kind: 'real',
      doc: 'factor of q.k; 0: one over the root of the head size',
      default: 0,
    },
    score: {
      kind: 'fn',
      doc: 'the score of a pair from the scaled product',
      default: plainScore,
      params: [
        { name: 's', dtype: 'f32' },
        { name: 'i', dtype: 'i32' },
        { name: 'j', dtype: 'i32' },
        { name: 'h', dtype: 'i32' },
      ],
      result: 'f32',
    },
    mask: {
      kind: 'fn',
      doc: 'whether the token at position i sees the one at j; h: the head',
      default: causal,
      params: [
        { name: 'i', dtype: 'i32' },
        { name: 'j', dtype: 'i32' },
        { name: 'h', dtype: 'i32' },
      ],
      result: 'bool',
    },
  },
  step: ['position', 'sequence', 'length', 'table'],
  infer([q, k, v]) {
    const [query, key, value] = [present(q), present(k), present(v)];
    const wrong = [query, key, value].findIndex((t) => t.shape.length !== 3);
    if (wrong >= 0)
      return wrongRank('attend', wrong, '[t, heads, n]', present([query, key, value][wrong]));
    const [, heads = 1, width = 1] = query.shape;
    const [, kvHeads = 1, keyWidth = 1] = key.shape;
    const [, valueHeads = 1, valueWidth = 1] = value.shape;
    if (!sameDim(width, keyWidth)) return sizes('query and key', query, key, [0, 1]);
    if (!sameDim(kvHeads, valueHeads)) return sizes('key and value', key, value, [1, 2]);
    const [all, shared] = [constantDim(heads), constantDim(kvHeads)];
    if (all !== undefined && shared !== undefined && all % shared !== 0) {
      return {
        problem: 'shape/heads',
        text: `attend: ${all} query heads cannot share ${shared} key heads evenly`,
        operands: [0, 1],
      };
    }
    const shape: Dim[] = [present(query.shape[0]), heads, valueWidth];
    return [{ dtype: 'f32', shape }];
  },
  cost([q, k, v], [y], _, keys) {
    const [tokens = 1, heads = 1, width = 1] = present(q).shape;
    const valueWidth = present(present(y).shape[2]);
    const row = sizeOf(present(k).shape.slice(1)) + sizeOf(present(v).shape.slice(1));
    return {
      flops: 2 * tokens * heads * keys * (width + valueWidth),
      weightBytes: 0,
      stateBytes: 4 * tokens * keys * row,
      activationBytes: 4 * (sizeOf(present(q).shape) + sizeOf(present(y).shape)),
    };
  },
  evaluate([q, k, v], [y], { scale, score, mask }, { step, state }, names) {
    const [keyState = '', valueState = ''] = names.split(' ');
    const out = array(present(y).shape);
    const [tokens = 0, heads = 0, width = 0] = present(q).shape;
    const [, kvHeads = 1] = present(k).shape;
    const valueWidth = present(present(v).shape[2]);
    const factor = scale === 0 ? 1 / Math.sqrt(width) : scale;
    for (let t = 0; t < tokens; t++) {
      const i = step.position[t] ?? 0;
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / kvHeads));
        const query = present(q).data.subarray(
          (t * heads + h) * width,
          (t * heads + h + 1) * width,
        );
        const seen: { score: number; slot: number }[] = [];
        for (let e = 0; e < (step.length[t] ?? 0); e++) {
          const slot = slotOf(step, t, e);
          const j = state.positionOf(slot);
          if (evaluateFn(mask, [i, j, h]) === 0) continue;
          const key = state.row(keyState, slot, kvHeads * width);
          let dot = 0;
          for (let c = 0; c < width; c++) dot += (query[c] ?? 0) * (key[g * width + c] ?? 0);
          seen.push({ score: evaluateFn(score, [dot * factor, i, j, h]), slot });
        }
        const most = seen.reduce((m, s) => Math.max(m, s.score), -Infinity);
        let total = 0;
        const row = out.data.subarray(
          (t * heads + h) * valueWidth,
          (t * heads + h + 1) * valueWidth,
        );
        for (const s of seen) {
          const p = Math.exp(s.score - most);
          total += p;
          const value = state.row(valueState, s.slot, kvHeads * valueWidth);
          for (let c = 0; c < valueWidth; c++) {
            row[c] = (row[c] ?? 0) + p * (value[g * valueWidth + c] ?? 0);
          }
        }
        for (let c = 0; c < valueWidth; c++) row[c] = (row[c] ?? 0) / total;
      }
    }
    return [out];
  },
  lower: ([q], _, { scale, score, mask }) => ({
    kind: 'attend',
    monoid: onlineSoftmax,
    scale: scale === 0 ? 1 / Math.sqrt(number(present(q).shape[2])) : scale,
    score,
    mask,
  }),
  samples: [],
});

const sizes = (
  what: string,
  a: TensorType,
  b: TensorType,
  operands: readonly number[],
): Problem => ({
  problem: 'shape/differ',
  text: `attend: ${what} differ, ${showShape(a.shape)} and ${showShape(b.shape)}`,
  operands,
});
