/** Reductions across the lanes of vectors, several at a time. */
import { present } from '../base/invariant.ts';
import { type Expr, add, max } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { Stmt } from './kernel.ts';
import { named } from './statements.ts';

export const shuffle = (a: Expr, b: Expr, pick: readonly number[]): Expr => ({
  op: 'shuffle',
  a,
  b,
  pick,
  dtype: a.dtype,
  lanes: pick.length,
});

/** `lanes` of a vector, from lane `from` on, again from its start where it ends. */
export function lanesOf(v: Expr, lanes: number, from = 0): Expr {
  if (from === 0 && lanes === v.lanes) return v;
  return shuffle(
    v,
    v,
    Array.from({ length: lanes }, (_, i) => (from + i) % v.lanes),
  );
}

/**
 * The sum over the lanes of each vector, as vectors of up to `lanes` sums in the order of the vectors. Each
 * sum adds lanes i and i + half, then the same of what is left: an order that is every vector's own.
 */
export function sumsAcross(
  b: Builder,
  vectors: readonly Expr[],
  lanes: number,
): { readonly stmts: readonly Stmt[]; readonly sums: readonly Expr[] } {
  const stmts: Stmt[] = [];
  const hold = (value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh('sum'), value);
    stmts.push(stmt);
    return ref;
  };
  const pairs = (all: readonly Expr[], join: (x: Expr, y: Expr) => Expr): Expr[] =>
    all.flatMap((x, i) => {
      const y = all[i + 1];
      return i % 2 === 0 && y ? [hold(join(x, y))] : [];
    });
  const width = vectors[0]?.lanes ?? lanes;
  let sums = vectors;
  for (let span = width; span > 1; span /= 2) {
    const have = present(sums[0]).lanes;
    // Sums of one vector that has no partner left fold into one of half the lanes.
    const all = sums.length > 1 ? 2 * have : have;
    const picks = (part: number): number[] =>
      Array.from({ length: all / 2 }, (_, i) => {
        const [sum, lane] = [Math.floor(i / (span / 2)), i % (span / 2)];
        return sum * span + part * (span / 2) + lane;
      });
    const fold = (x: Expr, y: Expr): Expr => add(shuffle(x, y, picks(0)), shuffle(x, y, picks(1)));
    const [only] = sums;
    sums = sums.length > 1 ? pairs(sums, fold) : only ? [hold(fold(only, only))] : [];
  }
  for (let have = present(sums[0]).lanes; have < lanes && sums.length > 1; have *= 2) {
    const all = Array.from({ length: 2 * have }, (_, i) => i);
    sums = pairs(sums, (x, y) => shuffle(x, y, all));
  }
  return { stmts, sums };
}

/** The largest of the lanes that are congruent by `rows`, in all of them. */
export function mostAcross(
  b: Builder,
  v: Expr,
  rows: number,
): { readonly stmts: readonly Stmt[]; readonly most: Expr } {
  const stmts: Stmt[] = [];
  let most = v;
  for (let by = v.lanes / 2; by >= rows; by /= 2) {
    const next = named(b.fresh('most'), max(most, lanesOf(most, v.lanes, by)));
    stmts.push(next.stmt);
    most = next.ref;
  }
  return { stmts, most };
}
