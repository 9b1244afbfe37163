/** Schemes: the published formats are instances, held against vectors of the reference quantisers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codeOf, e4m3Format, f16Format, valueOf } from '../compiler/base/number-format.ts';
import { type QuantScheme, SchemeError, bitsPerElement, defineScheme } from '../compiler/index.ts';
import {
  decodeMatrix,
  packMatrix,
  quantiseMatrix,
  throughScheme,
} from '../compiler/scalar/quantise.ts';
import {
  awq, fp8, fp8Blocks, gptq, int4, int8, mxfp4, q4_0, q4_k, q6_k, q8_0,
} from '../stdlib/index.ts'; // prettier-ignore

/** The generator of the golden vectors. */
function values(seed: number, count: number): Float64Array {
  let x = seed;
  return Float64Array.from({ length: count }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return Math.fround(((x >>> 8) / 2 ** 24) * 2 - 1);
  });
}

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const bytes = (count: number, of: (j: number) => number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, j) => of(j) & 255);

describe('the bytes of the reference quantisers', () => {
  test.each([
    [q4_0, 'bc2fe456b89b31161d5920ba94674acef43f'],
    [q8_0, 'cc1fbbde01368ade480f8125beec1859ba7e5fd33008b5988fd09f3616e0c24271ab'],
    [mxfp4, '7c7edc5015effcf6d2ff543ecae3677ef7'],
  ])('$name', (scheme, expected) => {
    const size = { n: 1, k: 32 };
    const q = quantiseMatrix(scheme, values(1, 32), size);
    expect(hex(packMatrix(scheme, q, { blocks: expected.length / 2 }, size)['blocks'])).toBe(expected); // prettier-ignore
  });
});

describe('the values of stored bytes', () => {
  const f16 = (x: number): readonly number[] => {
    const code = codeOf(f16Format, x);
    return [code & 255, code >> 8];
  };
  const sumOf = (y: Float64Array): number => y.reduce((a, b) => a + b, 0);

  test('q4_k', () => {
    const scales = bytes(12, (j) => 37 * j + 11);
    const blocks = Uint8Array.from([...f16(0.01), ...f16(0.02), ...scales, ...bytes(128, (j) => 73 * j + 5)]); // prettier-ignore
    const y = decodeMatrix(q4_k, { blocks }, { n: 1, k: 256 });
    expect([0, 31, 64, 255].map((i) => y[i]?.toFixed(6))).toEqual(['-0.070015', '0.700150', '0.230049', '0.340073']); // prettier-ignore
    expect(sumOf(y)).toBeCloseTo(315.6674, 3);
  });

  test('q6_k', () => {
    const blocks = Uint8Array.from([...bytes(128, (j) => 91 * j + 3), ...bytes(64, (j) => 57 * j + 9), ...bytes(16, (j) => 13 * j - 60), ...f16(0.003)]); // prettier-ignore
    const y = decodeMatrix(q6_k, { blocks }, { n: 1, k: 256 });
    expect([0, 31, 64, 255].map((i) => y[i]?.toFixed(6))).toEqual(['2.340202', '3.384293', '0.768066', '10.890942']); // prettier-ignore
    expect(sumOf(y)).toBeCloseTo(-37.1312, 3);
  });

  test('a GPTQ word holds eight inputs, an AWQ word eight outputs out of order', () => {
    const word = (w: number): Uint8Array => new Uint8Array(Uint32Array.of(w).buffer);
    const one = Uint8Array.from(f16(1));
    const ones = Uint8Array.from(Array.from({ length: 8 }, () => f16(1)).flat());
    const g = decodeMatrix(gptq(4, 8, 2), { qweight: word(0x76543210), scales: one, qzeros: word(0) }, { n: 1, k: 8 }); // prettier-ignore
    expect([...g]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const a = decodeMatrix(awq(1), { qweight: word(0x75316420), scales: ones, qzeros: word(0) }, { n: 8, k: 1 }); // prettier-ignore
    expect([...a]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test('version 1 of GPTQ keeps the zero less one', () => {
    const stores = { qweight: Uint8Array.of(0x88, 0x88, 0x88, 0x88), scales: Uint8Array.from(f16(1)), qzeros: Uint8Array.of(0x77, 0x77, 0x77, 0x77) }; // prettier-ignore
    expect([...decodeMatrix(gptq(4, 8), stores, { n: 1, k: 8 })]).toEqual(Array(8).fill(0));
  });

  test('the bits of FP8 and f16', () => {
    expect([0x7e, 0x7f, 0xff, 0x08, 0x01].map((c) => valueOf(e4m3Format, c))).toEqual([448, NaN, NaN, 2 ** -6, 2 ** -9]); // prettier-ignore
    expect([0x3c00, 0xfbff, 0x0001, 0x7c00].map((c) => valueOf(f16Format, c))).toEqual([1, -65504, 2 ** -24, Infinity]); // prettier-ignore
  });
});

/** The largest error for numbers below 1: half a step, and what the scale's own format adds. */
const all: readonly (readonly [QuantScheme, bits: number, error: number])[] = [
  [q4_0, 4.5, 1 / 7], [q8_0, 8.5, 1 / 254 + 2 ** -11], [q4_k, 4.5, 1 / 6], [q6_k, 6.5625, 1 / 20], [mxfp4, 4.25, 1 / 3],
  [gptq(4, 64), 4.3125, 1 / 7], [gptq(8, 64), 8.375, 1 / 100], [awq(64), 4.3125, 1 / 7],
  [fp8Blocks(32), 8.03125, 1 / 15], [int8(), 8.125, 1 / 250], [int4(64), 4.25, 1 / 7], [fp8, 8.125, 1 / 15],
]; // prettier-ignore

describe.each(all.map(([s, bits, error]) => [s.name, s, bits, error] as const))(
  '%s',
  (_, scheme, bits, error) => {
    const size = { n: 8, k: 256 };

    test('bits an element', () => expect(bitsPerElement(scheme, 64, 256)).toBeCloseTo(bits, 6));

    test('what was stored comes near', () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 1e9 }),
          fc.double({ min: 1e-2, max: 1e2, noNaN: true }),
          (seed, span) => {
            const x = values(seed, size.n * size.k).map((v) => Math.fround(v * span));
            const y = throughScheme(scheme, x, size);
            const far = Math.max(...x.map((v, i) => Math.abs(v - (y[i] ?? NaN))));
            return far <= error * span;
          },
        ),
        { numRuns: 10 },
      );
    });

    test('packed bytes decode to what quantising means', () => {
      const x = values(7, size.n * size.k);
      const q = quantiseMatrix(scheme, x, size);
      const room = Object.fromEntries([scheme.codes, ...scheme.scales, ...(scheme.zero.kind === 'integer' ? [scheme.zero.field] : []), ...(scheme.zero.kind === 'minimum' ? scheme.zero.levels : [])].map((f) => [f.store, 8 * size.n * size.k])); // prettier-ignore
      const decoded = decodeMatrix(scheme, packMatrix(scheme, q, room, size), size);
      expect([...decoded]).toEqual([...throughScheme(scheme, x, size)]);
    });

    test('zeros stay zeros', () => {
      expect(throughScheme(scheme, new Float64Array(size.n * size.k), size).every((v) => v === 0)).toBe(true); // prettier-ignore
    });
  },
);

test('a scheme of parts that do not fit is none', () => {
  const wrong = { ...q8_0, name: 'mine', codes: { ...q8_0.codes, format: { kind: 'int', bits: 7 } } } as const; // prettier-ignore
  expect(() => defineScheme(wrong)).toThrow(SchemeError);
  expect(() => defineScheme({ ...q8_0, name: '8 bits' })).toThrow(/its name/);
});
