/**
 * Element-wise ops as a table: one row an op. `body` is the meaning of an element for kernels,
 * `apply` for the reference; the two are written apart on purpose.
 */
import { present } from '../base/invariant.ts';
import { bytesOf } from '../base/type.ts';
import { erf } from '../scalar/eval.ts';
import { type Expr, add, div, max, min, mul, num, sub, unary } from '../scalar/expr.ts';
import { type NoAttrs, type OpDef, defineOp } from './op.ts';
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

interface Row {
  readonly doc: string;
  readonly flops: number;
  readonly tolerance: number;
}
interface UnaryRow extends Row {
  body(x: Expr): Expr;
  apply(x: number): number;
}
interface BinaryRow extends Row {
  body(a: Expr, b: Expr): Expr;
  apply(a: number, b: number): number;
}

const one = num(1);
const sigmoidExpr = (x: Expr): Expr => div(one, add(one, unary('exp', unary('neg', x))));
const sigmoidOf = (x: number): number => 1 / (1 + Math.exp(-x));
const geluSlope = Math.sqrt(2 / Math.PI);

// f32 arithmetic is exact to one rounding; functions are approximated to a few ulp.
const exact = 1e-6;
const approximate = 4e-6;

const unaryRows = {
  neg: { doc: '-x', flops: 1, tolerance: exact, body: (x) => unary('neg', x), apply: (x) => -x },
  abs: { doc: '|x|', flops: 1, tolerance: exact, body: (x) => unary('abs', x), apply: Math.abs },
  exp: { doc: 'e^x', flops: 8, tolerance: approximate, body: (x) => unary('exp', x), apply: Math.exp },
  tanh: { doc: 'tanh x', flops: 10, tolerance: approximate, body: (x) => unary('tanh', x), apply: Math.tanh },
  relu: { doc: 'max(x, 0)', flops: 1, tolerance: exact, body: (x) => max(x, num(0)), apply: (x) => Math.max(x, 0) },
  sigmoid: { doc: '1 / (1 + e^-x)', flops: 10, tolerance: approximate, body: sigmoidExpr, apply: sigmoidOf },
  silu: {
    doc: 'x / (1 + e^-x)',
    flops: 10,
    tolerance: approximate,
    body: (x) => div(x, add(one, unary('exp', unary('neg', x)))),
    apply: (x) => x * sigmoidOf(x),
  },
  gelu: {
    doc: 'x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2',
    flops: 16,
    tolerance: approximate,
    body(x) {
      const cubic = mul(num(0.044715), mul(x, mul(x, x)));
      const inner = mul(num(geluSlope), add(x, cubic));
      return mul(mul(num(0.5), x), add(one, unary('tanh', inner)));
    },
    apply: (x) => 0.5 * x * (1 + Math.tanh(geluSlope * (x + 0.044715 * x ** 3))),
  },
  gelu_erf: {
    doc: 'x (1 + erf(x / sqrt 2)) / 2',
    flops: 16,
    tolerance: approximate,
    body: (x) => mul(mul(num(0.5), x), add(one, unary('erf', mul(x, num(Math.SQRT1_2))))),
    apply: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  },
} as const satisfies Record<string, UnaryRow>; // prettier-ignore

/** Ops whose operands must be positive: their samples are drawn so. */
const positiveRows = {
  log: { doc: 'ln x', flops: 8, tolerance: approximate, body: (x) => unary('log', x), apply: Math.log },
  sqrt: { doc: 'square root', flops: 4, tolerance: exact, body: (x) => unary('sqrt', x), apply: Math.sqrt },
  rsqrt: { doc: '1 / square root', flops: 5, tolerance: exact, body: (x) => div(one, unary('sqrt', x)), apply: (x) => 1 / Math.sqrt(x) },
} as const satisfies Record<string, UnaryRow>; // prettier-ignore

const binaryRows = {
  add: { doc: 'a + b', flops: 1, tolerance: exact, body: add, apply: (a, b) => a + b },
  sub: { doc: 'a - b', flops: 1, tolerance: exact, body: sub, apply: (a, b) => a - b },
  mul: { doc: 'a b', flops: 1, tolerance: exact, body: mul, apply: (a, b) => a * b },
  div: { doc: 'a / b', flops: 4, tolerance: 1e-5, body: div, apply: (a, b) => a / b },
  minimum: { doc: 'the smaller of a and b', flops: 1, tolerance: exact, body: min, apply: Math.min },
  maximum: { doc: 'the larger of a and b', flops: 1, tolerance: exact, body: max, apply: Math.max },
} as const satisfies Record<string, BinaryRow>; // prettier-ignore

function unaryOp(name: string, row: UnaryRow): OpDef<NoAttrs> {
  return defineOp<NoAttrs>({
    doc: `Element-wise ${row.doc}.`,
    operands: ['x'],
    results: ['y'],
    attrs: {},
    infer: (inputs) =>
      needFloats(name, inputs) ?? [{ dtype: 'f32', shape: present(inputs[0]).shape }],
    cost: (_, [y]) => ({
      flops: row.flops * sizeOf(present(y).shape),
      weightBytes: 0,
      stateBytes: 0,
      activationBytes: 8 * sizeOf(present(y).shape),
    }),
    evaluate: ([x]) => [{ shape: present(x).shape, data: present(x).data.map(row.apply) }],
    lower: ([x], [y]) => ({
      kind: 'loops',
      results: [
        {
          over: present(y).shape,
          pieces: [
            {
              until: present(y).shape.at(-1) ?? 1,
              body: (index) => row.body(readBroadcast(0, present(x), index)),
            },
          ],
        },
      ],
    }),
    samples: [{ inputs: 'f32[t, 7]', attrs: {}, tolerance: row.tolerance }],
  });
}

function binaryOp(name: string, row: BinaryRow): OpDef<NoAttrs> {
  return defineOp<NoAttrs>({
    doc: `Element-wise ${row.doc}, broadcast from the right.`,
    operands: ['a', 'b'],
    results: ['y'],
    attrs: {},
    infer([a, b]) {
      const left = present(a);
      const right = present(b);
      const shape = broadcast(left.shape, right.shape);
      if (!shape) return differ(name, left, right);
      return needFloats(name, [left, right]) ?? [{ dtype: 'f32', shape }];
    },
    cost: (inputs, [y]) => ({
      flops: row.flops * sizeOf(present(y).shape),
      weightBytes: 0,
      stateBytes: 0,
      activationBytes:
        4 * sizeOf(present(y).shape) +
        inputs.reduce((s, t) => s + bytesOf[t.dtype] * sizeOf(t.shape), 0),
    }),
    evaluate([a, b], [y]) {
      const out = array(present(y).shape);
      const [left, right] = [present(a), present(b)];
      const at = broadcastOffsets(left.shape, out.shape);
      const bt = broadcastOffsets(right.shape, out.shape);
      for (let i = 0; i < out.data.length; i++) {
        out.data[i] = row.apply(left.data[at[i] ?? 0] ?? 0, right.data[bt[i] ?? 0] ?? 0);
      }
      return [out];
    },
    lower: ([a, b], outputs) => ({
      kind: 'loops',
      results: [
        {
          over: only(outputs).shape,
          pieces: [
            {
              until: only(outputs).shape.at(-1) ?? 1,
              body: (index) =>
                row.body(readBroadcast(0, present(a), index), readBroadcast(1, present(b), index)),
            },
          ],
        },
      ],
    }),
    samples: [
      { inputs: 'f32[t, 6] f32[t, 6]', attrs: {}, tolerance: row.tolerance },
      { inputs: 'f32[t, 3, 5] f32[5]', attrs: {}, tolerance: row.tolerance },
      { inputs: 'f32[t, 3, 5] f32[t, 3, 1]', attrs: {}, tolerance: row.tolerance },
      { inputs: 'f32[t, 4] f32[]', attrs: {}, tolerance: row.tolerance },
    ],
  });
}

const tableOf = <K extends string, R>(
  rows: Readonly<Record<K, R>>,
  make: (name: string, row: R) => OpDef<NoAttrs>,
): Readonly<Record<K, OpDef<NoAttrs>>> => {
  const out: Partial<Record<K, OpDef<NoAttrs>>> = {};
  for (const name in rows) out[name] = make(name, rows[name]);
  return out as Readonly<Record<K, OpDef<NoAttrs>>>; // cast: every key was just set
};

export const unaryOps = tableOf(unaryRows, unaryOp);
export const binaryOps = tableOf(binaryRows, binaryOp);
export const positiveOps = tableOf(positiveRows, (name, row: UnaryRow) => {
  const op = unaryOp(name, row);
  return { ...op, samples: op.samples.map((s) => ({ ...s, positive: true })) };
});
