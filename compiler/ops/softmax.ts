/** exp(x - max) / sum of the same, over the last axis. */
import { present } from '../base/invariant.ts';
import { type NoAttrs, defineOp, expandedOp } from './op.ts';
import { array, needFloats, sizeOf, wrongRank } from './shape.ts';

export const softmax = defineOp<NoAttrs>({
  doc: 'Softmax over the last axis.',
  operands: ['x'],
  results: ['y'],
  attrs: {},
  infer([x]) {
    const { shape } = present(x);
    if (shape.length < 1) return wrongRank('softmax', 0, 'at least one axis', present(x));
    return needFloats('softmax', [present(x)]) ?? [{ dtype: 'f32', shape }];
  },
  cost: ([x]) => ({
    flops: 12 * sizeOf(present(x).shape),
    weightBytes: 0,
    stateBytes: 0,
    activationBytes: 8 * sizeOf(present(x).shape),
  }),
  evaluate([x]) {
    const { shape, data } = present(x);
    const out = array(shape);
    const n = shape.at(-1) ?? 1;
    for (let from = 0; from < data.length; from += n) {
      const row = data.subarray(from, from + n);
      const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = row.reduce((s, v) => s + Math.exp(v - most), 0);
      row.forEach((v, i) => {
        out.data[from + i] = Math.exp(v - most) / total;
      });
    }
    return [out];
  },
  expand(call, [x]) {
    const input = present(x);
    const e = call('exp', [call('sub', [input, call('max', [input], { axis: -1 })], {})], {});
    return [call('div', [e, call('sum', [e], { axis: -1 })], {})];
  },
  lower: expandedOp,
  samples: [{ inputs: 'f32[t, 11]', attrs: {}, tolerance: 1e-5 }],
});
