/** Numbers as bits: integers and floats of few bits, to values and back. */
import { unreachable } from './invariant.ts';

export type NumberFormat =
  | { readonly kind: 'uint' | 'int'; readonly bits: number }
  /** IEEE-like: `fn`: no infinities, the highest code alone is NaN. */
  | {
      readonly kind: 'float';
      readonly exponent: number;
      readonly mantissa: number;
      readonly signed: boolean;
      readonly fn?: true;
    }
  /** A power of two, 2^(code - bias). */
  | { readonly kind: 'power'; readonly bits: number; readonly bias: number }
  /** Any value a code: FP4 as a table, NF4. */
  | { readonly kind: 'table'; readonly bits: number; readonly values: readonly number[] };

const float = (exponent: number, mantissa: number): NumberFormat => ({
  kind: 'float',
  exponent,
  mantissa,
  signed: true,
});

export const f32Format = float(8, 23);
export const f16Format = float(5, 10);
export const bf16Format = float(8, 7);
export const e4m3Format: NumberFormat = { ...float(4, 3), fn: true } as NumberFormat; // spread of one arm
/** E8M0: the scale of MX formats. */
export const e8m0Format: NumberFormat = { kind: 'power', bits: 8, bias: 127 };

/** Exact powers of two: `**` takes as long as all else here together. */
const lowestPower = -1100;
const powers = Float64Array.from({ length: 2200 }, (_, i) => 2 ** (i + lowestPower));
const pow2 = (e: number): number => powers[e - lowestPower] ?? 2 ** e;

export function bitsOf(f: NumberFormat): number {
  switch (f.kind) {
    case 'uint':
    case 'int':
    case 'power':
    case 'table':
      return f.bits;
    case 'float':
      return f.exponent + f.mantissa + (f.signed ? 1 : 0);
    default:
      return unreachable(f);
  }
}

/** The value of a code, a whole number of `bitsOf(f)` bits. */
export function valueOf(f: NumberFormat, code: number): number {
  switch (f.kind) {
    case 'uint':
      return code;
    case 'int':
      return code >= pow2(f.bits - 1) ? code - pow2(f.bits) : code;
    case 'power':
      return pow2(code - f.bias);
    case 'table':
      return f.values[code] ?? NaN;
    case 'float': {
      const steps = pow2(f.mantissa);
      const sign = f.signed && code >= pow2(f.exponent + f.mantissa) ? -1 : 1;
      const rest = code % pow2(f.exponent + f.mantissa);
      const e = Math.floor(rest / steps);
      const m = rest % steps;
      const bias = pow2(f.exponent - 1) - 1;
      if (e === pow2(f.exponent) - 1) {
        if (f.fn !== true) return m === 0 ? sign * Infinity : NaN;
        if (m === steps - 1) return NaN;
      }
      if (e === 0) return sign * m * pow2(1 - bias - f.mantissa);
      return sign * (1 + m / steps) * pow2(e - bias);
    }
    default:
      return unreachable(f);
  }
}

/** The largest value that a format has. */
export function largestOf(f: NumberFormat): number {
  switch (f.kind) {
    case 'uint':
      return pow2(f.bits) - 1;
    case 'int':
      return pow2(f.bits - 1) - 1;
    case 'power':
      return pow2(pow2(f.bits) - 2 - f.bias);
    case 'table':
      return Math.max(...f.values);
    case 'float': {
      const top = pow2(f.exponent + f.mantissa) - 1;
      return valueOf(f, f.fn === true ? top - 1 : top - pow2(f.mantissa));
    }
    default:
      return unreachable(f);
  }
}

/** The code whose value is nearest; ties to the even code (tables: to the lower one). Saturates. */
export function codeOf(f: NumberFormat, value: number): number {
  if (Number.isNaN(value)) return 0;
  switch (f.kind) {
    case 'uint':
    case 'int': {
      const [least, most] = f.kind === 'uint' ? [0, pow2(f.bits) - 1] : [-(pow2(f.bits - 1)), pow2(f.bits - 1) - 1]; // prettier-ignore
      const whole = Math.min(most, Math.max(least, roundEven(value)));
      return whole < 0 ? whole + pow2(f.bits) : whole;
    }
    case 'power': {
      const e = value > 0 ? Math.round(Math.log2(value)) + f.bias : 0;
      return Math.min(pow2(f.bits) - 2, Math.max(0, e));
    }
    case 'table': {
      let [best, least] = [0, Infinity];
      for (let code = 0; code < f.values.length; code++) {
        const away = Math.abs((f.values[code] ?? 0) - value);
        if (away < least) [best, least] = [code, away];
      }
      return best;
    }
    case 'float': {
      const sign = value < 0 || Object.is(value, -0) ? pow2(f.exponent + f.mantissa) : 0;
      if (sign > 0 && !f.signed) return 0;
      const size = Math.min(Math.abs(value), largestOf(f));
      const bias = pow2(f.exponent - 1) - 1;
      const e = size === 0 ? 1 - bias : Math.max(Math.floor(Math.log2(size)), 1 - bias);
      const m = roundEven(size / pow2(e - f.mantissa));
      // Below one unit of the leading bit it is subnormal; a carry makes the next exponent.
      const code = (e + bias - 1) * pow2(f.mantissa) + m;
      return sign + code;
    }
    default:
      return unreachable(f);
  }
}

export function roundEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
