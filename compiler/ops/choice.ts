/** Ops over what was chosen: elements by their positions, masks of positions, one of two values. */
import { constantDim, sameDim, showShape } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { type TensorType, bytesOf } from '../base/type.ts';
import { at, compare, num, select } from '../scalar/expr.ts';
import { maximum } from '../scalar/monoid.ts';
import { type Cost, type NoAttrs, type Problem, defineOp } from './op.ts';
import {
  array,
  broadcast,
  broadcastOffsets,
  differ,
  needFloats,
  only,
  readBroadcast,
  sizeOf,
} from './shape.ts';

const costOfElements = (
  inputs: readonly TensorType<number>[],
  outputs: readonly TensorType<number>[],
  flops: number,
): Cost => ({
  flops: flops * sizeOf(present(outputs[0]).shape),
  weightBytes: 0,
  stateBytes: 0,
  activationBytes: [...inputs, ...outputs].reduce((s, t) => s + bytesOf[t.dtype] * sizeOf(t.shape), 0),
}); // prettier-ignore

const needPositions = (what: string, operand: number, t: TensorType): Problem | undefined =>
  t.dtype === 'i32'
    ? undefined
    : {
        problem: 'type/index',
        text: `${what}: positions are i32, found ${t.dtype}`,
        operands: [operand],
      };

export const pick = defineOp<NoAttrs>({
  doc: 'Elements of the last axis by position, row by row: y[.., k] = x[.., positions[.., k]].',
  operands: ['x', 'positions'],
  results: ['y'],
  attrs: {},
  infer([x, positions]) {
    const [type, index] = [present(x), present(positions)];
    const fits =
      type.shape.length === index.shape.length &&
      type.shape.slice(0, -1).every((d, i) => sameDim(d, index.shape[i] ?? -1));
    if (!fits) return differ('pick', type, index);
    return (
      needPositions('pick', 1, index) ??
      needFloats('pick', [type]) ?? [{ dtype: 'f32', shape: index.shape }]
    );
  },
  cost: (inputs, outputs) => costOfElements(inputs, outputs, 0),
  evaluate([x, positions], [y]) {
    const out = array(present(y).shape);
    const count = present(out.shape.at(-1));
    const n = present(present(x).shape.at(-1));
    present(positions).data.forEach((p, i) => {
      out.data[i] = present(x).data[Math.floor(i / count) * n + p] ?? 0;
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
            body: (index) => at(0, [...index.slice(0, -1), at(1, index, 'i32')]),
          },
        ],
      },
    ],
  }),
  samples: [
    { inputs: 'f32[t, 9] i32[t, 3]', attrs: {}, tolerance: 0, below: 9 },
    { inputs: 'f32[t, 2, 5] i32[t, 2, 4]', attrs: {}, tolerance: 0, below: 5 },
  ],
});

export const among = defineOp<{ readonly of: number }>({
  doc: 'Which numbers of 0 .. of-1 the last axis of positions holds: 1 where it does, else 0.',
  operands: ['positions'],
  results: ['y'],
  attrs: { of: { kind: 'int', doc: 'how many numbers there are' } },
  infer([positions], { of }) {
    const type = present(positions);
    const count = constantDim(type.shape.at(-1) ?? 0);
    if (of < 1 || count === undefined || count < 1) {
      return {
        problem: 'value/range',
        text: `among: ${of} numbers in positions ${showShape(type.shape)}`,
        operands: [0],
      };
    }
    return (
      needPositions('among', 0, type) ?? [{ dtype: 'f32', shape: [...type.shape.slice(0, -1), of] }]
    );
  },
  cost: (inputs, outputs) =>
    costOfElements(inputs, outputs, present(present(inputs[0]).shape.at(-1))),
  evaluate([positions], [y], { of }) {
    const out = array(present(y).shape);
    const count = present(present(positions).shape.at(-1));
    present(positions).data.forEach((p, i) => {
      out.data[Math.floor(i / count) * of + p] = 1;
    });
    return [out];
  },
  lower: ([positions], outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        reduce: { monoid: maximum, extent: present(present(positions).shape.at(-1)) },
        pieces: [
          {
            until: present(only(outputs).shape.at(-1)),
            body: (index, k) =>
              select(
                compare('eq', at(0, [...index.slice(0, -1), k], 'i32'), present(index.at(-1))),
                num(1),
                num(0),
              ),
          },
        ],
      },
    ],
  }),
  samples: [
    { inputs: 'i32[t, 3]', attrs: { of: 8 }, tolerance: 0, below: 8 },
    { inputs: 'i32[t, 1]', attrs: { of: 3 }, tolerance: 0, below: 3 },
  ],
});

export const where = defineOp<NoAttrs>({
  doc: 'Takes a where the condition is above 0, else b; broadcast from the right.',
  operands: ['condition', 'a', 'b'],
  results: ['y'],
  attrs: {},
  infer([condition, a, b]) {
    const [c, yes, no] = [present(condition), present(a), present(b)];
    const values = broadcast(yes.shape, no.shape);
    if (!values) return { ...differ('where', yes, no), operands: [1, 2] };
    const shape = broadcast(c.shape, values);
    if (!shape) return differ('where', c, yes);
    return needFloats('where', [c, yes, no]) ?? [{ dtype: 'f32', shape }];
  },
  cost: (inputs, outputs) => costOfElements(inputs, outputs, 1),
  evaluate(inputs, [y]) {
    const out = array(present(y).shape);
    const [c, a, b] = inputs.map((x) => {
      const offsets = broadcastOffsets(x.shape, out.shape);
      return (i: number): number => x.data[offsets[i] ?? 0] ?? 0;
    });
    for (let i = 0; i < out.data.length; i++) {
      out.data[i] = present(c)(i) > 0 ? present(a)(i) : present(b)(i);
    }
    return [out];
  },
  lower: (inputs, outputs) => ({
    kind: 'loops',
    results: [
      {
        over: only(outputs).shape,
        pieces: [
          {
            until: only(outputs).shape.at(-1) ?? 1,
            body(index) {
              const read = (n: number) => readBroadcast(n, present(inputs[n]), index);
              return select(compare('gt', read(0), num(0)), read(1), read(2));
            },
          },
        ],
      },
    ],
  }),
  samples: [
    { inputs: 'f32[t, 6] f32[t, 6] f32[]', attrs: {}, tolerance: 0 },
    { inputs: 'f32[t, 3, 1] f32[t, 3, 5] f32[5]', attrs: {}, tolerance: 0 },
  ],
});
