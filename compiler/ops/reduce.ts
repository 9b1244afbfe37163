/** Reductions along one axis, which stays with size 1; and the position of the largest element. */
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { at, div, num } from '../scalar/expr.ts';
import {
  type Monoid,
  argmax as argmaxMonoid,
  maximum,
  sum as sumMonoid,
} from '../scalar/monoid.ts';
import { type AttrSpec, type OpDef, type Problem, defineOp } from './op.ts';
import { array, needFloats, number, only, sizeOf, stridesOf, wrongRank } from './shape.ts';

type Axis = { readonly axis: number };

const axisAttr: AttrSpec = {
  kind: 'int',
  doc: 'the reduced axis, from the end if negative',
  default: -1,
};

const axisOf = (t: TensorType, axis: number): number => (axis < 0 ? t.shape.length + axis : axis);

interface Row {
  readonly doc: string;
  monoid(extent: number): Monoid;
  apply(values: readonly number[]): number;
}

function reduction(name: string, row: Row): OpDef<Axis> {
  const infer = ([x]: readonly TensorType[], { axis }: Axis): readonly TensorType[] | Problem => {
    const type = present(x);
    const at = axisOf(type, axis);
    if (at < 0 || at >= type.shape.length) {
      return {
        problem: 'shape/axis',
        text: `${name}: axis ${axis} of a tensor with ${type.shape.length} axes`,
        operands: [0],
      };
    }
    const shape = type.shape.map((d, i) => (i === at ? 1 : d));
    return needFloats(name, [type]) ?? [{ dtype: 'f32', shape }];
  };
  return defineOp<Axis>({
    doc: row.doc,
    operands: ['x'],
    results: ['y'],
    attrs: { axis: axisAttr },
    infer,
    cost: ([x]) => ({
      flops: sizeOf(present(x).shape),
      weightBytes: 0,
      stateBytes: 0,
      activationBytes: 4 * sizeOf(present(x).shape),
    }),
    evaluate([x], [y], { axis }) {
      const input = present(x);
      const out = array(present(y).shape);
      const reduced = axisOf({ dtype: 'f32', shape: input.shape }, axis);
      const stride = present(stridesOf(input.shape)[reduced]);
      const extent = present(input.shape[reduced]);
      for (let i = 0; i < out.data.length; i++) {
        const start = Math.floor(i / stride) * stride * extent + (i % stride);
        const values = Array.from(
          { length: extent },
          (_, k) => input.data[start + k * stride] ?? 0,
        );
        out.data[i] = row.apply(values);
      }
      return [out];
    },
    lower([x], outputs, { axis }) {
      const input = present(x);
      const reduced = axisOf(input, axis);
      const extent = present(input.shape[reduced]);
      return {
        kind: 'loops',
        results: [
          {
            over: only(outputs).shape,
            reduce: { monoid: row.monoid(number(extent)), extent },
            pieces: [
              {
                until: only(outputs).shape.at(-1) ?? 1,
                body: (index, k) =>
                  at(
                    0,
                    index.map((e, i) => (i === reduced ? k : e)),
                  ),
              },
            ],
          },
        ],
      };
    },
    samples: [
      { inputs: 'f32[t, 37]', attrs: { axis: -1 }, tolerance: 1e-5 }, // sums of 37 round
      { inputs: 'f32[t, 3, 8]', attrs: { axis: 1 }, tolerance: 1e-5 },
      { inputs: 'f32[t, 3, 16]', attrs: { axis: -1 }, tolerance: 1e-5 },
    ],
  });
}

export const sum = reduction('sum', {
  doc: 'Sum along an axis, which stays with size 1.',
  monoid: () => sumMonoid,
  apply: (values) => values.reduce((a, b) => a + b, 0),
});

export const mean = reduction('mean', {
  doc: 'Mean along an axis, which stays with size 1.',
  monoid: (extent) => ({
    ...sumMonoid,
    name: 'mean',
    finish: (state) => div(sumMonoid.finish(state), num(extent)),
  }),
  apply: (values) => values.reduce((a, b) => a + b, 0) / values.length,
});

export const max = reduction('max', {
  doc: 'Largest element along an axis, which stays with size 1.',
  monoid: () => maximum,
  apply: (values) => Math.max(...values),
});

export const argmax = defineOp<Readonly<Record<string, never>>>({
  doc: 'Position of the largest element of the last axis, which stays with size 1; the lower wins a tie.',
  operands: ['x'],
  results: ['index'],
  attrs: {},
  infer([x]) {
    const type = present(x);
    if (type.shape.length < 1) return wrongRank('argmax', 0, 'at least one axis', type);
    const shape = [...type.shape.slice(0, -1), 1];
    return needFloats('argmax', [type]) ?? [{ dtype: 'i32', shape }];
  },
  cost: ([x]) => ({
    flops: sizeOf(present(x).shape),
    weightBytes: 0,
    stateBytes: 0,
    activationBytes: 4 * sizeOf(present(x).shape),
  }),
  evaluate([x], [y]) {
    const out = array(present(y).shape);
    const extent = present(present(x).shape.at(-1));
    for (let i = 0; i < out.data.length; i++) {
      const row = present(x).data.subarray(i * extent, (i + 1) * extent);
      out.data[i] = row.reduce((best, v, k) => (v > (row[best] ?? 0) ? k : best), 0);
    }
    return [out];
  },
  lower: ([x], outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        reduce: { monoid: argmaxMonoid, extent: present(present(x).shape.at(-1)) },
        pieces: [{ until: 1, body: (index, k) => at(0, [...index.slice(0, -1), k]) }],
      },
    ],
  }),
  samples: [{ inputs: 'f32[t, 19]', attrs: {}, tolerance: 0 }],
});
