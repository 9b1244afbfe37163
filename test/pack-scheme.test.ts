/** Float matrices that are quantised on their way into a bundle hold what quantising means. */
import { describe, expect, test } from 'vitest';
import { codeOf } from '../compiler/base/number-format.ts';
import type { QuantScheme } from '../compiler/index.ts';
import { bandOf, blockGeometry, levelAt, planeAt } from '../compiler/5-kernel/blocks.ts';
import { packScheme } from '../compiler/8-bundle/pack-scheme.ts';
import type { MatrixSize } from '../compiler/scalar/gather.ts';
import { decodeMatrix, packMatrix, quantiseMatrix } from '../compiler/scalar/quantise.ts';
import {
  awq, fp8, gptq, int4, int8, mxfp4, q3_k, q4_0, q4_1, q4_k, q6_k, q8_0,
} from '../stdlib/index.ts'; // prettier-ignore

const numbers = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * i) * (1 + (i % 7)));

/** One matrix, number by number. */
function packedSlowly(
  scheme: QuantScheme,
  x: Float32Array,
  size: MatrixSize,
  unit: number,
): Uint8Array {
  const q = quantiseMatrix(scheme, Float64Array.from(x), size);
  const g = blockGeometry(size.n, size.k, scheme, unit);
  const view = new DataView(new ArrayBuffer(g.matrixBytes));
  for (let n = 0; n < size.n; n++) {
    const { at, lane } = bandOf(g, unit, n);
    for (const p of [...g.rowLevels, ...g.levels]) {
      for (let k = 0; k < size.k; k += p.group === 0 ? size.k : p.group) {
        const code = codeOf(p.level.format, q.level(p.level, n, k));
        const to = at + levelAt(g, p, lane, k);
        for (let b = 0; b < p.bytes; b++) view.setUint8(to + b, Math.floor(code / 256 ** b) % 256);
      }
    }
    for (let k = 0; k < size.k; k++) {
      const code = q.codes[n * size.k + k] ?? 0;
      for (const plane of g.planes) {
        const { byte, shift } = planeAt(g, plane, lane, k);
        const part = (code >> plane.from) & (2 ** plane.bits - 1);
        view.setUint8(at + byte, view.getUint8(at + byte) | (part << shift));
      }
    }
  }
  return new Uint8Array(view.buffer);
}

const packed = (scheme: QuantScheme, x: Float32Array, shape: readonly number[], unit: number) => {
  const bytes = new Uint8Array(x.buffer);
  const entry = { file: 'x', dtype: 'F32', shape, offset: 0, bytes: bytes.length };
  return packScheme(bytes, entry, 'f32', shape, { kind: 'blocks', scheme, unit });
};

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const schemes = [
  int8(), int8(32), int4(32), int4(128), fp8, gptq(4, 128), awq(128), q4_0, q4_1, q8_0, q3_k, q4_k, q6_k, mxfp4,
]; // prettier-ignore

describe.each(schemes.map((s) => [s.name, s] as const))('%s', (_, scheme) => {
  test.each([16, 24])('a matrix in units of %i rows', (unit) => {
    const x = numbers(40 * 256);
    expect(same(packed(scheme, x, [40, 256], unit), packedSlowly(scheme, x, { n: 40, k: 256 }, unit))).toBe(true); // prettier-ignore
  });
});

test('a stack of matrices', () => {
  const x = numbers(3 * 24 * 256);
  const each = [0, 1, 2].map((m) => packedSlowly(q8_0, x.slice(m * 24 * 256, (m + 1) * 24 * 256), { n: 24, k: 256 }, 16)); // prettier-ignore
  expect(same(packed(q8_0, x, [3, 24, 256], 16), Buffer.concat(each))).toBe(true);
});

test('rows that fill no block', () => {
  const x = numbers(20 * 100);
  expect(same(packed(int8(), x, [20, 100], 16), packedSlowly(int8(), x, { n: 20, k: 100 }, 16))).toBe(true); // prettier-ignore
});

test('a large matrix is taken some units at once', () => {
  const size = { n: 90, k: 16384 };
  const x = numbers(size.n * size.k);
  expect(same(packed(int4(32), x, [size.n, size.k], 24), packedSlowly(int4(32), x, size, 24))).toBe(true); // prettier-ignore
});

test('a tensor in another scheme is decoded and quantised', () => {
  const size = { n: 32, k: 256 };
  const x = Float64Array.from(numbers(32 * 256));
  const stores = packMatrix(q8_0, quantiseMatrix(q8_0, x, size), { blocks: 32 * 8 * 34 }, size);
  const blocks = stores['blocks'] ?? new Uint8Array(0);
  const entry = { file: 'x', dtype: 'F32', shape: [32, 256], offset: 0, bytes: blocks.length, scheme: q8_0 }; // prettier-ignore
  const kept = packScheme(blocks, entry, 'f32', [32, 256], { kind: 'blocks', scheme: q8_0, unit: 16 }); // prettier-ignore
  const other = packScheme(blocks, entry, 'f32', [32, 256], { kind: 'blocks', scheme: int4(32), unit: 16 }); // prettier-ignore
  expect(same(kept, packedSlowly(q8_0, Float32Array.from(x), size, 16))).toBe(true);
  const decoded = Float32Array.from(decodeMatrix(q8_0, { blocks }, size));
  expect(same(other, packedSlowly(int4(32), decoded, size, 16))).toBe(true);
});
