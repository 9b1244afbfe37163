/** The paged cache and attention over it. */
import { type Dim, constantDim, sameDim, showShape, symbol } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { type DType, type TensorType, bytesOf } from '../base/type.ts';
import { evaluateFn } from '../scalar/eval.ts';
import { type ScalarFn, compare, num, variable } from '../scalar/expr.ts';
import { onlineSoftmax } from '../scalar/monoid.ts';
import {
  type NdArray,
  type NoAttrs,
  type Problem,
  type StateStore,
  type Step,
  defineOp,
} from './op.ts';
import { array, number, sizeOf, wrongRank } from './shape.ts';

/** Element types that caches hold. */
const cachedTypes: readonly DType[] = ['f32', 'f16', 'i32'];

const rowOf = (t: TensorType): number[] => t.shape.slice(1).map(number);

export const cache = defineOp<NoAttrs>({
  doc: "Stores each token's row in the cache slot of the token; the result is what tokens can look back on.",
  operands: ['x'],
  results: ['entries'],
  attrs: {},
  step: ['slot'],
  infer([x]) {
    const { dtype, shape } = present(x);
    if (!cachedTypes.includes(dtype)) {
      return {
        problem: 'type/element',
        text: `cache: entries are ${cachedTypes.join(', ')}, not ${dtype}`,
        operands: [0],
      };
    }
    return [{ dtype, shape: [symbol('c'), ...shape.slice(1)] }];
  },
  state: ([x]) => ({ row: rowOf(present(x)), dtype: present(x).dtype }),
  cost: ([x]) => ({
    flops: 0,
    weightBytes: 0,
    stateBytes: bytesOf[present(x).dtype] * sizeOf(present(x).shape),
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
/** No sink: e^-Infinity adds nothing. */
const noSink: ScalarFn = { params: ['h'], body: num(-Infinity) };
const even: ScalarFn = { params: ['i', 'j'], body: num(0) };
const pairParams = [
  { name: 'i', dtype: 'i32', row: 'query' },
  { name: 'j', dtype: 'i32', row: 'key' },
  { name: 'h', dtype: 'i32' },
] as const;

export const attend = defineOp<{
  readonly scale: number;
  readonly score: ScalarFn;
  readonly mask: ScalarFn;
  readonly sink: ScalarFn;
  readonly top: number;
  readonly select: ScalarFn;
  readonly each: number;
  readonly normalise: boolean;
}>({
  doc: 'Softmax of the scores q.k over the cached entries that the mask lets a token see, times their values.',
  operands: ['q', 'k', 'v'],
  kind: 'attention',
  results: ['y'],
  cached: [1, 2],
  captures: true,
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
      params: [{ name: 's', dtype: 'f32' }, ...pairParams],
      result: 'f32',
    },
    mask: {
      kind: 'fn',
      doc: 'whether the token at position i sees the one at j; h: the head',
      default: causal,
      params: pairParams,
      result: 'bool',
    },
    sink: {
      kind: 'fn',
      doc: 'a score that takes part in the softmax of head h and has no value',
      default: noSink,
      params: [
        { name: 'h', dtype: 'i32' },
        { name: 'i', dtype: 'i32', row: 'query' },
      ],
      result: 'f32',
    },
    top: {
      kind: 'int',
      doc: 'how many of the seen entries take part, those of largest `select`; 0: all',
      default: 0,
    },
    select: {
      kind: 'fn',
      doc: 'what `top` entries are chosen by; ties to the earlier, -Infinity never',
      default: even,
      params: pairParams,
      result: 'f32',
    },
    each: {
      kind: 'int',
      doc: 'positions that `top` chooses together, by the mean of their `select`: blocks of this size',
      default: 1,
    },
    normalise: {
      kind: 'bool',
      doc: 'divide by the sum of the weights e^score; false: score = log f weighs values with f',
      default: true,
    },
  },
  step: ['position', 'sequence', 'length', 'table'],
  infer([q, k, v, ...captured], { top, each }) {
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
    const at = captured.findIndex((t) => !cachedTypes.includes(t.dtype));
    if (at >= 0) {
      const { dtype } = present(captured[at]);
      const text = `attend: functions read ${cachedTypes.join(', ')}, not ${dtype}`;
      return { problem: 'type/element', text, operands: [3 + at] };
    }
    if (!Number.isSafeInteger(top) || top < 0 || top > mostChosen) {
      const text = `attend: top is from 0 to ${mostChosen}, found ${top}`;
      return { problem: 'value/range', text, operands: [] };
    }
    if (!Number.isSafeInteger(each) || each < 1 || each > mostChosen) {
      const text = `attend: each is from 1 to ${mostChosen}, found ${each}`;
      return { problem: 'value/range', text, operands: [] };
    }
    const shape: Dim[] = [present(query.shape[0]), heads, valueWidth];
    return [{ dtype: 'f32', shape }];
  },
  cost([q, k, v], [y], _, keys) {
    const [tokens = 1, heads = 1, width = 1] = present(q).shape;
    const valueWidth = present(present(y).shape[2]);
    const bytes = (x: TensorType<number>): number => bytesOf[x.dtype] * sizeOf(x.shape.slice(1));
    return {
      flops: 2 * tokens * heads * keys * (width + valueWidth),
      weightBytes: 0,
      stateBytes: tokens * keys * (bytes(present(k)) + bytes(present(v))),
      activationBytes: 4 * (sizeOf(present(q).shape) + sizeOf(present(y).shape)),
    };
  },
  evaluate([q, k, v, ...captured], [y], attrs, { step, state }, names) {
    const { scale, score, mask, sink, top, select, each, normalise } = attrs;
    const [keyState = '', valueState = '', ...states] = names.split(' ');
    const out = array(present(y).shape);
    const [tokens = 0, heads = 0, width = 0] = present(q).shape;
    const [, kvHeads = 1] = present(k).shape;
    const valueWidth = present(present(v).shape[2]);
    const factor = scale === 0 ? 1 / Math.sqrt(width) : scale;
    for (let t = 0; t < tokens; t++) {
      const i = step.position[t] ?? 0;
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / kvHeads));
        const from = (t * heads + h) * width;
        const query = present(q).data.subarray(from, from + width);
        const visible: { by: number; slot: number; j: number }[] = [];
        for (let e = 0; e < (step.length[t] ?? 0); e++) {
          const slot = slotOf(step, t, e);
          const j = state.positionOf(slot);
          const read = readCaptured(captured, states, state, t, slot);
          if (evaluateFn(mask, [i, j, h], read) === 0) continue;
          const by = top === 0 ? 0 : evaluateFn(select, [i, j, h], read);
          visible.push({ by, slot, j });
        }
        const chosen = top === 0 ? visible : bestOf(visible, top, each);
        const seen = chosen.map(({ slot, j }) => {
          const key = state.row(keyState, slot, kvHeads * width);
          let dot = 0;
          for (let c = 0; c < width; c++) dot += (query[c] ?? 0) * (key[g * width + c] ?? 0);
          const read = readCaptured(captured, states, state, t, slot);
          return { score: evaluateFn(score, [dot * factor, i, j, h], read), slot };
        });
        const rest = evaluateFn(sink, [h, i], readCaptured(captured, states, state, t, 0));
        const most = seen.reduce((m, s) => Math.max(m, s.score), rest);
        let total = rest === -Infinity ? 0 : Math.exp(rest - most);
        const row = out.data.subarray(
          (t * heads + h) * valueWidth,
          (t * heads + h + 1) * valueWidth,
        );
        for (const s of seen) {
          if (s.score === -Infinity) continue;
          const p = Math.exp(s.score - most);
          total += p;
          const value = state.row(valueState, s.slot, kvHeads * valueWidth);
          for (let c = 0; c < valueWidth; c++) {
            row[c] = (row[c] ?? 0) + p * (value[g * valueWidth + c] ?? 0);
          }
        }
        // A token that sees nothing attends to nothing.
        const by = total === 0 ? 0 : normalise ? 1 / total : Math.exp(most);
        for (let c = 0; c < valueWidth; c++) row[c] = (row[c] ?? 0) * by;
      }
    }
    return [out];
  },
  lower: ([q], _, { scale, score, mask, sink, top, select, each, normalise }) => ({
    kind: 'attend',
    monoid: onlineSoftmax,
    scale: scale === 0 ? 1 / Math.sqrt(number(present(q).shape[2])) : scale,
    score,
    mask,
    normalise,
    ...(sink.body.op === 'const' && sink.body.value === -Infinity ? {} : { sink }),
    ...(top === 0 ? {} : { select: { count: top, each, by: select } }),
  }),
  samples: [],
});

interface Candidate {
  readonly by: number;
  readonly j: number;
}

/** Entries of the `top` best blocks of `each` positions, the earlier of equal ones. */
function bestOf<T extends Candidate>(entries: readonly T[], top: number, each: number): T[] {
  const blocks = new Map<number, T[]>();
  for (const e of entries) {
    const block = Math.floor(e.j / each);
    blocks.set(block, [...(blocks.get(block) ?? []), e]);
  }
  return [...blocks.values()]
    .map((all) => ({ all, by: all.reduce((sum, e) => sum + e.by, 0) / all.length }))
    .filter((b) => b.by > -Infinity)
    .sort((a, b) => b.by - a.by)
    .slice(0, top)
    .flatMap((b) => b.all);
}

/** Scratch of a thread bounds how many entries can be kept apart. */
const mostChosen = 65_536;

/**
 * Elements of captured tensors for the token `t` and the entry in `slot`. An index outside of an
 * axis means the nearest inside.
 */
function readCaptured(
  captured: readonly NdArray[],
  states: readonly string[],
  state: StateStore,
  t: number,
  slot: number,
): (operand: number, index: readonly number[]) => number {
  return (operand, index) => {
    const { shape, data } = present(captured[operand - 3], 'captured operand');
    const axes = shape.slice(shape.length - index.length);
    const offset = axes.reduce(
      (sum, size, a) => sum * size + Math.min(Math.max(index[a] ?? 0, 0), size - 1),
      0,
    );
    const width = sizeOf(axes);
    if (shape[0] !== 0)
      return present(data[axes.length === shape.length ? offset : t * width + offset]);
    const before = captured.slice(0, operand - 3).filter((x) => x.shape[0] === 0).length;
    return present(state.row(present(states[before]), slot, width)[offset]);
  };
}

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
