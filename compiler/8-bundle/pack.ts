/** Weights from a checkpoint into the layouts of a bundle, a slice at a time. */
import { halfToFloat } from '../base/half.ts';
import { invariant } from '../base/invariant.ts';
import { type DType, bytesOf } from '../base/type.ts';
import { type WeightLayout, bandRows, perStep, tileGeometry } from '../5-kernel/layout.ts';
import { packedBytes } from '../5-kernel/packed.ts';

/**
 * One weight as stored (row-major, little-endian) to its packed bytes. `shape` is the whole weight's;
 * stacked experts are packed one matrix at a time with the matrix's own shape.
 */
export function packWeight(
  stored: Uint8Array,
  shape: readonly number[],
  dtype: DType,
  layout: Exclude<WeightLayout, { kind: 'blocks' }>,
): Uint8Array {
  switch (layout.kind) {
    case 'plain':
      return stored;
    case 'wide':
      return widened(stored, dtype);
    case 'tiles':
      return tiled(stored, shape, dtype, layout);
  }
}

export interface Piece {
  /** Bytes of the stored weight, and where they go among the packed ones. */
  readonly from: number;
  readonly bytes: number;
  readonly to: number;
  readonly shape: readonly number[];
}

/**
 * A weight in pieces of about `most` bytes that are packed one by one: a matrix in tiles by its units,
 * others whole.
 */
export function piecesOf(
  shape: readonly number[],
  dtype: DType,
  layout: Exclude<WeightLayout, { kind: 'blocks' }>,
  most: number,
): readonly Piece[] {
  const bytes = shape.reduce((a, b) => a * b, bytesOf[dtype]);
  const [n, k, ...more] = shape;
  if (layout.kind !== 'tiles' || n === undefined || k === undefined || more.length > 0)
    return [{ from: 0, bytes, to: 0, shape }];
  const { unitBytes } = tileGeometry(n, k, dtype, layout.unit);
  const units = Math.max(1, Math.floor(most / unitBytes));
  const rows = units * layout.unit;
  const rowBytes = k * bytesOf[dtype];
  return Array.from({ length: Math.ceil(n / rows) }, (_, i): Piece => {
    const own = Math.min(rows, n - i * rows);
    const from = i * rows * rowBytes;
    return { from, bytes: own * rowBytes, to: i * units * unitBytes, shape: [own, k] };
  });
}

/** The same numbers as f32, which holds them exactly. */
function widened(stored: Uint8Array, dtype: DType): Uint8Array {
  if (dtype === 'f32') return stored;
  const words = aligned16(stored);
  const out = new Float32Array(words.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < words.length; i++) {
    if (dtype === 'bf16') bits[i] = (words[i] ?? 0) << 16;
    else out[i] = halfToFloat(words[i] ?? 0);
  }
  return new Uint8Array(out.buffer);
}

/** Views need alignment, which checkpoints do not promise. */
const aligned16 = (b: Uint8Array): Uint16Array =>
  b.byteOffset % 2 === 0
    ? new Uint16Array(b.buffer, b.byteOffset, b.byteLength / 2)
    : new Uint16Array(new Uint8Array(b).buffer);
const aligned32 = (b: Uint8Array): Uint32Array =>
  b.byteOffset % 4 === 0
    ? new Uint32Array(b.buffer, b.byteOffset, b.byteLength / 4)
    : new Uint32Array(new Uint8Array(b).buffer);

function tiled(
  stored: Uint8Array,
  shape: readonly number[],
  dtype: DType,
  layout: Extract<WeightLayout, { kind: 'tiles' }>,
): Uint8Array {
  const [n, k] = shape.slice(-2);
  invariant(n !== undefined && k !== undefined, 'a tiled weight has two axes');
  const g = tileGeometry(n, k, dtype, layout.unit);
  const matrices = stored.byteLength / (n * k * bytesOf[dtype]);
  const out = new Uint8Array(packedBytes(shape, dtype, layout));
  // A step is 4 bytes of each of 16 rows: whole words move, unless rows begin inside of words.
  const whole = (k * bytesOf[dtype]) % 4 === 0;
  const from = whole ? aligned32(stored) : aligned16(stored);
  const to = whole ? new Uint32Array(out.buffer) : new Uint16Array(out.buffer);
  const per = whole ? 1 : perStep(dtype);
  const elementBytes = whole ? 4 : bytesOf[dtype];
  const rowElements = (k * bytesOf[dtype]) / elementBytes;
  const unitElements = g.unitBytes / elementBytes;
  const bandElements = g.steps * bandRows * per;
  for (let m = 0; m < matrices; m++) {
    for (let row = 0; row < n; row++) {
      const inUnit = row % layout.unit;
      const band = Math.floor(inUnit / bandRows);
      const base =
        m * g.units * unitElements +
        Math.floor(row / layout.unit) * unitElements +
        band * bandElements +
        (inUnit % bandRows) * per;
      const source = (m * n + row) * rowElements;
      if (per === 1) {
        for (let i = 0; i < rowElements; i++) to[base + i * bandRows] = from[source + i] ?? 0;
      } else {
        const pairs = k >> 1;
        for (let i = 0; i < pairs; i++) {
          const at = base + i * bandRows * 2;
          to[at] = from[source + 2 * i] ?? 0;
          to[at + 1] = from[source + 2 * i + 1] ?? 0;
        }
        if (k % 2 === 1) to[base + pairs * bandRows * 2] = from[source + k - 1] ?? 0;
      }
    }
  }
  return out;
}

/** Reads a stored tensor into doubles: what the reference interpreter computes with. */
export function toDoubles(stored: Uint8Array, dtype: DType): Float64Array {
  const wide = widened(stored, dtype);
  const floats =
    wide.byteOffset % 4 === 0
      ? new Float32Array(wide.buffer, wide.byteOffset, wide.byteLength / 4)
      : new Float32Array(new Uint8Array(wide).buffer);
  return new Float64Array(floats);
}
