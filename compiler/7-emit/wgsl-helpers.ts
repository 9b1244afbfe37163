/**
 * Functions that WGSL lacks, or has without saying how exact they are, as WGSL. Each is written once for any
 * number of lanes: F, I, U and B stand for floats, whole numbers and truth values of that many. Polynomials
 * are those of Cephes (Moshier, single precision), as in `5-kernel/math.ts`.
 */
import { unreachable } from '../base/invariant.ts';
import type { Dot4 } from '../scalar/expr.ts';

export type Helper = 'shr' | 'half' | 'tohalf' | 'sin' | 'cos' | 'tanh' | 'erf' | Dot4;

/** The name of a helper for so many lanes. */
export const helperName = (helper: Helper, lanes: number): string => {
  const name = {
    shr: 'shr', half: 'half', tohalf: 'to_half', sin: 'sine', cos: 'cosine', tanh: 'tangent_h', erf: 'error_f',
    s8s8: 'dot_s8s8', u8s8: 'dot_u8s8', i8i7: 'dot_s8s8',
  }[helper]; // prettier-ignore
  return lanes === 1 ? name : `${name}_x${lanes}`;
};

/** Its text. `dot4`: products of bytes are instructions. */
export function helperText(helper: Helper, lanes: number, dot4: boolean): string {
  const name = helperName(helper, lanes);
  return typed(bodyOf(helper, name, lanes, dot4).trim(), lanes);
}

const lanesOf = (lanes: number): readonly string[] => ['x', 'y', 'z', 'w'].slice(0, lanes);
const typed = (text: string, lanes: number): string =>
  text.replace(/\b[FIUB]\b/g, (letter) => {
    const type = { F: 'f32', I: 'i32', U: 'u32', B: 'bool' }[letter] ?? letter;
    return lanes === 1 ? type : `vec${lanes}<${type}>`;
  });

/** A function that takes each byte of a word, 0 .. 15, for the entry of a table that it numbers. */
export function tableText(name: string, entries: readonly number[], lanes: number): string {
  if (lanes > 1) {
    const all = lanesOf(lanes).map((l) => `${name}(x.${l})`);
    return typed(`fn ${name}_x${lanes}(x: I) -> I {\n  return I(${all.join(', ')});\n}`, lanes);
  }
  const bytes = entries.map((e) => e & 255);
  const of = (bit: number): string => `(${name}_entries[(x >> ${bit}u) & 15] << ${bit}u)`;
  return `const ${name}_entries = array<i32, 16>(${bytes.join(', ')});
fn ${name}(x: i32) -> i32 {
  return ${[0, 8, 16, 24].map(of).join(' | ')};
}`;
}

function bodyOf(helper: Helper, name: string, lanes: number, dot4: boolean): string {
  switch (helper) {
    case 'shr':
      return `
// A shift that fills with zeros.
fn ${name}(x: I, n: U) -> I {
  return bitcast<I>(bitcast<U>(x) >> n);
}`;
    case 'half':
      return lanes === 1
        ? `
// The f16 in the low sixteen bits.
fn ${name}(x: I) -> F {
  return unpack2x16float(bitcast<u32>(x)).x;
}`
        : `
fn ${name}(x: I) -> F {
  return F(${lanesOf(lanes)
    .map((l) => `unpack2x16float(bitcast<u32>(x.${l})).x`)
    .join(', ')});
}`;
    case 'tohalf':
      return `
// Bits of the nearest f16, ties to even: WGSL's own conversion may round either way.
fn ${name}(x: F) -> I {
  let word = bitcast<I>(x);
  let sign = bitcast<I>(bitcast<U>(word) >> U(16u)) & I(0x8000);
  let size = word & I(0x7fffffff);
  let odd = (size >> U(13u)) & I(1);
  let normal = (size - I(0x37fff001) + odd) >> U(13u);
  let tiny = bitcast<I>(bitcast<F>(size) + F(0.5)) - I(0x3f000000);
  let finite = select(normal, tiny, size < I(0x38800000));
  let beyond = select(I(0x7c00), I(0x7e00), size > I(0x7f800000));
  return select(beyond, finite, size < I(0x47800000)) | sign;
}`;
    case 'sin':
    case 'cos':
      return `
// WGSL's own is only near within half a turn: the angle is reduced in three parts, for up to some ten thousand.
fn ${name}(x: F) -> F {
  let n = round(x * F(0.63661977));
  let r = ((x - n * F(1.5703125)) - n * F(4.837512969970703e-4)) - n * F(7.549789948768648e-8);
  let z = r * r;
  let s = ((F(-1.9515295891e-4) * z + F(8.3321608736e-3)) * z - F(1.6666654611e-1)) * z * r + r;
  let c = ((F(2.443315711809948e-5) * z - F(1.388731625493765e-3)) * z + F(4.166664568298827e-2)) * z * z - z * F(0.5) + F(1.0);
  let quarter = I(n)${helper === 'cos' ? ' + I(1)' : ''};
  let value = select(s, c, (quarter & I(1)) != I(0));
  return select(value, -value, (quarter & I(2)) != I(0));
}`;
    case 'tanh':
      return `
// WGSL's own may overflow.
fn ${name}(x: F) -> F {
  let size = abs(x);
  let z = x * x;
  let p = (((F(-5.70498872745e-3) * z + F(2.06390887954e-2)) * z - F(5.37397155531e-2)) * z + F(1.33314422036e-1)) * z - F(3.33332819422e-1);
  let small = p * z * x + x;
  let large = F(1.0) - F(2.0) / (exp(min(size, F(40.0)) * F(2.0)) + F(1.0));
  return select(select(large, -large, x < F(0.0)), small, size < F(0.625));
}`;
    case 'erf':
      return `
// Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7.
fn ${name}(x: F) -> F {
  let size = abs(x);
  let t = F(1.0) / (F(1.0) + size * F(0.3275911));
  let p = (((F(1.061405429) * t - F(1.453152027)) * t + F(1.421413741)) * t - F(0.284496736)) * t + F(0.254829592);
  let positive = F(1.0) - p * t * exp(-size * size);
  return select(positive, -positive, x < F(0.0));
}`;
    case 's8s8':
    case 'i8i7':
      return signedBytes(name, lanes, dot4);
    case 'u8s8':
      return unsignedBytes(name, lanes, dot4);
    default:
      return unreachable(helper);
  }
}

function signedBytes(name: string, lanes: number, dot4: boolean): string {
  if (dot4) {
    const of = (l: string): string => `dot4I8Packed(bitcast<u32>(a${l}), bitcast<u32>(b${l}))`;
    return `
// The sum of four products of signed bytes.
fn ${name}(a: I, b: I) -> I {
  return ${
    lanes === 1
      ? of('')
      : `I(${lanesOf(lanes)
          .map((l) => of(`.${l}`))
          .join(', ')})`
  };
}`;
  }
  const product = (bit: number): string =>
    `((a << U(${24 - bit}u)) >> U(24u)) * ((b << U(${24 - bit}u)) >> U(24u))`;
  return `
// The sum of four products of signed bytes.
fn ${name}(a: I, b: I) -> I {
  return ${[0, 8, 16, 24].map(product).join('\n    + ')};
}`;
}

function unsignedBytes(name: string, lanes: number, dot4: boolean): string {
  const signed = helperName('s8s8', lanes);
  if (dot4) {
    return `
// The sum of four products of unsigned bytes with signed ones: a byte is 128 more than it is with its top bit turned, taken as signed.
fn ${name}(a: I, b: I) -> I {
  return ${signed}(a ^ I(-2139062144), b) + (${signed}(I(0x01010101), b) << U(7u));
}`;
  }
  const product = (bit: number): string =>
    `((a >> U(${bit}u)) & I(255)) * ((b << U(${24 - bit}u)) >> U(24u))`;
  return `
// The sum of four products of unsigned bytes with signed ones.
fn ${name}(a: I, b: I) -> I {
  return ${[0, 8, 16, 24].map(product).join('\n    + ')};
}`;
}

/** Helpers that a helper calls. */
export const needs = (helper: Helper, dot4: boolean): readonly Helper[] =>
  helper === 'u8s8' && dot4 ? ['s8s8'] : [];
