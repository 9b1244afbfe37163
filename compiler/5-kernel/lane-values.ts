/** What single lanes of kernel expressions compute, as the element types say. */
import type { DType } from '../base/type.ts';
import type { ScalarType } from '../scalar/expr.ts';

export const pairOf = (low: number, high: number): number => (low & 0xffff) | (high << 16);
export const lowOf = (pair: number): number => (pair << 16) >> 16;
export const byteAt = (word: number, bit: number, unsigned: boolean): number =>
  unsigned ? (word >>> bit) & 255 : (word << (24 - bit)) >> 24;
export const fourProducts = (a: number, b: number, unsigned: boolean): number =>
  byteAt(a, 0, unsigned) * byteAt(b, 0, false) +
  byteAt(a, 8, unsigned) * byteAt(b, 8, false) +
  byteAt(a, 16, unsigned) * byteAt(b, 16, false) +
  byteAt(a, 24, unsigned) * byteAt(b, 24, false);

export function rounded(v: number, dtype: ScalarType): number {
  switch (dtype) {
    case 'f32':
      return Math.fround(v);
    case 'i32':
      return v | 0;
    case 'f64':
    case 'bool':
      return v;
  }
}

export function sameBits(v: number, from: ScalarType, to: ScalarType): number {
  const view = new DataView(new ArrayBuffer(4));
  if (from === 'f32') view.setFloat32(0, v);
  else view.setInt32(0, v);
  return to === 'f32' ? view.getFloat32(0) : view.getInt32(0);
}

/** An element as expressions see it: narrow ones as their raw bits. */
export function readAs(view: DataView, dtype: DType, address: number): number {
  switch (dtype) {
    case 'f32':
      return view.getFloat32(address, true);
    case 'f64':
      return view.getFloat64(address, true);
    case 'i32':
    case 'u32':
      return view.getInt32(address, true);
    case 'f16':
    case 'bf16':
      return view.getUint16(address, true);
    case 'u8':
    case 'bool':
      return view.getUint8(address);
    case 'i8':
      return view.getInt8(address);
  }
}

export function writeAs(view: DataView, dtype: DType, address: number, v: number): void {
  switch (dtype) {
    case 'f32':
      return view.setFloat32(address, v, true);
    case 'f64':
      return view.setFloat64(address, v, true);
    case 'i32':
    case 'u32':
      return view.setInt32(address, v, true);
    case 'f16':
    case 'bf16':
      return view.setUint16(address, v, true);
    case 'u8':
    case 'bool':
    case 'i8':
      return view.setInt8(address, v);
  }
}
