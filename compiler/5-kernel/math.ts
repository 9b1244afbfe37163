/**
 * Functions that targets lack, as arithmetic: each statement that uses one is preceded by `let`s that
 * compute it. Polynomials are those of Cephes (Moshier, single precision) unless said otherwise;
 * errors are a few units in the last place.
 */
import { invariant } from '../base/invariant.ts';
import {
  type Expr,
  type UnaryOp,
  add,
  arithmetic,
  bits,
  cast,
  compare,
  div,
  int,
  max,
  min,
  mul,
  num,
  select,
  sub,
  unary,
  variable,
} from '../scalar/expr.ts';
import { mapChildren } from '../scalar/walk.ts';
import type { Kernel, Stmt } from './kernel.ts';

const expanded = new Set<Expr['op']>(['exp', 'log', 'sin', 'cos', 'tanh', 'erf']);

/** `halves`: the target converts no f16 either. */
export function expandMath(kernel: Kernel, { halves = false } = {}): Kernel {
  let count = 0;
  const fresh = (): string => `m${count++}`;
  const body = expandAll(kernel.body, halves, fresh);
  return count === 0 ? kernel : { ...kernel, body };
}

function expandAll(stmts: readonly Stmt[], halves: boolean, fresh: () => string): Stmt[] {
  return stmts.flatMap((s): Stmt[] => {
    const before: Stmt[] = [];
    const hold = (value: Expr): Expr => {
      const name = `math_${fresh()}`;
      before.push({ kind: 'let', name, value });
      return variable(name, value.dtype, value.lanes);
    };
    const go = (e: Expr): Expr => {
      const inner = mapChildren(e, go);
      if (halves && inner.op === 'half') return fromHalf(inner.a, hold);
      if (halves && inner.op === 'tohalf') return toHalf(hold(inner.a), hold);
      return expanded.has(inner.op) && 'a' in inner && !('b' in inner)
        ? expand(inner.op as UnaryOp, hold(inner.a), hold) // the set holds unary ops only
        : inner;
    };
    switch (s.kind) {
      case 'loop':
        return [{ ...s, body: expandAll(s.body, halves, fresh) }];
      case 'role':
        return [{ ...s, body: expandAll(s.body, halves, fresh) }];
      case 'let': {
        const value = go(s.value);
        return [...before, { ...s, value }];
      }
      case 'store': {
        const value = go(s.value);
        return [...before, { ...s, value }];
      }
      case 'if': {
        const when = go(s.when);
        const then = expandAll(s.then, halves, fresh);
        const otherwise = expandAll(s.otherwise, halves, fresh);
        return [...before, { ...s, when, then, otherwise }];
      }
      case 'tile':
      case 'barrier':
      case 'copy':
      case 'wait':
      case 'mma':
      case 'prefetch':
      case 'comment':
        return [s];
    }
  });
}

type Hold = (value: Expr) => Expr;

function expand(op: UnaryOp, x: Expr, hold: Hold): Expr {
  switch (op) {
    case 'exp':
      return exp(x, hold);
    case 'log':
      return log(x, hold);
    case 'tanh':
      return tanh(x, hold);
    case 'erf':
      return erf(x, hold);
    case 'sin':
    case 'cos':
      return sinCos(op, x, hold);
    default:
      return unary(op, x);
  }
}

/** A constant with the lanes of `x`. */
const like = (x: Expr, value: number): Expr => ({ ...num(value), lanes: x.lanes });
const intLike = (x: Expr, value: number): Expr => ({ ...int(value), lanes: x.lanes });

/** c0 + x (c1 + x (c2 + ..)), with a name for each step so that x is computed once. */
function polynomial(x: Expr, coefficients: readonly number[], hold: Hold): Expr {
  const [last, ...rest] = [...coefficients].reverse();
  invariant(last !== undefined, 'coefficients');
  return rest.reduce<Expr>((p, c) => hold(add(mul(p, x), like(x, c))), like(x, last));
}

/** e^x = 2^n e^r; the power in two factors, so that results below the normal range round once. */
function exp(given: Expr, hold: Hold): Expr {
  // Below -104 the result is 0, above 89 infinite.
  const x = hold(min(max(given, like(given, -104)), like(given, 89)));
  const n = hold(unary('round', mul(x, like(x, Math.LOG2E))));
  const high = hold(sub(x, mul(n, like(x, 0.693359375))));
  const r = hold(sub(high, mul(n, like(x, -2.1219444e-4))));
  const p = polynomial(
    r,
    [
      5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3,
      1.98756915e-4,
    ],
    hold,
  );
  const e = hold(add(add(mul(p, mul(r, r)), r), like(x, 1)));
  const whole = hold(add(cast(n, 'i32'), intLike(x, 300)));
  const half = hold(arithmetic('shr', whole, int(1)));
  const first = bits(arithmetic('shl', sub(half, intLike(x, 23)), int(23)), 'f32');
  const other = sub(whole, half);
  const second = bits(arithmetic('shl', sub(other, intLike(x, 23)), int(23)), 'f32');
  return hold(mul(mul(e, first), second));
}

/** ln x = ln m + e ln 2 with m from 1/sqrt 2 to sqrt 2. */
function log(given: Expr, hold: Hold): Expr {
  const tiny = hold(compare('lt', given, like(given, 2 ** -126)));
  const x = hold(select(tiny, mul(given, like(given, 2 ** 25)), given));
  const word = hold(bits(x, 'i32'));
  const exponent = hold(sub(arithmetic('shr', word, int(23)), intLike(x, 127)));
  const mantissa = arithmetic(
    'or',
    arithmetic('and', word, intLike(x, 0x7fffff)),
    intLike(x, 0x3f800000),
  );
  const m = hold(bits(mantissa, 'f32'));
  const big = hold(compare('gt', m, like(x, Math.SQRT2)));
  const f = hold(sub(select(big, mul(m, like(x, 0.5)), m), like(x, 1)));
  const shift = select(tiny, like(x, -25), like(x, 0));
  const e = hold(add(add(cast(exponent, 'f32'), select(big, like(x, 1), like(x, 0))), shift));
  const z = hold(mul(f, f));
  const p = polynomial(
    f,
    [
      3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
      -1.2420140846e-1, 1.167699874e-1, -1.151461031e-1, 7.0376836292e-2,
    ],
    hold,
  );
  const y = sub(add(mul(mul(p, f), z), mul(e, like(x, -2.1219444e-4))), mul(z, like(x, 0.5)));
  const value = hold(add(add(f, y), mul(e, like(x, 0.693359375))));
  const zero = compare('eq', given, like(x, 0));
  const atZero = hold(select(zero, like(x, -Infinity), value));
  const infinite = compare('eq', given, like(x, Infinity));
  const top = hold(select(infinite, like(x, Infinity), atZero));
  return hold(select(compare('lt', given, like(x, 0)), like(x, NaN), top));
}

function tanh(x: Expr, hold: Hold): Expr {
  const size = hold(unary('abs', x));
  const z = hold(mul(x, x));
  const p = polynomial(
    z,
    [-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3],
    hold,
  );
  const small = hold(add(mul(mul(p, z), x), x));
  const e = exp(hold(mul(size, like(x, 2))), hold);
  const large = hold(sub(like(x, 1), div(like(x, 2), add(e, like(x, 1)))));
  const signed = hold(select(compare('lt', x, like(x, 0)), unary('neg', large), large));
  return hold(select(compare('lt', size, like(x, 0.625)), small, signed));
}

/** Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7. */
function erf(x: Expr, hold: Hold): Expr {
  const size = hold(unary('abs', x));
  const t = hold(div(like(x, 1), add(like(x, 1), mul(size, like(x, 0.3275911)))));
  const p = polynomial(
    t,
    [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429],
    hold,
  );
  const e = exp(hold(unary('neg', mul(size, size))), hold);
  const positive = hold(sub(like(x, 1), mul(mul(p, t), e)));
  return hold(select(compare('lt', x, like(x, 0)), unary('neg', positive), positive));
}

/** Reduction to -pi/4 .. pi/4 in double precision, exact enough for positions in the millions. */
function sinCos(op: 'sin' | 'cos', given: Expr, hold: Hold): Expr {
  invariant(given.lanes === 1, 'angles are scalar');
  const wide = given.dtype === 'f64';
  const x = hold(cast(given, 'f64'));
  const n = hold(unary('round', mul(x, num(2 / Math.PI, 'f64'))));
  const r = hold(cast(sub(x, mul(n, num(Math.PI / 2, 'f64'))), 'f32'));
  const quarter = hold(arithmetic('and', cast(n, 'i32'), int(3)));
  const z = hold(mul(r, r));
  const s = polynomial(z, [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4], hold);
  const sine = hold(add(mul(mul(s, z), r), r));
  const c = polynomial(
    z,
    [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5],
    hold,
  );
  const cosine = hold(add(sub(mul(mul(c, z), z), mul(z, num(0.5))), num(1)));
  const turn = op === 'sin' ? quarter : hold(add(quarter, int(1)));
  const odd = compare('ne', arithmetic('and', quarter, int(1)), int(0));
  const value = hold(op === 'sin' ? select(odd, cosine, sine) : select(odd, sine, cosine));
  const negative = compare('ne', arithmetic('and', turn, int(2)), int(0));
  const signed = hold(select(negative, unary('neg', value), value));
  return wide ? hold(cast(signed, 'f64')) : signed;
}

/**
 * Exponent and mantissa move into place, and a multiplication by 2^112 corrects the bias, also of
 * subnormal numbers; what has the largest exponent gets that of infinity.
 */
function fromHalf(x: Expr, hold: Hold): Expr {
  const upper = x.op === 'shr' && x.b.op === 'const' && x.b.value === 16 ? hold(x.a) : undefined;
  const word = upper ?? hold(x);
  const placed = upper
    ? arithmetic('and', arithmetic('shr', word, int(3)), intLike(x, 0x0fffe000))
    : arithmetic('shl', arithmetic('and', word, intLike(x, 0x7fff)), int(13));
  const size = hold(placed);
  const scaled = bits(mul(bits(size, 'f32'), like(x, 2 ** 112)), 'i32');
  const infinite = compare('ge', size, intLike(x, 0x0f800000));
  const magnitude = select(infinite, arithmetic('or', size, intLike(x, 0x7f800000)), scaled);
  const signed = upper ? word : arithmetic('shl', word, int(16));
  const sign = arithmetic('and', signed, intLike(x, -2147483648));
  return bits(arithmetic('or', magnitude, sign), 'f32');
}

/**
 * By the bits: half a unit of the last kept place is added, less one where that is even, so that a
 * carry rounds. Subnormal results are rounded by adding a number whose last place is their unit.
 */
function toHalf(x: Expr, hold: Hold): Expr {
  const word = hold(bits(x, 'i32'));
  const sign = arithmetic('shr', arithmetic('and', word, intLike(x, -2147483648)), int(16));
  const size = hold(arithmetic('and', word, intLike(x, 0x7fffffff)));
  const odd = arithmetic('and', arithmetic('shr', size, int(13)), intLike(x, 1));
  const rebiased = add(size, intLike(x, ((15 - 127) << 23) + 0xfff));
  const normal = arithmetic('shr', add(rebiased, odd), int(13));
  const raised = bits(add(bits(size, 'f32'), like(x, 0.5)), 'i32');
  const tiny = sub(raised, intLike(x, 0x3f000000));
  const finite = select(compare('lt', size, intLike(x, 0x38800000)), tiny, normal);
  const isNaN = compare('gt', size, intLike(x, 0x7f800000));
  const beyond = select(isNaN, intLike(x, 0x7e00), intLike(x, 0x7c00));
  const fits = compare('lt', size, intLike(x, 0x47800000));
  return arithmetic('or', select(fits, finite, beyond), sign);
}
