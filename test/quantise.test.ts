/** Quantising by groups in arrays gives what is plainly written down, bit by bit. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type QuantScheme, defineScheme } from '../compiler/index.ts';
import { quantiseMatrix, throughScheme } from '../compiler/scalar/quantise.ts';
import {
  awq, fp8, fp8Blocks, gptq, int4, int8, iq4_nl, iq4_xs, mxfp4, q2_k, q3_k, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0,
} from '../stdlib/index.ts'; // prettier-ignore
import { plainQuantise } from './helpers/plain-quantise.ts';

const schemes: readonly QuantScheme[] = [
  q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, mxfp4,
  int8(), int8(32), int4(16), fp8, fp8Blocks(32), gptq(4, 64), awq(64),
  defineScheme({ ...int4(32), name: 'away', rounding: 'away' }),
]; // prettier-ignore

// Zeros, equal numbers and halves of steps, as well as any numbers.
const number = fc.oneof(
  fc.double({ min: -1, max: 1, noNaN: true }),
  fc.integer({ min: -16, max: 16 }).map((v) => v / 8),
  fc.constant(0),
);
const matrix = fc
  .record({ n: fc.integer({ min: 1, max: 5 }), k: fc.constantFrom(16, 64, 72, 256, 288) })
  .chain(({ n, k }) =>
    fc.record({
      size: fc.constant({ n, k }),
      x: fc
        .array(number, { minLength: n * k, maxLength: n * k })
        .map((values) => Float64Array.from(values, Math.fround)),
    }),
  );

test.each(schemes.map((s) => [s.name, s] as const))('%s', (_, scheme) => {
  fc.assert(
    fc.property(matrix, ({ size, x }) => {
      const wanted = plainQuantise(scheme, x, size);
      expect(quantiseMatrix(scheme, x, size).codes).toEqual(Int32Array.from(wanted.codes));
      // -0 and 0 are one number here.
      const left = [...throughScheme(scheme, x, size)].map((v) => v + 0);
      expect(left).toEqual(wanted.left.map((v) => v + 0));
    }),
    { numRuns: 20 },
  );
});
