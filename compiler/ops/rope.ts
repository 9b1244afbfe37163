/**
 * Rotary position embedding in two ops: angles of the step's positions, and the rotation of heads by
 * them. Every scaling of RoPE is a list of frequencies. Su et al., "RoFormer" (2021), section 3.4.
 */
import { constantDim, sameDim, showShape } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import {
  type Expr,
  add,
  arithmetic,
  at,
  cast,
  compare,
  div,
  int,
  mul,
  num,
  rem,
  select,
  sub,
  unary,
} from '../scalar/expr.ts';
import { type LoopPiece, defineOp } from './op.ts';
import { array, number, sizeOf, wrongRank } from './shape.ts';

export const angles = defineOp<{ readonly frequencies: readonly number[]; readonly scale: number }>(
  {
    doc: 'Cosines and sines of position times frequency, times scale.',
    operands: ['positions'],
    results: ['cos', 'sin'],
    attrs: {
      frequencies: { kind: 'reals', doc: 'radians per position, one for each rotated pair' },
      scale: { kind: 'real', doc: 'factor of cos and sin', default: 1 },
    },
    infer([positions], { frequencies }) {
      const type = present(positions);
      if (type.dtype !== 'i32' || type.shape.length !== 1) {
        return wrongRank('angles', 0, 'i32 [t]', type);
      }
      const result: TensorType = {
        dtype: 'f32',
        shape: [present(type.shape[0]), frequencies.length],
      };
      return [result, result];
    },
    cost: (_, [cos]) => ({
      flops: 40 * sizeOf(present(cos).shape),
      weightBytes: 0,
      stateBytes: 0,
      activationBytes: 8 * sizeOf(present(cos).shape),
    }),
    evaluate([positions], [type], { frequencies, scale }) {
      const cos = array(present(type).shape);
      const sin = array(present(type).shape);
      present(positions).data.forEach((p, row) =>
        frequencies.forEach((f, i) => {
          cos.data[row * frequencies.length + i] = Math.cos(p * f) * scale;
          sin.data[row * frequencies.length + i] = Math.sin(p * f) * scale;
        }),
      );
      return [cos, sin];
    },
    lower(_, [cos], { frequencies, scale }) {
      const over = present(cos).shape;
      // The product with the position is kept in double precision: far positions keep their angle.
      const pieces = (f: 'cos' | 'sin'): LoopPiece[] =>
        frequencies.map((frequency, i) => ({
          until: i + 1,
          body: ([row]) => {
            const position = cast(at(0, [present(row)], 'i32'), 'f64');
            const angle = mul(position, num(frequency, 'f64'));
            return mul(cast(unary(f, angle), 'f32'), num(scale));
          },
        }));
      return {
        kind: 'loops',
        results: [
          { over, pieces: pieces('cos') },
          { over, pieces: pieces('sin') },
        ],
      };
    },
    samples: [
      {
        inputs: 'i32[t]',
        attrs: { frequencies: [1, 0.1, 0.01, 0.001], scale: 1 },
        tolerance: 1e-6, // f32 results
        below: 100000,
      },
    ],
  },
);

export const rotate = defineOp<{ readonly pairing: string }>({
  doc: 'Rotates pairs of the first 2 m dimensions of each head by m angles; the rest passes.',
  operands: ['x', 'cos', 'sin'],
  results: ['y'],
  attrs: {
    pairing: {
      kind: 'text',
      doc: "'half': (i, i + m); 'interleaved': (2 i, 2 i + 1)",
      default: 'half',
    },
  },
  infer([x, cos, sin], { pairing }) {
    const [type, c, s] = [present(x), present(cos), present(sin)];
    if (type.shape.length !== 3) return wrongRank('rotate', 0, '[t, heads, n]', type);
    const m = constantDim(present(c.shape.at(-1)));
    const n = constantDim(present(type.shape[2]));
    if (c.shape.length !== 2 || !sameDim(present(c.shape[0]), present(type.shape[0]))) {
      return wrongRank('rotate', 1, '[t, m]', c);
    }
    if (showShape(c.shape) !== showShape(s.shape) || (m && n && 2 * m > n)) {
      return {
        problem: 'shape/differ',
        text: `rotate: ${showShape(type.shape)} by angles ${showShape(c.shape)} and ${showShape(s.shape)}`,
        operands: [0, 1, 2],
      };
    }
    if (pairing !== 'half' && pairing !== 'interleaved') {
      return {
        problem: 'value/choice',
        text: `rotate: pairing is 'half' or 'interleaved', found '${pairing}'`,
        operands: [0],
      };
    }
    return [{ dtype: 'f32', shape: type.shape }];
  },
  cost: ([x]) => ({
    flops: 3 * sizeOf(present(x).shape),
    weightBytes: 0,
    stateBytes: 0,
    activationBytes: 8 * sizeOf(present(x).shape),
  }),
  evaluate([x, cos, sin], _, { pairing }) {
    const { shape, data } = present(x);
    const out = { shape, data: data.slice() };
    const [tokens = 0, heads = 0, n = 0] = shape;
    const m = present(present(cos).shape[1]);
    for (let t = 0; t < tokens; t++) {
      for (let h = 0; h < heads; h++) {
        const head = (t * heads + h) * n;
        for (let i = 0; i < m; i++) {
          const [a, b] =
            pairing === 'half' ? [head + i, head + i + m] : [head + 2 * i, head + 2 * i + 1];
          const c = present(cos).data[t * m + i] ?? 0;
          const s = present(sin).data[t * m + i] ?? 0;
          const [p, q] = [data[a] ?? 0, data[b] ?? 0];
          out.data[a] = p * c - q * s;
          out.data[b] = q * c + p * s;
        }
      }
    }
    return [out];
  },
  lower([x, cos], [y], { pairing }) {
    const m = number(present(cos).shape[1]);
    const over = present(y).shape;
    const n = number(present(x).shape[2]);
    const rest: LoopPiece[] = 2 * m < n ? [{ until: n, body: (index) => at(0, index) }] : [];
    const rotated = pairing === 'half' ? halves(m) : interleaved(m);
    return { kind: 'loops', results: [{ over, pieces: [...rotated, ...rest] }] };
  },
  samples: [
    { inputs: 'f32[t, 3, 16] f32[t, 8] f32[t, 8]', attrs: { pairing: 'half' }, tolerance: 1e-6 },
    {
      inputs: 'f32[t, 3, 16] f32[t, 8] f32[t, 8]',
      attrs: { pairing: 'interleaved' },
      tolerance: 1e-6,
    },
    { inputs: 'f32[t, 2, 16] f32[t, 4] f32[t, 4]', attrs: { pairing: 'half' }, tolerance: 1e-6 },
  ],
});

function halves(m: number): LoopPiece[] {
  const part = (index: readonly Expr[]) => {
    const [t, h, i] = [present(index[0]), present(index[1]), present(index[2])];
    return { t, h, i };
  };
  return [
    {
      until: m,
      body(index) {
        const { t, h, i } = part(index);
        const other = at(0, [t, h, add(i, int(m))]);
        return sub(mul(at(0, index), at(1, [t, i])), mul(other, at(2, [t, i])));
      },
    },
    {
      until: 2 * m,
      body(index) {
        const { t, h, i } = part(index);
        const angle = sub(i, int(m));
        const other = at(0, [t, h, angle]);
        return add(mul(at(0, index), at(1, [t, angle])), mul(other, at(2, [t, angle])));
      },
    },
  ];
}

function interleaved(m: number): LoopPiece[] {
  return [
    {
      until: 2 * m,
      body(index) {
        const [t, h, i] = [present(index[0]), present(index[1]), present(index[2])];
        const pair = div(i, int(2));
        const other = at(0, [t, h, arithmetic('xor', i, int(1))]);
        const sign = select(compare('eq', rem(i, int(2)), int(0)), num(-1), num(1));
        return add(mul(at(0, index), at(1, [t, pair])), mul(sign, mul(other, at(2, [t, pair]))));
      },
    },
  ];
}
