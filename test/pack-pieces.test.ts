/** A matrix that is packed piece by piece is the same to the byte as one that is packed at once. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesOf } from '../compiler/base/type.ts';
import { packedBytes } from '../compiler/5-kernel/packed.ts';
import type { WeightLayout } from '../compiler/5-kernel/layout.ts';
import { packWeight, piecesOf } from '../compiler/8-bundle/pack.ts';

const layouts = fc.oneof(
  fc.record({ kind: fc.constant('tiles' as const), unit: fc.constantFrom(4, 16, 24, 64) }),
  fc.constant({ kind: 'plain' as const }),
  fc.constant({ kind: 'wide' as const }),
);

test('pieces of any size make up the whole', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 150 }),
      fc.integer({ min: 1, max: 20 }),
      fc.constantFrom('f32' as const, 'bf16' as const, 'f16' as const),
      layouts,
      fc.integer({ min: 1, max: 8192 }),
      fc.integer(),
      (n, k, dtype, layout: Exclude<WeightLayout, { kind: 'blocks' }>, most, seed) => {
        const shape = [n, k];
        const stored = Uint8Array.from({ length: n * k * bytesOf[dtype] }, (_, i) => (i * 31 + seed) & 255); // prettier-ignore
        const packed = new Uint8Array(packedBytes(shape, dtype, layout));
        const pieces = piecesOf(shape, dtype, layout, most);
        for (const { from, bytes, to, shape: own } of pieces) {
          packed.set(packWeight(stored.subarray(from, from + bytes), own, dtype, layout), to);
        }
        expect(packed).toEqual(packWeight(stored, shape, dtype, layout));
        const units = layout.kind === 'tiles' ? Math.ceil(n / layout.unit) : 1;
        expect(pieces.length).toBeLessThanOrEqual(units);
        if (most === 1) expect(pieces.length).toBe(units);
      },
    ),
    { numRuns: 300 },
  );
});
