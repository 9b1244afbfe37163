/** The largest elements of a row and where they stand. */
import { constantDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { defineOp } from './op.ts';
import { array, needFloats, sizeOf } from './shape.ts';

export const top_k = defineOp<{ readonly k: number }>({
  doc: 'The k largest elements of the last axis in falling order, and their positions; ties to the lower.',
  operands: ['x'],
  results: ['values', 'positions'],
  attrs: { k: { kind: 'int', doc: 'how many' } },
  infer([x], { k }) {
    const type = present(x);
    const n = constantDim(type.shape.at(-1) ?? 0);
    if (k < 1 || (n !== undefined && k > n)) {
      return {
        problem: 'value/range',
        text: `top_k: k is ${k}, of ${n ?? 'an open number of'} elements`,
        operands: [0],
      };
    }
    const shape = [...type.shape.slice(0, -1), k];
    return (
      needFloats('top_k', [type]) ?? [
        { dtype: 'f32', shape },
        { dtype: 'i32', shape },
      ]
    );
  },
  cost: ([x], _, { k }) => ({
    flops: k * sizeOf(present(x).shape),
    weightBytes: 0,
    stateBytes: 0,
    activationBytes: 4 * sizeOf(present(x).shape),
  }),
  evaluate([x], [v, p], { k }) {
    const values = array(present(v).shape);
    const positions = array(present(p).shape);
    const n = present(present(x).shape.at(-1));
    for (let row = 0; row * n < present(x).data.length; row++) {
      const data = present(x).data.subarray(row * n, (row + 1) * n);
      const order = Array.from(data.keys()).sort(
        (a, b) => (data[b] ?? 0) - (data[a] ?? 0) || a - b,
      );
      order.slice(0, k).forEach((at, i) => {
        values.data[row * k + i] = data[at] ?? 0;
        positions.data[row * k + i] = at;
      });
    }
    return [values, positions];
  },
  lower: (_, __, { k }) => ({ kind: 'top', count: k }),
  samples: [
    { inputs: 'f32[t, 9]', attrs: { k: 3 }, tolerance: 0 },
    { inputs: 'f32[t, 4, 6]', attrs: { k: 2 }, tolerance: 0 },
  ],
});
