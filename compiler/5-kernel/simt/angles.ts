/**
 * Sines and cosines of a position times a frequency without double precision: the product in turns, as
 * a fraction of 2^32 in whole numbers, whose overflow drops whole turns.
 */
import { type ArithmeticOp, type Expr, cast, int, mul, num, unary } from '../../scalar/expr.ts';
import { mapChildren } from '../../scalar/walk.ts';

/** Nothing folds: bodies that differ in numbers only keep one form. */
const whole = (op: ArithmeticOp, a: Expr, b: Expr): Expr => ({ op, a, b, dtype: 'i32', lanes: 1 });

/**
 * The expression with every sine and cosine of double precision replaced. Turns have 48 bits, rounded:
 * positions below 2^17 are off by 2^-32 of a turn at most, and by the rounding of the angle to f32, at
 * most 1.2e-7.
 */
export function withoutDoubles(e: Expr): Expr {
  if (e.op === 'cast' && e.dtype === 'f32' && e.a.dtype === 'f64') {
    const { a } = e;
    const product = a.op === 'sin' || a.op === 'cos' ? factorsOf(a.a) : undefined;
    if (product && (a.op === 'sin' || a.op === 'cos')) {
      const turns = cast(turnsOf(withoutDoubles(product.position), product.frequency), 'f32');
      return unary(a.op, mul(turns, num((2 * Math.PI) / 2 ** 32)));
    }
  }
  return mapChildren(e, withoutDoubles);
}

/** A whole number times a constant. */
function factorsOf(e: Expr): { readonly position: Expr; readonly frequency: number } | undefined {
  if (e.op !== 'mul') return undefined;
  const [x, y] = e.b.op === 'const' ? [e.a, e.b] : [e.b, e.a];
  const isWhole = x.op === 'cast' && x.a.dtype === 'i32';
  return isWhole && y.op === 'const' ? { position: x.a, frequency: y.value } : undefined;
}

/** position * frequency / 2 pi as the signed fraction of a turn, in units of 2^-32. */
function turnsOf(position: Expr, frequency: number): Expr {
  const turns = frequency / (2 * Math.PI);
  const fraction = Math.round((turns - Math.floor(turns)) * 2 ** 48) % 2 ** 48;
  const high = int(Math.floor(fraction / 2 ** 16) | 0);
  const low = int(fraction % 2 ** 16);
  // The lower 16 bits of the fraction count for 2^-16: times halves of the position they fit 32 bits.
  const upper = whole('mul', whole('shr', position, int(16)), low);
  const lower = whole('shr', whole('mul', whole('and', position, int(0xffff)), low), int(16));
  return whole('add', whole('mul', position, high), whole('add', upper, lower));
}
