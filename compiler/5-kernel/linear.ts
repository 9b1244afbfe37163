/**
 * Index arithmetic in normal form: a constant plus integer multiples of atoms (loop variables, or
 * opaque values such as a gathered row number). Flattening and unflattening of views stays exact and
 * needs no division at run time, because the ranges of atoms are known.
 */
import { invariant } from '../base/invariant.ts';
import { type Expr, add, div, int, mul, rem, variable } from '../scalar/expr.ts';

export interface Linear {
  readonly constant: number;
  readonly terms: readonly LinearTerm[];
}

export interface LinearTerm {
  /** Equal keys are the same atom. */
  readonly key: string;
  readonly atom: Expr;
  /** The atom lies in 0 .. extent-1; Infinity where a step decides. */
  readonly extent: number;
  readonly factor: number;
}

export const constantIndex = (constant: number): Linear => ({ constant, terms: [] });

export const loopIndex = (name: string, extent: number): Linear =>
  extent === 1
    ? constantIndex(0)
    : { constant: 0, terms: [{ key: name, atom: variable(name), extent, factor: 1 }] };

/** A value known only at run time, such as a token id. */
export const opaqueIndex = (key: string, atom: Expr, extent = Infinity): Linear => ({
  constant: 0,
  terms: [{ key, atom, extent, factor: 1 }],
});

export function addIndex(a: Linear, b: Linear): Linear {
  const terms = new Map(a.terms.map((t) => [t.key, t]));
  for (const t of b.terms) {
    const had = terms.get(t.key);
    terms.set(t.key, { ...t, factor: t.factor + (had?.factor ?? 0) });
  }
  return {
    constant: a.constant + b.constant,
    terms: [...terms.values()].filter((t) => t.factor !== 0),
  };
}

export const scaleIndex = (a: Linear, by: number): Linear =>
  by === 0
    ? constantIndex(0)
    : {
        constant: a.constant * by,
        terms: a.terms.map((t) => ({ ...t, factor: t.factor * by })),
      };

export const subIndex = (a: Linear, b: Linear): Linear => addIndex(a, scaleIndex(b, -1));

export const isZero = (a: Linear): boolean => a.constant === 0 && a.terms.length === 0;

/** Row-major offset of a multi-dimensional index; sizes of all axes but the first matter. */
export function flatten(index: readonly Linear[], shape: readonly number[]): Linear {
  invariant(index.length === shape.length, 'an index has one component per axis');
  return index.reduce(
    (offset, i, axis) => addIndex(scaleIndex(offset, shape[axis] ?? 1), i),
    constantIndex(0),
  );
}

/** Smallest and largest value; Infinity where an atom is unbounded. */
export function rangeOf(a: Linear): { readonly low: number; readonly high: number } {
  let low = a.constant;
  let high = a.constant;
  for (const t of a.terms) {
    const most = t.factor * (t.extent - 1);
    if (most < 0) low += most;
    else high += most;
  }
  return { low, high };
}

/** a = quotient * by + remainder with the remainder in 0 .. by-1, if ranges show that exactly. */
export function divideIndex(
  a: Linear,
  by: number,
): { readonly quotient: Linear; readonly remainder: Linear } | undefined {
  if (by === 1) return { quotient: a, remainder: constantIndex(0) };
  const quotient: Linear = {
    constant: Math.floor(a.constant / by),
    terms: a.terms.filter((t) => t.factor % by === 0).map((t) => ({ ...t, factor: t.factor / by })),
  };
  const remainder = subIndex(a, scaleIndex(quotient, by));
  const { low, high } = rangeOf(remainder);
  return low >= 0 && high < by ? { quotient, remainder } : undefined;
}

/** Index per axis of a row-major offset; falls back to run-time division where ranges do not tell. */
export function unflatten(offset: Linear, shape: readonly number[]): Linear[] {
  const index: Linear[] = [];
  let rest = offset;
  for (let axis = shape.length - 1; axis > 0; axis--) {
    const size = shape[axis] ?? 1;
    const parts = divideIndex(rest, size) ?? dynamicDivide(rest, size);
    index.unshift(parts.remainder);
    rest = parts.quotient;
  }
  index.unshift(rest);
  return index;
}

/**
 * The same by instructions, for offsets of unknown structure. Only what is a multiple of a step is
 * divided where the rest stays below it: the rest, a loop over columns, keeps its stride.
 */
export function dynamicDivide(
  a: Linear,
  by: number,
): { readonly quotient: Linear; readonly remainder: Linear } {
  for (let step = Math.floor(by / 2); step > 1; step--) {
    const parts = by % step === 0 ? divideIndex(a, step) : undefined;
    if (!parts || isZero(parts.remainder)) continue;
    const coarse = dynamicDivide(parts.quotient, by / step);
    const remainder = addIndex(scaleIndex(coarse.remainder, step), parts.remainder);
    return { quotient: coarse.quotient, remainder };
  }
  const value = indexExpr(a);
  const key = keyOf(a);
  const { high } = rangeOf(a);
  return {
    quotient: opaqueIndex(`(${key})/${by}`, div(value, int(by)), Math.floor(high / by) + 1),
    remainder: opaqueIndex(`(${key})%${by}`, rem(value, int(by)), by),
  };
}

export const keyOf = (a: Linear): string =>
  [String(a.constant), ...a.terms.map((t) => `${t.factor}${t.key}`).sort()].join('+');

/** Instructions that compute the index: larger factors first, the constant last. */
export function indexExpr(a: Linear): Expr {
  const sorted = [...a.terms].sort((x, y) => Math.abs(y.factor) - Math.abs(x.factor));
  const sum = sorted.reduce<Expr | undefined>((e, t) => {
    const term = mul(t.atom, int(t.factor));
    return e === undefined ? term : add(e, term);
  }, undefined);
  if (sum === undefined) return int(a.constant);
  return add(sum, int(a.constant));
}

/** The factor of the loop variable `name`. */
export const factorOf = (a: Linear, name: string): number =>
  a.terms.find((t) => t.key === name)?.factor ?? 0;
