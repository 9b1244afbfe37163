/** Weights that a sheet stores as another element type than the checkpoint has. */
import { CompilerBug } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import { toDoubles } from './pack.ts';

/** The same numbers rounded to the nearest of the type `to`, ties to even; little-endian. */
export function converted(stored: Uint8Array, from: DType, to: DType): Uint8Array {
  if (from === to) return stored;
  const numbers = toDoubles(stored, from);
  switch (to) {
    case 'f32':
      return new Uint8Array(Float32Array.from(numbers).buffer);
    case 'f16':
      return new Uint8Array(Uint16Array.from(numbers, halfOf).buffer);
    case 'bf16':
      return new Uint8Array(Uint16Array.from(numbers, bfloatOf).buffer);
    default:
      throw new CompilerBug(`compiler bug: weights are not stored as ${to}`);
  }
}

/** To IEEE binary16: past its largest number to infinity, subnormals kept. */
export function halfOf(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | evenRound(size * 2 ** 24);
  const near = Math.floor(Math.log2(size));
  // The logarithm of a number just below a power of two may round up to it.
  const e = size < 2 ** near ? near - 1 : near;
  return sign | (((e + 15) << 10) + evenRound((size / 2 ** e - 1) * 1024));
}

/** To the upper half of an f32. */
export function bfloatOf(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0;
  if (Number.isNaN(x)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function evenRound(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
