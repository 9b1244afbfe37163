/** Ops that change a shape or a type, not a value. */
import { type Dim, productDim, sameDim, showShape } from '../base/dim.ts';
import { halfOf, halfToFloat } from '../base/half.ts';
import { present } from '../base/invariant.ts';
import { type DType, type TensorType, bytesOf, isFloat } from '../base/type.ts';
import { at, cast as castExpr, half, int, sub, toHalf } from '../scalar/expr.ts';
import { type NoAttrs, defineOp, noCost } from './op.ts';
import {
  array,
  broadcast,
  broadcastOffsets,
  needFloats,
  number,
  only,
  readBroadcast,
  sizeOf,
  wrongRank,
} from './shape.ts';

/** The row axis of a tensor that has one: a symbol of the step. */
const rowAxis = (t: TensorType): Dim | undefined =>
  typeof t.shape[0] === 'number' ? undefined : t.shape[0];

export const reshape = defineOp<{ readonly shape: readonly number[] }>({
  doc: 'The same elements in row-major order under another shape; 0 stands for the step axis.',
  operands: ['x'],
  results: ['y'],
  attrs: { shape: { kind: 'ints', doc: 'sizes of the axes; 0: the step axis' } },
  infer([x], { shape }) {
    const type = present(x);
    const row = rowAxis(type);
    const to = shape.map((n): Dim => (n === 0 && row !== undefined ? row : n));
    if (!sameDim(productDim(to), productDim(type.shape))) {
      return {
        problem: 'shape/elements',
        text: `reshape: ${showShape(type.shape)} has other elements than ${showShape(to)}`,
        operands: [0],
      };
    }
    return [{ dtype: type.dtype, shape: to }];
  },
  cost: () => noCost,
  evaluate: ([x], [y]) => [{ shape: present(y).shape, data: present(x).data }],
  lower: () => ({ kind: 'view' }),
  samples: [{ inputs: 'f32[t, 12]', attrs: { shape: [0, 3, 4] }, tolerance: 0 }],
});

export const transpose = defineOp<NoAttrs>({
  doc: 'The last two axes exchanged.',
  operands: ['x'],
  results: ['y'],
  attrs: {},
  infer([x]) {
    const { dtype, shape } = present(x);
    const [a, b] = shape.slice(-2);
    if (a === undefined || b === undefined) return wrongRank('.T', 0, 'two axes', present(x));
    return [{ dtype, shape: [...shape.slice(0, -2), b, a] }];
  },
  cost: () => noCost,
  evaluate([x], [y]) {
    const out = array(present(y).shape);
    const [n = 1, m = 1] = present(y).shape.slice(-2);
    for (let i = 0; i < out.data.length; i++) {
      const matrix = Math.floor(i / (n * m));
      const [r, c] = [Math.floor(i / m) % n, i % m];
      out.data[i] = present(x).data[matrix * n * m + c * n + r] ?? 0;
    }
    return [out];
  },
  lower: (_, outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: (index) =>
              at(0, [...index.slice(0, -2), present(index.at(-1)), present(index.at(-2))]),
          },
        ],
      },
    ],
  }),
  samples: [{ inputs: 'f32[4, 3]', attrs: {}, tolerance: 0 }],
});

export const cast = defineOp<{ readonly to: string }>({
  doc: 'The value under another element type; widening is exact, narrowing to f16 rounds to the nearest, ties to even.',
  operands: ['x'],
  results: ['y'],
  attrs: { to: { kind: 'text', doc: 'the element type' } },
  infer([x], { to }) {
    const dtype = (Object.keys(bytesOf) as DType[]).find((d) => d === to); // keys of a DType record
    if (!dtype) return { problem: 'type/unknown', text: `cast: no type ${to}`, operands: [0] };
    return [{ dtype, shape: present(x).shape }];
  },
  cost: () => noCost,
  evaluate([x], [y]) {
    const { dtype } = present(y);
    const { shape, data } = present(x);
    if (dtype === 'f16') return [{ shape, data: data.map((v) => halfToFloat(halfOf(v))) }];
    return [{ shape, data: isFloat(dtype) ? data : data.map(Math.trunc) }];
  },
  lower: ([x], outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: only(outputs).shape.at(-1) ?? 1,
            body: (index) => {
              const from = isFloat(present(x).dtype) ? 'f32' : 'i32';
              const { dtype } = only(outputs);
              const value = castExpr(at(0, index, from), isFloat(dtype) ? 'f32' : 'i32');
              return dtype === 'f16' && present(x).dtype !== 'f16' ? half(toHalf(value)) : value;
            },
          },
        ],
      },
    ],
  }),
  samples: [{ inputs: 'i32[t, 6]', attrs: { to: 'f32' }, tolerance: 0, below: 100 }],
});

export const slice = defineOp<{ readonly from: number; readonly to: number }>({
  doc: 'Elements from .. to-1 of the last axis.',
  operands: ['x'],
  results: ['y'],
  attrs: {
    from: { kind: 'int', doc: 'first element' },
    to: { kind: 'int', doc: 'end, exclusive' },
  },
  infer([x], { from, to }) {
    const type = present(x);
    const last = type.shape.at(-1);
    if (from < 0 || to <= from || (typeof last === 'number' && to > last)) {
      return {
        problem: 'shape/slice',
        text: `slice: ${from} .. ${to} of ${showShape(type.shape)}`,
        operands: [0],
      };
    }
    const shape = [...type.shape.slice(0, -1), to - from];
    return needFloats('slice', [type]) ?? [{ dtype: 'f32', shape }];
  },
  cost: () => noCost,
  evaluate([x], [y], { from }) {
    const out = array(present(y).shape);
    const [own, whole] = [present(out.shape.at(-1)), present(present(x).shape.at(-1))];
    for (let i = 0; i < out.data.length; i++) {
      out.data[i] = present(x).data[Math.floor(i / own) * whole + from + (i % own)] ?? 0;
    }
    return [out];
  },
  lower: (_, outputs, { from }) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: (index) => {
              const last = present(index.at(-1));
              return at(0, [
                ...index.slice(0, -1),
                {
                  op: 'add',
                  a: last,
                  b: { op: 'const', value: from, dtype: 'i32', lanes: 1 },
                  dtype: 'i32',
                  lanes: 1,
                },
              ]);
            },
          },
        ],
      },
    ],
  }),
  samples: [{ inputs: 'f32[t, 12]', attrs: { from: 3, to: 8 }, tolerance: 0 }],
});

export const concat = defineOp<NoAttrs>({
  doc: 'The last axes of a and b one after the other; the axes before broadcast.',
  operands: ['a', 'b'],
  results: ['y'],
  attrs: {},
  infer([a, b]) {
    const [left, right] = [present(a), present(b)];
    const before = broadcast(left.shape.slice(0, -1), right.shape.slice(0, -1));
    const [n, m] = [left.shape.at(-1), right.shape.at(-1)];
    if (!before || typeof n !== 'number' || typeof m !== 'number') {
      return {
        problem: 'shape/differ',
        text: `concat: ${showShape(left.shape)} and ${showShape(right.shape)} differ before the last axis`,
        operands: [0, 1],
      };
    }
    const shape = [...before, n + m];
    return needFloats('concat', [left, right]) ?? [{ dtype: 'f32', shape }];
  },
  cost: () => noCost,
  evaluate([a, b], [y]) {
    const out = array(present(y).shape);
    const [left, right] = [present(a), present(b)];
    const [n, whole] = [present(left.shape.at(-1)), present(out.shape.at(-1))];
    const before = out.shape.slice(0, -1);
    const at = broadcastOffsets(left.shape.slice(0, -1), before);
    const bt = broadcastOffsets(right.shape.slice(0, -1), before);
    for (let i = 0; i < out.data.length; i++) {
      const [row, c] = [Math.floor(i / whole), i % whole];
      const from = c < n ? (at[row] ?? 0) * n : (bt[row] ?? 0) * (whole - n) - n;
      out.data[i] = (c < n ? left : right).data[from + c] ?? 0;
    }
    return [out];
  },
  lower: ([a, b], outputs) => {
    const n = number(present(a).shape.at(-1));
    return {
      kind: 'loops',
      results: [
        {
          over: only(outputs).shape,
          pieces: [
            { until: n, body: (index) => readBroadcast(0, present(a), index) },
            {
              until: present(only(outputs).shape.at(-1)),
              body: (index) => {
                const last = sub(present(index.at(-1)), int(n));
                return readBroadcast(1, present(b), [...index.slice(0, -1), last]);
              },
            },
          ],
        },
      ],
    };
  },
  samples: [
    { inputs: 'f32[t, 5] f32[t, 8]', attrs: {}, tolerance: 0 },
    { inputs: 'f32[t, 3, 5] f32[t, 1, 4]', attrs: {}, tolerance: 0 },
  ],
});

export const gather = defineOp<NoAttrs>({
  doc: 'Rows of a table by number: table[ids].',
  operands: ['table', 'ids'],
  table: { operand: 0, kind: 'embedding' },
  results: ['y'],
  attrs: {},
  infer([table, ids]) {
    const [rows, index] = [present(table), present(ids)];
    if (rows.shape.length !== 2) return wrongRank('a table', 0, 'two axes', rows);
    if (index.dtype !== 'i32') {
      return {
        problem: 'type/index',
        text: `an index is made of i32, found ${index.dtype}`,
        operands: [1],
      };
    }
    return [{ dtype: rows.dtype, shape: [...index.shape, present(rows.shape[1])] }];
  },
  cost: ([table], [y]) => ({
    flops: 0,
    weightBytes: bytesOf[present(table).dtype] * sizeOf(present(y).shape),
    stateBytes: 0,
    activationBytes: 4 * sizeOf(present(y).shape),
  }),
  evaluate([table, ids], [y]) {
    const out = array(present(y).shape);
    const width = present(present(table).shape[1]);
    present(ids).data.forEach((id, n) => {
      out.data.set(present(table).data.subarray(id * width, (id + 1) * width), n * width);
    });
    return [out];
  },
  lower: (_, outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: (index) => at(0, [at(1, index.slice(0, -1), 'i32'), present(index.at(-1))]),
          },
        ],
      },
    ],
  }),
  samples: [{ inputs: 'f32[9, 6] i32[t]', attrs: {}, tolerance: 0, below: 9 }],
});

export const take = defineOp<NoAttrs>({
  doc: 'The rows of x that `rows` names: the positions whose results are wanted.',
  operands: ['x', 'rows'],
  results: ['y'],
  attrs: {},
  infer([x, rows]) {
    const [type, index] = [present(x), present(rows)];
    if (index.dtype !== 'i32') {
      return {
        problem: 'type/index',
        text: `rows are named by i32, found ${index.dtype}`,
        operands: [1],
      };
    }
    return [{ dtype: type.dtype, shape: [present(index.shape[0]), ...type.shape.slice(1)] }];
  },
  cost: () => noCost,
  evaluate([x, rows], [y]) {
    const out = array(present(y).shape);
    const width = sizeOf(present(x).shape.slice(1));
    present(rows).data.forEach((row, n) => {
      out.data.set(present(x).data.subarray(row * width, (row + 1) * width), n * width);
    });
    return [out];
  },
  lower: ([x], outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: only(outputs).shape.at(-1) ?? 1,
            body: (index) =>
              at(
                0,
                [at(1, [present(index[0])], 'i32'), ...index.slice(1)],
                present(x).dtype === 'i32' ? 'i32' : 'f32',
              ),
          },
        ],
      },
    ],
  }),
  samples: [{ inputs: 'f32[t, 6] i32[r]', attrs: {}, tolerance: 0, below: 5 }],
});
