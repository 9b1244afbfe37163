/** Numbers of any format as f32, from the bits that a tile holds. */
import { invariant } from '../base/invariant.ts';
import { type NumberFormat, bitsOf } from '../base/number-format.ts';
import type { DType } from '../base/type.ts';
import {
  type Expr,
  add,
  arithmetic,
  bits,
  cast,
  compare,
  half,
  int,
  mul,
  num,
  select,
  sub,
} from '../scalar/expr.ts';

/** A stored number as f32; narrow types arrive as raw bits in an i32. */
export function widen(raw: Expr, dtype: DType): Expr {
  switch (dtype) {
    case 'f32':
    case 'i32':
    case 'u32':
      return raw;
    case 'f64':
      return cast(raw, 'f32');
    case 'bf16':
    case 'f16':
      return widenHalf(raw, dtype, 'low');
    case 'i8':
    case 'u8':
    case 'bool':
      return cast(raw, 'f32');
  }
}

/** One of the two 16-bit numbers in a 32-bit word, as f32; bf16 is the upper half of one. */
export function widenHalf(word: Expr, dtype: DType, which: 'low' | 'high'): Expr {
  invariant(dtype === 'f16' || dtype === 'bf16', () => `${dtype} is not a 16-bit float`);
  if (dtype === 'f16') return half(which === 'low' ? word : arithmetic('shr', word, int(16)));
  return which === 'low'
    ? bits(arithmetic('shl', word, int(16)), 'f32')
    : bits(arithmetic('and', word, { ...int(-65536), lanes: word.lanes }), 'f32');
}

/** Element type of a tile that holds the format's bits in `bytes` bytes. */
export function tileTypeOf(f: NumberFormat, bytes: 1 | 2 | 4): DType {
  if (bytes === 1) return f.kind === 'int' && f.bits === 8 ? 'i8' : 'u8';
  if (bytes === 2) return 'f16'; // any 16 bits: they load as they are
  return f.kind === 'float' && bitsOf(f) === 32 ? 'f32' : 'u32';
}

/** A constant in the lanes of `like`. */
const wide = (e: Expr, like: Expr): Expr => ({ ...e, lanes: like.lanes });

/**
 * The value of the number whose bits a tile of `tileTypeOf` gave, in as many lanes. Infinities and
 * NaN are not told apart from large numbers: nobody stores them in weights.
 */
export function numberOf(raw: Expr, f: NumberFormat): Expr {
  switch (f.kind) {
    case 'uint':
      return cast(raw, 'f32');
    case 'int': {
      if (f.bits === 8) return cast(raw, 'f32'); // its tile extends the sign
      const half = wide(int(2 ** (f.bits - 1)), raw);
      return cast(sub(arithmetic('xor', raw, half), half), 'f32');
    }
    case 'power': {
      invariant(f.bias === 127, 'a power of two as the exponent of an f32');
      return bits(arithmetic('shl', raw, int(23)), 'f32');
    }
    case 'table': {
      const line = lineOf(f.values);
      if (line) return add(mul(cast(raw, 'f32'), wide(num(line.step), raw)), wide(num(line.first), raw)); // prettier-ignore
      return f.values.reduce<Expr>(
        (rest, value, code) =>
          select(compare('eq', raw, wide(int(code), raw)), wide(num(value), raw), rest),
        wide(num(0), raw),
      );
    }
    case 'float':
      return floatOf(raw, f);
  }
}

/** Values in even steps, all of them whole: a multiplication makes them, exactly. */
function lineOf(
  values: readonly number[],
): { readonly first: number; readonly step: number } | undefined {
  const [first = 0, second = 0] = values;
  const step = second - first;
  const even = values.every((v, i) => Number.isInteger(v) && v === first + i * step);
  return even ? { first, step } : undefined;
}

function floatOf(raw: Expr, f: Extract<NumberFormat, { kind: 'float' }>): Expr {
  const width = bitsOf(f);
  if (width === 32) return raw;
  if (f.exponent === 5 && f.mantissa === 10 && f.signed) return widenHalf(raw, 'f16', 'low');
  if (f.exponent === 8 && f.signed) return bits(arithmetic('shl', raw, int(32 - width)), 'f32');
  // Exponent and mantissa move into place; a factor corrects the bias, subnormals included.
  const size = f.exponent + f.mantissa;
  const magnitude = arithmetic('and', raw, wide(int(2 ** size - 1), raw));
  const placed = bits(arithmetic('shl', magnitude, int(23 - f.mantissa)), 'f32');
  const scaled = mul(placed, wide(num(2 ** (127 - (2 ** (f.exponent - 1) - 1))), raw));
  if (!f.signed) return scaled;
  const sign = arithmetic('shl', arithmetic('and', raw, wide(int(2 ** size), raw)), int(31 - size));
  return bits(arithmetic('or', bits(scaled, 'i32'), sign), 'f32');
}
