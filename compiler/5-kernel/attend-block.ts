/** Blocks of entries: products with four keys at once, and the weighted sum of the values. */
import { invariant } from '../base/invariant.ts';
import {
  type Expr,
  add,
  fma,
  int,
  lane,
  load,
  mul,
  splat,
  variable,
  shuffle,
} from '../scalar/expr.ts';
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';
import { type StateTile, blockStart, entries, scalesAt } from './state-rows.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';
import { simdLanes } from './vectorize.ts';

export const spread = (e: Expr, lanes: number): Expr => (lanes === 1 ? e : splat(e, lanes));

/** Statements over the elements of a row: in lanes, then one by one. */
export function overWidth(
  ctx: LowerContext,
  width: number,
  at: (index: Expr, lanes: number) => Stmt[],
): Stmt[] {
  const name = ctx.builder.fresh('i');
  const full = Math.floor(width / simdLanes) * simdLanes;
  const head = loop(name, 0, full, at(variable(name), simdLanes), 'vector', simdLanes);
  const rest = loop(name, full, width, at(variable(name), 1));
  return [...(full > 0 ? [head] : []), ...(full < width ? [rest] : [])];
}

export interface Dots {
  readonly q: string;
  readonly qRow: Expr;
  readonly keys: StateTile;
  /** The cache's block, the key head, and the first of the four in the block. */
  readonly block: Expr;
  readonly head: Expr;
  readonly entry: Expr;
}

/** q . k for four consecutive slots, in the lanes of one vector. */
export function fourDots(
  ctx: LowerContext,
  d: Dots,
): { readonly stmts: Stmt[]; readonly value: Expr } {
  const { builder: b } = ctx;
  const acc = b.fresh('dot');
  const { width } = d.keys;
  const base = named(
    b.fresh('k_row'),
    add(blockStart(d.keys, d.block, d.head), mul(d.entry, int(width))),
  );
  const i = b.fresh('i');
  const full = Math.floor(width / simdLanes) * simdLanes;
  const key = (n: number, lanes: number): Expr =>
    entries(d.keys, add(add(base.ref, variable(i)), int(n * width)), lanes);
  const query = named(b.fresh('qi'), load(d.q, add(d.qRow, variable(i)), 'f32', simdLanes));
  const body = [0, 1, 2, 3].map((n) =>
    store(acc, n, fma(query.ref, key(n, simdLanes), readRegister(acc, n, simdLanes))),
  );
  const stmts: Stmt[] = [
    base.stmt,
    registers(acc, 4, simdLanes),
    loop(i, 0, full, [query.stmt, ...body], 'vector', simdLanes),
  ];
  const [a0, a1, a2, a3] = [0, 1, 2, 3].map((n) => readRegister(acc, n, simdLanes));
  invariant(a0 && a1 && a2 && a3, 'four accumulators');
  const ab = named(
    b.fresh('ab'),
    add(shuffle(a0, a1, [0, 4, 1, 5]), shuffle(a0, a1, [2, 6, 3, 7])),
  );
  const cd = named(
    b.fresh('cd'),
    add(shuffle(a2, a3, [0, 4, 1, 5]), shuffle(a2, a3, [2, 6, 3, 7])),
  );
  const sums = named(
    b.fresh('dots'),
    add(shuffle(ab.ref, cd.ref, [0, 1, 4, 5]), shuffle(ab.ref, cd.ref, [2, 3, 6, 7])),
  );
  stmts.push(ab.stmt, cd.stmt, sums.stmt);
  const scales = scalesAt(d.keys, d.block, d.head, d.entry, simdLanes);
  const scaled = (value: Expr): Expr => (scales ? mul(value, scales) : value);
  if (full === width) return { stmts, value: scaled(sums.ref) };
  // The last elements of a head whose size is no multiple of the lanes.
  const rest = b.fresh('rest');
  const held = b.scratch('dots', simdLanes);
  const one = (n: number): Stmt =>
    store(
      rest,
      n,
      add(readRegister(rest, n, 1), mul(load(d.q, add(d.qRow, variable(i))), key(n, 1))),
    );
  stmts.push(
    registers(rest, 4, 1),
    ...[0, 1, 2, 3].map((n) => store(rest, n, lane(sums.ref, n))),
    loop(i, full, width, [0, 1, 2, 3].map(one)),
    ...[0, 1, 2, 3].map((n) => store(held, n, readRegister(rest, n, 1))),
  );
  return { stmts, value: scaled(load(held, int(0), 'f32', simdLanes)) };
}

export interface Weighted {
  readonly o: string;
  readonly carry: Expr;
  readonly scores: string;
  readonly count: Expr;
  readonly values: StateTile;
  /** The cache's block and the key head. */
  readonly block: Expr;
  readonly head: Expr;
}

/** o = o * carry + sum over the block's entries of p * v, in the order of the entries. */
export function weighted(ctx: LowerContext, w: Weighted): Stmt[] {
  const { builder: b } = ctx;
  const { width } = w.values;
  const base = named(b.fresh('v_row'), blockStart(w.values, w.block, w.head));
  const scale = (entry: Expr): Expr | undefined => scalesAt(w.values, w.block, w.head, entry, 1);
  const e = b.fresh('e');
  const acc = b.fresh('acc');
  const chunk = (from: Expr, groups: number, lanes: number): Stmt[] => {
    const at = (g: number): Expr => add(from, int(g * simdLanes));
    const all = Array.from({ length: groups }, (_, g) => g);
    const factor = scale(variable(e));
    const score = load(w.scores, variable(e));
    const p = named(b.fresh('p'), spread(factor ? mul(score, factor) : score, lanes));
    const row = named(b.fresh('row'), add(base.ref, mul(variable(e), int(width))));
    const value = (g: number): Expr => entries(w.values, add(row.ref, at(g)), lanes);
    const name = b.fresh(acc);
    return [
      registers(name, groups, lanes),
      ...all.map((g) =>
        store(name, g, mul(load(w.o, at(g), 'f32', lanes), spread(w.carry, lanes))),
      ),
      loop(e, 0, w.count, [
        p.stmt,
        row.stmt,
        ...all.map((g) => store(name, g, fma(p.ref, value(g), readRegister(name, g, lanes)))),
      ]),
      ...all.map((g) => store(w.o, at(g), readRegister(name, g, lanes))),
    ];
  };
  const i = b.fresh('i');
  const big = 4 * simdLanes;
  const full = Math.floor(width / big) * big;
  const vectors = Math.floor(width / simdLanes) * simdLanes;
  return [
    base.stmt,
    ...(full > 0 ? [loop(i, 0, full, chunk(variable(i), 4, simdLanes), 'serial', big)] : []),
    ...(full < vectors
      ? [loop(i, full, vectors, chunk(variable(i), 1, simdLanes), 'serial', simdLanes)]
      : []),
    ...(vectors < width ? [loop(i, vectors, width, chunk(variable(i), 1, 1))] : []),
  ];
}
