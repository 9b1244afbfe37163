/**
 * Named weight layouts: how a weight matrix [.., n, k] lies in a bundle. One layout serves all CPU
 * targets, so a bundle holds one copy of each weight.
 *
 * - `plain`: row-major, as stored
 * - `wide`: row-major f32 (lossless for f16 and bf16): small vectors that are read element by element
 * - `tiles`: for matrices [n, k]. Rows are cut into units of `unit` rows; each unit is padded with
 *   zero rows to a multiple of 16 and cut into bands of 16 rows; a band is a sequence over k of
 *   16 rows x 4 bytes (two 16-bit or one 32-bit element of each row), k padded with zeros.
 *   Leading axes (experts) are outermost.
 * - `blocks`: for matrices kept in a scheme, see blocks.ts
 */
import { type DType, bytesOf } from '../base/type.ts';
import type { QuantScheme } from '../base/scheme.ts';

export type WeightLayout =
  | { readonly kind: 'plain' }
  | { readonly kind: 'wide' }
  | { readonly kind: 'tiles'; readonly unit: number }
  | { readonly kind: 'blocks'; readonly unit: number; readonly scheme: QuantScheme };

/** Rows of a band, and bytes of one row in a step over k. */
export const bandRows = 16;
export const stepBytes = 4;

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Elements of k in a step: 2 for 16-bit weights, 1 for f32. */
export const perStep = (dtype: DType): number => stepBytes / bytesOf[dtype];

export interface TileGeometry {
  /** Rows of a unit with padding; units; steps over k of a band; bytes of a unit and of a matrix. */
  readonly paddedUnit: number;
  readonly units: number;
  readonly steps: number;
  readonly unitBytes: number;
  readonly matrixBytes: number;
}

export function tileGeometry(n: number, k: number, dtype: DType, unit: number): TileGeometry {
  const paddedUnit = roundUp(unit, bandRows);
  const units = Math.ceil(n / unit);
  const steps = Math.ceil(k / perStep(dtype));
  const unitBytes = paddedUnit * steps * stepBytes;
  return { paddedUnit, units, steps, unitBytes, matrixBytes: units * unitBytes };
}

/** Byte offset of element (row, k) inside one tiled matrix. */
export function tileOffset(
  g: TileGeometry,
  dtype: DType,
  unit: number,
  row: number,
  k: number,
): number {
  const per = perStep(dtype);
  const inUnit = row % unit;
  const band = Math.floor(inUnit / bandRows);
  return (
    Math.floor(row / unit) * g.unitBytes +
    (band * g.steps + Math.floor(k / per)) * bandRows * stepBytes +
    (inUnit % bandRows) * stepBytes +
    (k % per) * bytesOf[dtype]
  );
}

export function showLayout(l: WeightLayout): string {
  switch (l.kind) {
    case 'plain':
    case 'wide':
      return l.kind;
    case 'tiles':
      return `tiles16x4 unit ${l.unit}`;
    case 'blocks':
      return `blocks ${l.scheme.name} unit ${l.unit}`;
  }
}
