/** Values as a quantisation scheme keeps them: quantised and back. */
import { SchemeError } from '../base/failure.ts';
import { present } from '../base/invariant.ts';
import { type QuantScheme, readScheme } from '../base/scheme.ts';
import { throughScheme } from '../scalar/quantise.ts';
import { defineOp, noCost } from './op.ts';
import { array, needFloats } from './shape.ts';

export const through = defineOp<{ readonly scheme: string }>({
  doc: 'What is left of x when it was stored in a scheme: groups of k along the last axis, of n along the one before, each matrix by itself.',
  operands: ['x'],
  results: ['y'],
  attrs: { scheme: { kind: 'text', doc: 'the scheme as JSON' } },
  infer([x], { scheme }) {
    const type = present(x);
    const found = schemeOr(scheme);
    if (typeof found === 'string') {
      return { problem: 'value/choice', text: `through: ${found}`, operands: [0] };
    }
    return needFloats('through', [type]) ?? [{ dtype: 'f32', shape: type.shape }];
  },
  // The value is stored so; nothing is computed.
  cost: () => noCost,
  evaluate([x], [y], { scheme }) {
    const out = array(present(y).shape);
    const [k = 1, n = 1] = [...out.shape].reverse();
    const found = readScheme(scheme);
    const { data } = present(x);
    for (let at = 0; at < data.length; at += n * k) {
      out.data.set(throughScheme(found, data.subarray(at, at + n * k), { n, k }), at);
    }
    return [out];
  },
  lower: (_, __, { scheme }) => ({ kind: 'quantise', scheme: readScheme(scheme) }),
  samples: [],
});

/** The scheme, or what is wrong with the text. */
function schemeOr(text: string): QuantScheme | string {
  try {
    return readScheme(text);
  } catch (e) {
    if (e instanceof SchemeError) return e.message;
    throw e;
  }
}
