/** Block types of GGUF files, element by element in plain arithmetic. */
import { describe, expect, test } from 'vitest';
import { decodeMatrix, packMatrix, quantiseMatrix } from '../compiler/scalar/quantise.ts';
import { ggmlTypes } from '../stdlib/index.ts';

/** The number that element e of a block of these bytes stands for. */
type Element = (b: Uint8Array, e: number) => number;

const at = (b: Uint8Array, i: number): number => b[i] ?? NaN;
const f16 = (b: Uint8Array, i: number): number => {
  const [low, high] = [at(b, i), at(b, i + 1)];
  const [exponent, mantissa] = [(high >> 2) & 31, ((high & 3) << 8) | low];
  const size = exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
  return high >= 128 ? -size : size;
};
/** Nibble of element e where byte j has the elements j and j + 16. */
const nibble = (b: Uint8Array, from: number, e: number): number =>
  e < 16 ? at(b, from + e) & 15 : at(b, from + e - 16) >> 4;
const bit = (b: Uint8Array, from: number, i: number): number => (at(b, from + (i >> 3)) >> (i & 7)) & 1; // prettier-ignore
const nonLinear = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** 6-bit scale and minimum of group j from twelve bytes. */
const scaleAndMin = (b: Uint8Array, j: number): readonly [number, number] =>
  j < 4
    ? [at(b, 4 + j) & 63, at(b, 8 + j) & 63]
    : [
        (at(b, 8 + j) & 15) | ((at(b, j) >> 6) << 4),
        (at(b, 8 + j) >> 4) | ((at(b, 4 + j) >> 6) << 4),
      ];
/** 4 bits of element e where 32 bytes have 64 elements, the first 32 in the low halves. */
const nibble64 = (b: Uint8Array, from: number, e: number): number => {
  const byte = at(b, from + 32 * (e >> 6) + (e & 31));
  return (e & 63) < 32 ? byte & 15 : byte >> 4;
};
/** 2 bits of element e where 32 bytes have 128 elements, 32 at each pair of bits. */
const two = (b: Uint8Array, from: number, e: number): number =>
  (at(b, from + 32 * (e >> 7) + (e & 31)) >> (2 * ((e & 127) >> 5))) & 3;
/** 6-bit scale of group s of Q3_K. */
const scale3 = (b: Uint8Array, s: number): number => {
  const low = s < 8 ? at(b, 96 + s) & 15 : at(b, 96 + s - 8) >> 4;
  return (low | (((at(b, 104 + (s & 3)) >> (2 * (s >> 2))) & 3) << 4)) - 32;
};
const int8 = (b: Uint8Array, i: number): number => (at(b, i) > 127 ? at(b, i) - 256 : at(b, i));

/** By the type's name; `floats`: bytes of the block where f16 numbers begin. */
const types: Readonly<Record<string, { floats: readonly number[]; of: Element }>> = {
  Q4_0: { floats: [0], of: (b, e) => f16(b, 0) * (nibble(b, 2, e) - 8) },
  Q4_1: { floats: [0, 2], of: (b, e) => f16(b, 0) * nibble(b, 4, e) + f16(b, 2) },
  Q5_0: { floats: [0], of: (b, e) => f16(b, 0) * ((nibble(b, 6, e) | (bit(b, 2, e) << 4)) - 16) },
  Q5_1: {
    floats: [0, 2],
    of: (b, e) => f16(b, 0) * (nibble(b, 8, e) | (bit(b, 4, e) << 4)) + f16(b, 2),
  },
  Q8_0: { floats: [0], of: (b, e) => f16(b, 0) * int8(b, 2 + e) },
  Q2_K: {
    floats: [80, 82],
    of: (b, e) =>
      f16(b, 80) * (at(b, e >> 4) & 15) * two(b, 16, e) - f16(b, 82) * (at(b, e >> 4) >> 4),
  },
  Q3_K: {
    floats: [108],
    of: (b, e) => {
      const high = (at(b, e & 31) >> (e >> 5)) & 1;
      return f16(b, 108) * scale3(b, e >> 4) * (two(b, 32, e) - (high === 1 ? 0 : 4));
    },
  },
  Q4_K: {
    floats: [0, 2],
    of: (b, e) => {
      const [s, m] = scaleAndMin(b, e >> 5);
      return f16(b, 0) * s * nibble64(b, 16, e) - f16(b, 2) * m;
    },
  },
  Q5_K: {
    floats: [0, 2],
    of: (b, e) => {
      const [s, m] = scaleAndMin(b, e >> 5);
      const high = (at(b, 16 + (e & 31)) >> (e >> 5)) & 1;
      return f16(b, 0) * s * (nibble64(b, 48, e) + 16 * high) - f16(b, 2) * m;
    },
  },
  Q6_K: {
    floats: [208],
    of: (b, e) => {
      const [h, t, l] = [e >> 7, (e & 127) >> 5, e & 31];
      const byte = at(b, 64 * h + l + 32 * (t & 1));
      const low = t < 2 ? byte & 15 : byte >> 4;
      const high = (at(b, 128 + 32 * h + l) >> (2 * t)) & 3;
      return f16(b, 208) * int8(b, 192 + (e >> 4)) * ((low | (high << 4)) - 32);
    },
  },
  IQ4_NL: { floats: [0], of: (b, e) => f16(b, 0) * (nonLinear[nibble(b, 2, e)] ?? NaN) },
  IQ4_XS: {
    floats: [0],
    of: (b, e) => {
      const g = e >> 5;
      const low = (at(b, 4 + (g >> 1)) >> (4 * (g & 1))) & 15;
      const high = (((at(b, 3) << 8) | at(b, 2)) >> (2 * g)) & 3;
      const code = nibble(b, 8 + 16 * g, e & 31);
      return f16(b, 0) * ((low | (high << 4)) - 32) * (nonLinear[code] ?? NaN);
    },
  },
  MXFP4: {
    floats: [],
    of: (b, e) => {
      const code = nibble(b, 1, e);
      const doubled = [0, 1, 2, 3, 4, 6, 8, 12][code & 7] ?? NaN;
      return 2 ** (at(b, 0) - 128) * (code > 7 ? -doubled : doubled);
    },
  },
};

const blocks = [...ggmlTypes].flatMap(([number, t]) => (t.scheme ? [{ ...t, number, scheme: t.scheme }] : [])); // prettier-ignore

test('every type is here, under the number that files write', () => {
  expect(Object.fromEntries(blocks.map((t) => [t.name, t.number]))).toEqual({
    Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q8_0: 8, Q2_K: 10, Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, IQ4_NL: 20, IQ4_XS: 23, MXFP4: 39,
  }); // prettier-ignore
  expect(blocks.map((t) => t.name).sort()).toEqual(Object.keys(types).sort());
});

describe.each(blocks.map((t) => [t.name, t] as const))(
  '%s',
  (name, { scheme, elements, bytes }) => {
    const { floats, of } = types[name] ?? { floats: [], of: () => NaN };
    const [rows, perRow] = [3, 512 / elements];

    test('random blocks stand for what plain arithmetic says', () => {
      let x = 11;
      const stored = Uint8Array.from({ length: rows * perRow * bytes }, () => {
        x = (Math.imul(1664525, x) + 1013904223) >>> 0;
        return x >>> 24;
      });
      // No infinities: the highest bit of exponents is 0.
      for (let b = 0; b < stored.length; b += bytes) {
        for (const f of floats) stored[b + f + 1] = at(stored, b + f + 1) & 0xbf;
      }
      const expected = Float64Array.from({ length: rows * 512 }, (_, i) => {
        const block = Math.floor(i / elements);
        return of(stored.subarray(block * bytes, (block + 1) * bytes), i % elements);
      });
      const found = decodeMatrix(scheme, { blocks: stored }, { n: rows, k: 512 });
      // -0 is 0.
      expect(found.map((v) => v + 0)).toEqual(expected.map((v) => v + 0));
      expect(new Set(found).size).toBeGreaterThan(40);
    });

    test('what is quantised into blocks is near', () => {
      const size = { n: 2, k: 512 };
      const x = Float64Array.from(
        { length: 1024 },
        (_, i) => Math.sin(i * i) * (i < 512 ? 1 : 0.01),
      );
      const length = 2 * perRow * bytes;
      const blocksOf = packMatrix(
        scheme,
        quantiseMatrix(scheme, x, size),
        { blocks: length },
        size,
      );
      const y = decodeMatrix(scheme, blocksOf, size);
      const far = (from: number): number =>
        Math.max(...x.subarray(from, from + 512).map((v, i) => Math.abs(v - (y[from + i] ?? NaN))));
      const allowed = name === 'Q2_K' || name === 'Q3_K' ? 0.5 : /4|5/.test(name) ? 0.3 : 0.03;
      expect(far(0)).toBeLessThan(allowed);
      expect(far(512)).toBeLessThan(0.01 * allowed);
    });
  },
);
