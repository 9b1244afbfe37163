/** The bundle's layout of quantised matrices holds what the checkpoint's own order of bits held. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { valueOf } from '../compiler/base/number-format.ts';
import { bitsPerElement, levelsOf } from '../compiler/base/scheme.ts';
import type { Level, QuantScheme } from '../compiler/index.ts';
import {
  bandOf,
  blockGeometry,
  blocksRefusal,
  levelAt,
  placeOfLevel,
  planeAt,
} from '../compiler/5-kernel/blocks.ts';
import { packBlocks } from '../compiler/8-bundle/pack-blocks.ts';
import type { MatrixSize, Stores } from '../compiler/scalar/gather.ts';
import { decodeMatrix, packMatrix, quantiseMatrix } from '../compiler/scalar/quantise.ts';
import {
  awq, fp8, fp8Blocks, gptq, int4, int8, mxfp4, q4_0, q4_k, q6_k, q8_0,
} from '../stdlib/index.ts'; // prettier-ignore

const packable = [
  q4_0, q8_0, q4_k, q6_k, mxfp4, int8(), int8(32), int4(32), int4(128), gptq(4, 128), gptq(8, 128), gptq(2, 128), awq(128), fp8,
]; // prettier-ignore

/** A matrix of the scheme as a checkpoint stores it. Stores are larger than any scheme asks for. */
function stored(scheme: QuantScheme, size: MatrixSize, seed: number): Stores {
  let x = seed;
  const values = Float64Array.from({ length: size.n * size.k }, () => {
    x = (Math.imul(1664525, x) + 1013904223) >>> 0;
    return x / 2 ** 31 - 1;
  });
  const names = new Set([scheme.codes, ...levelsOf(scheme)].map((f) => f.store));
  const sizes = Object.fromEntries([...names].map((s) => [s, 8 * size.n * size.k + 1024]));
  return packMatrix(scheme, quantiseMatrix(scheme, values, size), sizes, size);
}

/** Element by element out of the layout, by its own description. */
function unpacked(
  scheme: QuantScheme,
  bytes: Uint8Array,
  size: MatrixSize,
  unit: number,
): Float64Array {
  const g = blockGeometry(size.n, size.k, scheme, unit);
  expect(bytes.byteLength).toBe(g.matrixBytes);
  const view = new DataView(bytes.buffer);
  const out = new Float64Array(size.n * size.k);
  for (let n = 0; n < size.n; n++) {
    for (let k = 0; k < size.k; k++) {
      const { at, lane } = bandOf(g, unit, n);
      const level = (l: Level): number => {
        const place = placeOfLevel(g, l);
        const from = at + levelAt(g, place, lane, k);
        const read = { 1: view.getUint8(from), 2: 0, 4: 0 };
        if (place.bytes === 2) read[2] = view.getUint16(from, true);
        if (place.bytes === 4) read[4] = view.getUint32(from, true);
        return valueOf(l.format, read[place.bytes]);
      };
      const product = (levels: readonly Level[]): number =>
        levels.reduce((p, l) => p * level(l), 1);
      const code = g.planes.reduce((c, plane) => {
        const { byte, shift } = planeAt(g, plane, lane, k);
        return c + (((view.getUint8(at + byte) >> shift) & (2 ** plane.bits - 1)) << plane.from);
      }, 0);
      const { zero } = scheme;
      const shift = zero.kind === 'integer' ? level(zero.field) + zero.add : 0;
      const low = zero.kind === 'minimum' ? product(zero.levels) : 0;
      const value = valueOf(scheme.codes.format, code) + scheme.offset;
      out[n * size.k + k] = product(scheme.scales) * (value - shift) - low;
    }
  }
  return out;
}

describe('a packed matrix has the values of the stored one', () => {
  test.each(packable.map((s) => [s.name, s] as const))('%s', (_, scheme) => {
    const sizes = fc.record({
      n: fc.integer({ min: 1, max: 6 }).map((x) => 8 * x),
      k: fc.integer({ min: 1, max: 2 }).map((x) => 256 * x),
      unit: fc.constantFrom(8, 16, 24, 48),
      seed: fc.integer({ min: 1, max: 2 ** 31 }),
    });
    fc.assert(
      fc.property(sizes, ({ n, k, unit, seed }) => {
        const stores = stored(scheme, { n, k }, seed);
        const g = blockGeometry(n, k, scheme, unit);
        const packed = packBlocks(scheme, stores, { n, k }, g, unit);
        expect(unpacked(scheme, packed, { n, k }, unit)).toEqual(
          decodeMatrix(scheme, stores, { n, k }),
        );
      }),
      { numRuns: 4 },
    );
  });
});

test('rows of blocks take the bits that the scheme counts, scales of 6 bits a byte each', () => {
  const bits = (s: QuantScheme): number => {
    const g = blockGeometry(64, 2048, s, 16);
    return (8 * g.matrixBytes) / (64 * 2048);
  };
  for (const s of [q4_0, q8_0, mxfp4, q6_k, int8(), int8(32), int4(128), gptq(4, 128)]) {
    const zeros = s.zero.kind === 'integer' ? (8 - 4) / 128 : 0;
    expect(bits(s)).toBeCloseTo(bitsPerElement(s, 64, 2048) + zeros, 6);
  }
  expect(bits(q4_k)).toBe(4.5 + (16 * 2) / 256);
});

test('what rows share, and groups that do not fit, have no layout', () => {
  expect(blocksRefusal(fp8Blocks(128))).toBe('scales that rows share');
  expect(blocksRefusal(int4(8))).toBe('groups of 8 along k');
  expect(blocksRefusal(q4_0)).toBeUndefined();
});
