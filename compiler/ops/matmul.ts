/** x[.., k] times a matrix: [.., k] @ [k, n], or [n, k] as checkpoints store it. */
import { sameDim, showDim, showShape } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { at, mul } from '../scalar/expr.ts';
import { sum } from '../scalar/monoid.ts';
import { defineOp } from './op.ts';
import { array, needFloats, only, sizeOf, wrongRank } from './shape.ts';

export const matmul = defineOp<{ readonly nk: boolean }>({
  doc: 'Matrix product over the last axis of x; `nk`: the matrix is [n, k].',
  operands: ['x', 'matrix'],
  results: ['y'],
  attrs: { nk: { kind: 'bool', doc: 'the matrix is stored [n, k]', default: false } },
  product: { matrix: 1, stored: ({ nk }) => (nk ? 'nk' : 'kn') },
  infer([x, matrix], { nk }) {
    const [left, right] = [present(x), present(matrix)];
    if (left.shape.length < 1) return wrongRank('@', 0, 'at least one axis', left);
    if (right.shape.length !== 2) return wrongRank('@', 1, 'two axes', right);
    const [n, inner] = nk ? right.shape : [right.shape[1], right.shape[0]];
    const k = present(left.shape.at(-1));
    if (!sameDim(k, present(inner))) {
      return {
        problem: 'shape/inner',
        text: `@: inner dimensions differ, ${showDim(k)} and ${showDim(present(inner))}`,
        operands: [0, 1],
        ...(sameDim(k, present(nk ? right.shape[0] : right.shape[1]))
          ? { help: 'transpose the right side: x @ w.T' }
          : {
              help: `the left side is ${showShape(left.shape)}, the right ${showShape(right.shape)}`,
            }),
      };
    }
    const shape = [...left.shape.slice(0, -1), present(n)];
    return needFloats('@', [left, right]) ?? [{ dtype: 'f32', shape }];
  },
  cost: ([x, matrix], [y]) => ({
    flops: 2 * sizeOf(present(y).shape) * present(present(x).shape.at(-1)),
    weightBytes: bytesOf[present(matrix).dtype] * sizeOf(present(matrix).shape),
    stateBytes: 0,
    activationBytes: 4 * (sizeOf(present(x).shape) + sizeOf(present(y).shape)),
  }),
  evaluate([x, matrix], [y], { nk }) {
    const out = array(present(y).shape);
    const n = present(out.shape.at(-1));
    const k = present(present(x).shape.at(-1));
    const a = present(x).data;
    const b = present(matrix).data;
    const [rowStep, kStep] = nk ? [k, 1] : [1, n];
    for (let row = 0; row < out.data.length / n; row++) {
      for (let column = 0; column < n; column++) {
        let total = 0;
        for (let i = 0; i < k; i++) {
          total += (a[row * k + i] ?? 0) * (b[column * rowStep + i * kStep] ?? 0);
        }
        out.data[row * n + column] = total;
      }
    }
    return [out];
  },
  lower: ([x], outputs, { nk }) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        reduce: { monoid: sum, extent: present(present(x).shape.at(-1)) },
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: (index, k) => {
              const n = present(index.at(-1));
              return mul(at(0, [...index.slice(0, -1), k]), at(1, nk ? [n, k] : [k, n]));
            },
          },
        ],
      },
    ],
  }),
  samples: [
    // Products of 40 round once each.
    { inputs: 'f32[t, 40] f32[24, 40]', attrs: { nk: true }, tolerance: 1e-5 },
    { inputs: 'f32[t, 7] f32[7, 5]', attrs: { nk: false }, tolerance: 1e-5 },
    { inputs: 'f32[t, 3, 16] f32[9, 16]', attrs: { nk: true }, tolerance: 1e-5 },
  ],
});

export const grouped = defineOp<Readonly<Record<string, never>>>({
  doc: 'Products with the matrices that each token chose: y[t, s] = w[ids[t, s]] x[t] or x[t, s].',
  operands: ['x', 'w', 'ids'],
  results: ['y'],
  attrs: {},
  kind: 'experts',
  chosen: { weights: 1, ids: 2 },
  product: { matrix: 1, stored: () => 'nk' },
  infer([x, w, ids]) {
    const [left, stack, chosen] = [present(x), present(w), present(ids)];
    if (stack.shape.length !== 3) return wrongRank('grouped', 1, 'three axes', stack);
    if (chosen.shape.length !== 2 || chosen.dtype !== 'i32') {
      return wrongRank('grouped', 2, 'i32 [t, s]', chosen);
    }
    const slots = present(chosen.shape[1]);
    const own = left.shape.length === 3;
    if (left.shape.length !== 2 && !(own && sameDim(present(left.shape[1]), slots))) {
      return wrongRank('grouped', 0, '[t, k] or [t, s, k]', left);
    }
    const [, n, k] = stack.shape;
    const inner = present(left.shape.at(-1));
    if (!sameDim(inner, present(k))) {
      return {
        problem: 'shape/inner',
        text: `grouped: inner dimensions differ, ${showDim(inner)} and ${showDim(present(k))}`,
        operands: [0, 1],
      };
    }
    const shape = [present(left.shape[0]), slots, present(n)];
    return needFloats('grouped', [left, stack]) ?? [{ dtype: 'f32', shape }];
  },
  cost: ([x, w], [y]) => {
    const k = present(present(x).shape.at(-1));
    const [tokens = 1, slots = 1, n = 1] = present(y).shape;
    const read = Math.min(present(present(w).shape[0]), tokens * slots);
    return {
      flops: 2 * sizeOf(present(y).shape) * k,
      weightBytes: bytesOf[present(w).dtype] * read * n * k,
      stateBytes: 0,
      activationBytes: 4 * (sizeOf(present(x).shape) + sizeOf(present(y).shape)),
    };
  },
  evaluate([x, w, ids], [y]) {
    const out = array(present(y).shape);
    const [tokens = 0, slots = 0, n = 0] = out.shape;
    const k = present(present(x).shape.at(-1));
    const own = present(x).shape.length === 3;
    const a = present(x).data;
    const b = present(w).data;
    for (let t = 0; t < tokens; t++) {
      for (let s = 0; s < slots; s++) {
        const expert = present(ids).data[t * slots + s] ?? 0;
        const from = (own ? t * slots + s : t) * k;
        for (let c = 0; c < n; c++) {
          let total = 0;
          const row = (expert * n + c) * k;
          for (let i = 0; i < k; i++) total += (a[from + i] ?? 0) * (b[row + i] ?? 0);
          out.data[(t * slots + s) * n + c] = total;
        }
      }
    }
    return [out];
  },
  lower: ([x], outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        reduce: { monoid: sum, extent: present(present(x).shape.at(-1)) },
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: ([t, s, n], k) => {
              const token = present(t);
              const slot = present(s);
              const own = present(x).shape.length === 3;
              return mul(
                at(0, own ? [token, slot, k] : [token, k]),
                at(1, [at(2, [token, slot], 'i32'), present(n), k]),
              );
            },
          },
        ],
      },
    ],
  }),
  samples: [
    { inputs: 'f32[t, 10] f32[4, 6, 10] i32[t, 2]', attrs: {}, tolerance: 1e-5, below: 4 },
    { inputs: 'f32[t, 2, 10] f32[4, 20, 10] i32[t, 2]', attrs: {}, tolerance: 1e-5, below: 4 },
  ],
});
