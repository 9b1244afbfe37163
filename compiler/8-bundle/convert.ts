/** Weights that a sheet stores as another element type than the checkpoint has. */
import { halfOf } from '../base/half.ts';
import { CompilerBug } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import { toDoubles } from './pack.ts';

/** The same numbers rounded to the nearest of the type `to`, ties to even; little-endian. */
export function converted(stored: Uint8Array, from: DType, to: DType): Uint8Array {
  if (from === to) return stored;
  const numbers = toDoubles(stored, from);
  switch (to) {
    case 'f32':
      return new Uint8Array(new Float32Array(numbers).buffer);
    case 'f16':
      return new Uint8Array(Uint16Array.from(numbers, halfOf).buffer);
    case 'bf16':
      return new Uint8Array(Uint16Array.from(numbers, bfloatOf).buffer);
    default:
      throw new CompilerBug(`compiler bug: weights are not stored as ${to}`);
  }
}

/** To the upper half of an f32. */
export function bfloatOf(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0;
  if (Number.isNaN(x)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
