/** Vectors whose lanes are put elsewhere, or reduced. */
import { present } from '../base/invariant.ts';
import { type Expr, max, shuffle } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { Stmt } from './kernel.ts';
import { named } from './statements.ts';

/** `lanes` of a vector, from lane `from` on, again from its start where it ends. */
export function lanesOf(v: Expr, lanes: number, from = 0): Expr {
  if (from === 0 && lanes === v.lanes) return v;
  return shuffle(
    v,
    v,
    Array.from({ length: lanes }, (_, i) => (from + i) % v.lanes),
  );
}

/** Lane 0 of each of two or four vectors, or of one, then lane 1 of each, and so on, in as many vectors. */
export function interleaved(
  b: Builder,
  vectors: readonly Expr[],
): { readonly stmts: readonly Stmt[]; readonly vectors: readonly Expr[] } {
  const stmts: Stmt[] = [];
  const hold = (value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh('side'), value);
    stmts.push(stmt);
    return ref;
  };
  /** Groups of `unit` lanes of x and y by turns: the first half of them, and the second. */
  const zip = (x: Expr, y: Expr, unit: number): Expr[] =>
    [0, 1].map((half) =>
      hold(
        shuffle(
          x,
          y,
          Array.from({ length: x.lanes }, (_, i) => {
            const group = Math.floor(i / (2 * unit)) + (half * x.lanes) / (2 * unit);
            const from = Math.floor(i / unit) % 2 === 0 ? 0 : x.lanes;
            return from + group * unit + (i % unit);
          }),
        ),
      ),
    );
  const merge = (all: readonly Expr[]): { all: readonly Expr[]; unit: number } => {
    if (all.length === 1) return { all, unit: 1 };
    const [left, right] = [merge(all.slice(0, all.length / 2)), merge(all.slice(all.length / 2))];
    const side = left.all.flatMap((x, i) => zip(x, present(right.all[i]), left.unit));
    return { all: side, unit: 2 * left.unit };
  };
  return { vectors: merge(vectors).all, stmts };
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
