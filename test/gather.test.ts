/** Bits moved a word at a time are those that a scheme's description names one by one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bitsOf, valueOf } from '../compiler/base/number-format.ts';
import { type Field, type Piece, levelsOf } from '../compiler/base/scheme.ts';
import type { QuantScheme } from '../compiler/index.ts';
import { bandOf, blockGeometry, levelAt, planeAt } from '../compiler/5-kernel/blocks.ts';
import { packBlocks } from '../compiler/8-bundle/pack-blocks.ts';
import { type MatrixSize, type Stores, gatherOf, stretchOf } from '../compiler/scalar/gather.ts';
import { decodeMatrix } from '../compiler/scalar/quantise.ts';
import {
  awq, fp8, fp8Blocks, ggmlTypes, gptq, int4, int8,
} from '../stdlib/index.ts'; // prettier-ignore

/** The bit of a piece, from its digits. */
function bitAt(piece: Piece, index: { n: number; k: number }, size: MatrixSize): number {
  const rest = { ...index };
  return piece.digits.reduce((bit, { axis, size: radix, step, times }) => {
    const digit = radix === undefined ? rest[axis] : rest[axis] % radix;
    rest[axis] = radix === undefined ? 0 : Math.floor(rest[axis] / radix);
    return bit + digit * step * (times ? Math.ceil(size[times.axis] / times.per) : 1);
  }, piece.offset);
}

/** The code at (n, k), bit by bit; bits behind the store's end are 0. */
function codeAt(field: Field, stores: Stores, size: MatrixSize, n: number, k: number): number {
  const bytes = stores[field.store] ?? new Uint8Array(0);
  let [code, weight] = [0, 1];
  for (const piece of field.pieces) {
    const at = bitAt(piece, { n, k }, size);
    for (let b = at; b < at + piece.bits; b++) {
      code += weight * (((bytes[Math.floor(b / 8)] ?? 0) >> (b % 8)) & 1);
      weight *= 2;
    }
  }
  return code;
}

const random = (count: number, seed: number): Uint8Array => {
  let x = seed;
  return Uint8Array.from({ length: count }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return x >>> 24;
  });
};

/** Stores of random bytes, each as long as the last bit that the scheme names. */
function storesOf(scheme: QuantScheme, size: MatrixSize, seed: number): Stores {
  const lengths = new Map<string, number>();
  for (const field of [scheme.codes, ...levelsOf(scheme)]) {
    for (const piece of field.pieces) {
      // The axes add: the last bit is where both have their most.
      const most = (axis: 'n' | 'k'): number =>
        Math.max(...Array.from({ length: size[axis] }, (_, i) => bitAt(piece, { n: 0, k: 0, [axis]: i }, size) - piece.offset)); // prettier-ignore
      const end = Math.ceil((piece.offset + most('n') + most('k') + piece.bits) / 8);
      lengths.set(field.store, Math.max(lengths.get(field.store) ?? 0, end));
    }
  }
  return Object.fromEntries([...lengths].map(([name, bytes]) => [name, random(bytes, seed)]));
}

function packedSlowly(
  scheme: QuantScheme,
  stores: Stores,
  size: MatrixSize,
  unit: number,
): Uint8Array {
  const g = blockGeometry(size.n, size.k, scheme, unit);
  const view = new DataView(new ArrayBuffer(g.matrixBytes));
  for (let n = 0; n < size.n; n++) {
    const { at, lane } = bandOf(g, unit, n);
    for (let k = 0; k < size.k; k++) {
      for (const p of [...g.rowLevels, ...g.levels]) {
        const to = at + levelAt(g, p, lane, k);
        const code = codeAt(p.level, stores, size, n, k);
        for (let b = 0; b < p.bytes; b++) view.setUint8(to + b, Math.floor(code / 256 ** b) % 256);
      }
      const code = codeAt(scheme.codes, stores, size, n, k);
      for (const plane of g.planes) {
        const { byte, shift } = planeAt(g, plane, lane, k);
        const part = Math.floor(code / 2 ** plane.from) % 2 ** plane.bits;
        view.setUint8(at + byte, view.getUint8(at + byte) | (part << shift));
      }
    }
  }
  return new Uint8Array(view.buffer);
}

function decodedSlowly(scheme: QuantScheme, stores: Stores, size: MatrixSize): Float64Array {
  const { zero } = scheme;
  return Float64Array.from({ length: size.n * size.k }, (_, i) => {
    const [n, k] = [Math.floor(i / size.k), i % size.k];
    const value = (f: Field): number => valueOf(f.format, codeAt(f, stores, size, n, k));
    const product = (fields: readonly Field[]): number => fields.reduce((p, f) => p * value(f), 1);
    const shift = zero.kind === 'integer' ? value(zero.field) + zero.add : 0;
    const low = zero.kind === 'minimum' ? product(zero.levels) : 0;
    return product(scheme.scales) * (value(scheme.codes) + scheme.offset - shift) - low;
  });
}

const ggml = [...ggmlTypes.values()].flatMap((t) => t.scheme ?? []);
const packable = [
  ...ggml, int8(), int8(32), int4(32), int4(128), gptq(4, 128), gptq(8, 128), gptq(2, 128), gptq(4, 64, 2), awq(128), fp8,
]; // prettier-ignore
const sizes = fc.record({
  n: fc.integer({ min: 1, max: 6 }).map((x) => 8 * x),
  k: fc.integer({ min: 1, max: 2 }).map((x) => 256 * x),
  unit: fc.constantFrom(8, 16, 24, 48),
  seed: fc.integer({ min: 1, max: 2 ** 31 }),
});

describe('random bytes in every scheme', () => {
  test.each(packable.map((s) => [s.name, s] as const))('%s is packed', (_, scheme) => {
    const property = fc.property(sizes, ({ n, k, unit, seed }) => {
      const stores = storesOf(scheme, { n, k }, seed);
      const packed = packBlocks(scheme, stores, { n, k }, blockGeometry(n, k, scheme, unit), unit);
      expect(Buffer.compare(packed, packedSlowly(scheme, stores, { n, k }, unit))).toBe(0);
    });
    fc.assert(property, { numRuns: 2 });
  });

  test.each([...packable, fp8Blocks(128), fp8Blocks(32)].map((s) => [s.name, s] as const))(
    '%s is decoded',
    (_, scheme) => {
      const size = { n: 20, k: 512 };
      const stores = storesOf(scheme, size, 5);
      expect(decodeMatrix(scheme, stores, size)).toEqual(decodedSlowly(scheme, stores, size));
    },
  );
});

test.each([8, 33, 100, 257])('rows of %i fill the last block with zeros', (k) => {
  for (const scheme of [int8(), fp8]) {
    const stores = storesOf(scheme, { n: 19, k }, k);
    const packed = packBlocks(scheme, stores, { n: 19, k }, blockGeometry(19, k, scheme, 16), 16);
    expect(Buffer.compare(packed, packedSlowly(scheme, stores, { n: 19, k }, 16))).toBe(0);
  }
});

/** Fields of any pieces and digits, whether they overlap or not. */
const fields: fc.Arbitrary<Field> = fc
  .array(
    fc.record({
      bits: fc.integer({ min: 1, max: 10 }),
      offset: fc.integer({ min: 0, max: 70 }),
      digits: fc.array(
        fc.record({
          axis: fc.constantFrom('n' as const, 'k' as const),
          size: fc.integer({ min: 1, max: 9 }),
          step: fc.integer({ min: 0, max: 40 }),
        }),
        { maxLength: 4 },
      ),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((pieces) => ({
    format: { kind: 'uint', bits: pieces.reduce((sum, p) => sum + p.bits, 0) },
    store: 's',
    pieces: pieces.map((p) => ({
      ...p,
      digits: [...p.digits, { axis: 'k', step: 8 }, { axis: 'n', step: 24 }],
    })),
  }));

test('any field is read as its digits say, rows and columns in any stretch', () => {
  const any = fc.record({
    field: fields,
    n: fc.integer({ min: 1, max: 20 }),
    k: fc.integer({ min: 1, max: 70 }),
    unit: fc.constantFrom(1, 4, 16, 32),
    bytes: fc.integer({ min: 0, max: 400 }),
  });
  const property = fc.property(any, ({ field, n, k, unit, bytes }) => {
    const size = { n, k };
    const stores = { s: random(bytes, n + 31 * k) };
    const stretch = stretchOf(field, size, unit);
    const parts = (c: number) => [{ k: c, from: 0, bits: bitsOf(field.format), to: 0 }];
    const cells = Array.from({ length: stretch }, (_, at) => ({ at, parts: parts(at) }));
    const gather = gatherOf(field, stores, size, stretch, cells);
    const out = new Int32Array(n * k);
    for (let first = 0; first < n; first += 7) {
      for (let s = 0; s * stretch < k; s++) {
        gather.run(out, first * k + s * stretch, { first, count: Math.min(7, n - first), step: k }, s); // prettier-ignore
      }
    }
    const slow = Int32Array.from(out, (_, i) => codeAt(field, stores, size, Math.floor(i / k), i % k)); // prettier-ignore
    expect(out).toEqual(slow);
  });
  fc.assert(property, { numRuns: 300 });
});
