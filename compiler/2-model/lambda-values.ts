/**
 * Values inside a function of scalars: numbers, and arrays of them over axes that are not yet
 * indexed, such as the vector `ki[j]`. Operators work element by element and broadcast from the
 * right; `dot` and `sum` take the last axis away.
 */
import {
  type CompareOp,
  type Expr,
  type ScalarFn,
  type UnaryOp,
  add,
  arithmetic,
  cast,
  compare,
  div,
  int,
  max,
  min,
  mul,
  num,
  rem,
  select,
  sub,
  sumOver,
  unary,
  variable,
} from '../scalar/expr.ts';

export interface LambdaValue {
  /** Sizes of the open axes; a number has none. -1: not known in a block checked alone. */
  readonly shape: readonly number[];
  at(index: readonly Expr[]): Expr;
}

export const scalarValue = (e: Expr): LambdaValue => ({ shape: [], at: () => e });

/** The one number that a value without axes is. */
export const onlyOf = (v: LambdaValue): Expr => v.at([]);

export const dtypeOfValue = (v: LambdaValue): Expr['dtype'] =>
  v.at(v.shape.map(() => int(0))).dtype;

/** `f` element by element; undefined where the shapes do not go together. */
export function lift(
  f: (...args: readonly Expr[]) => Expr,
  ...args: readonly LambdaValue[]
): LambdaValue | undefined {
  const shape = broadcast(args.map((a) => a.shape));
  if (!shape) return undefined;
  if (shape.length === 0) return scalarValue(f(...args.map(onlyOf)));
  return { shape, at: (index) => f(...args.map((a) => a.at(aligned(a, index)))) };
}

/** The last components of an index, 0 on axes of one. */
const aligned = (v: LambdaValue, index: readonly Expr[]): readonly Expr[] =>
  v.shape.map((size, axis) =>
    size === 1 ? int(0) : (index[index.length - v.shape.length + axis] ?? int(0)),
  );

function broadcast(shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const sizes = shapes.flatMap((s) => s[axis - rank + s.length] ?? []);
    const known = new Set(sizes.filter((s) => s > 1));
    if (known.size > 1) return undefined;
    out.push(known.size === 1 ? Math.max(...known) : Math.min(...sizes));
  }
  return out;
}

/** The sum over the last axis, under a name for its index. */
export function sumLast(v: LambdaValue, name: string): LambdaValue {
  const extent = Math.max(1, v.shape.at(-1) ?? 1);
  const shape = v.shape.slice(0, -1);
  const index = variable(name);
  const at = (outer: readonly Expr[]): Expr => sumOver(name, extent, v.at([...outer, index]));
  return shape.length === 0 ? scalarValue(at([])) : { shape, at };
}

/** Two numbers of one type: whole ones become real where they meet real ones. */
export function same(a: Expr, b: Expr): readonly [Expr, Expr] {
  return a.dtype === b.dtype ? [a, b] : [toReal(a), toReal(b)];
}

export const toReal = (e: Expr): Expr =>
  e.op === 'const' && e.dtype === 'i32' ? { ...e, dtype: 'f32' } : cast(e, 'f32');

export const isWhole = (e: Expr): boolean => e.dtype === 'i32';

const positive = (e: Expr): boolean => e.op === 'const' && e.value > 0;

/** a / b rounded down; exact for whole numbers. */
export function floorDivide(a: Expr, b: Expr): Expr {
  if (!isWhole(a) || !isWhole(b) || !positive(b)) {
    return cast(unary('floor', div(toReal(a), toReal(b))), 'i32');
  }
  // Division of kernels is for numbers that are not negative.
  const below = sub(int(-1), div(sub(int(-1), a), b));
  return select(compare('ge', a, int(0)), div(a, b), below);
}

/** a - b floor(a / b): from 0 up to b. */
export function floorRemainder(a: Expr, b: Expr): Expr {
  if (isWhole(a) && isWhole(b)) {
    if (!positive(b)) return sub(a, mul(b, floorDivide(a, b)));
    const below = sub(sub(b, int(1)), rem(sub(int(-1), a), b));
    return select(compare('ge', a, int(0)), rem(a, b), below);
  }
  const [x, y] = [toReal(a), toReal(b)];
  return sub(x, mul(y, unary('floor', div(x, y))));
}

/** a ^ b: small whole powers as products, others for positive a. */
export function power(a: Expr, b: Expr): Expr {
  if (b.op === 'const' && Number.isInteger(b.value) && b.value >= 0 && b.value <= 8) {
    const one = isWhole(a) && isWhole(b) ? int(1) : num(1);
    const base = isWhole(one) ? a : toReal(a);
    return Array.from({ length: b.value }, () => base).reduce(
      (p, x) => (p === one ? x : mul(p, x)),
      one,
    );
  }
  const log = a.op === 'const' ? num(Math.log(a.value)) : unary('log', toReal(a));
  return unary('exp', mul(toReal(b), log));
}

const real = (op: UnaryOp) => (x: Expr) => unary(op, toReal(x));
const whole = (op: UnaryOp) => (x: Expr) => (isWhole(x) ? x : cast(unary(op, x), 'i32'));
const sigmoid = (x: Expr): Expr => div(num(1), add(num(1), unary('exp', unary('neg', toReal(x)))));

/** Functions of one number. */
export const functions: Readonly<Record<string, (x: Expr) => Expr>> = {
  exp: real('exp'),
  log: real('log'),
  tanh: real('tanh'),
  sin: real('sin'),
  cos: real('cos'),
  erf: real('erf'),
  sqrt: real('sqrt'),
  rsqrt: (x) => div(num(1), unary('sqrt', toReal(x))),
  sigmoid,
  silu: (x) => mul(toReal(x), sigmoid(x)),
  relu: (x) => max(x, isWhole(x) ? int(0) : num(0)),
  abs: (x) => (isWhole(x) ? max(x, sub(int(0), x)) : unary('abs', x)),
  floor: whole('floor'),
  ceil: whole('ceil'),
  round: whole('round'),
};

export const least = (a: Expr, b: Expr): Expr => min(...same(a, b));
export const greatest = (a: Expr, b: Expr): Expr => max(...same(a, b));
export const negated = (a: Expr): Expr => (isWhole(a) ? sub(int(0), a) : unary('neg', a));
export const comparing = (op: CompareOp) => (a: Expr, b: Expr) => compare(op, ...same(a, b));

export const operators: Readonly<Record<string, (a: Expr, b: Expr) => Expr>> = {
  '+': (a, b) => add(...same(a, b)),
  '-': (a, b) => sub(...same(a, b)),
  '*': (a, b) => mul(...same(a, b)),
  '/': (a, b) => div(toReal(a), toReal(b)),
  '%': floorRemainder,
  '^': power,
  '<': comparing('lt'),
  '<=': comparing('le'),
  '>': comparing('gt'),
  '>=': comparing('ge'),
  '==': comparing('eq'),
  '!=': comparing('ne'),
};

export const logical = (op: 'and' | 'or') => (a: Expr, b: Expr) => arithmetic(op, a, b);

/** The number of a list that an index picks, the nearest for one outside, as a tree of choices. */
function pick(numbers: readonly number[], index: Expr): Expr {
  const whole = numbers.every((n) => Number.isSafeInteger(n) && Math.abs(n) < 2 ** 31);
  const go = (from: number, to: number): Expr => {
    if (to - from === 1) return num(numbers[from] ?? 0, whole ? 'i32' : 'f32');
    const middle = (from + to) >> 1;
    return select(compare('lt', index, int(middle)), go(from, middle), go(middle, to));
  };
  if (index.op === 'const') {
    const nearest = Math.min(Math.max(index.value, 0), numbers.length - 1);
    return go(nearest, nearest + 1);
  }
  return go(0, numbers.length);
}

/** The function with its body as the wanted type. */
export const functionOf = (
  params: readonly string[],
  body: Expr,
  result: 'f32' | 'bool',
): ScalarFn => ({ params, body: result === 'f32' ? toReal(body) : body });

/** Values one after the other along a first axis of their own; undefined where they differ in shape. */
export function stacked(values: readonly LambdaValue[]): LambdaValue | undefined {
  const [first] = values;
  if (!first || values.some((v) => v.shape.join() !== first.shape.join())) return undefined;
  const constants = values.flatMap((v) => {
    const x = v.shape.length === 0 ? onlyOf(v) : undefined;
    return x?.op === 'const' ? [x.value] : [];
  });
  if (constants.length === values.length) {
    return { shape: [values.length], at: ([index = int(0)]) => pick(constants, index) };
  }
  const at = ([index = int(0), ...inner]: readonly Expr[]): Expr =>
    values
      .map((v) => v.at(inner))
      .reduceRight((rest, x, n) => select(compare('le', index, int(n)), ...same(x, rest)));
  return { shape: [values.length, ...first.shape], at };
}

/** Stands for a value of any type that a block checked alone does not know. */
export const unknownValue = (truth: boolean): LambdaValue =>
  scalarValue(variable(unknownName, truth ? 'bool' : 'i32'));

export const isUnknown = (v: LambdaValue): boolean => {
  const e = v.shape.length === 0 ? onlyOf(v) : undefined;
  return e?.op === 'var' && e.name === unknownName;
};
const unknownName = '(unknown)';
