/** Loops over the columns of a row, shared by the threads of the workgroup that works on it. */
import { invariant, present } from '../../base/invariant.ts';
import type { Monoid } from '../../scalar/monoid.ts';
import { argmax } from '../../scalar/monoid.ts';
import { type Expr, arithmetic, compare, div, int, mul, num, select } from '../../scalar/expr.ts';
import type { Builder } from '../builder.ts';
import type { Stmt } from '../kernel.ts';
import { type Linear, addIndex, constantIndex, indexExpr, loopIndex, opaqueIndex, scaleIndex, unflatten } from '../linear.ts'; // prettier-ignore
import type { LoopAxis, LoopStrategy, ReducedElement, Target, TopRequest } from '../loops.ts';
import { letStmt, loop, named, readRegister, registers, store, when } from '../statements.ts';
import { simdLanes } from '../vectorize.ts';
import { withoutDoubles } from './angles.ts';
import { atFirst, isAligned, quadIndex, quadOf } from './quads.ts';
import { barrier, isFirst, reduceThreads, thread, threadsEach } from './reduce.ts';
import { fromTables } from './tables.ts';

const product = (ns: readonly number[]): number => ns.reduce((a, b) => a * b, 1);
const lengthOf = (a: LoopAxis): number => a.extent - (a.from ?? 0);
const both = (a: Expr | undefined, b: Expr | undefined): Expr | undefined =>
  a && b ? arithmetic('and', a, b) : (a ?? b);

/** The index of the axes for the n-th of their elements, and what must hold of it. */
function placeOf(axes: readonly LoopAxis[], n: Linear): { index: readonly Linear[]; only?: Expr } {
  if (axes.length === 0) return { index: [] };
  const flat = unflatten(n, axes.map(lengthOf));
  const index = axes.map((a, i) => addIndex(present(flat[i]), constantIndex(a.from ?? 0)));
  // Where the first axis ends early the loop itself does.
  const only = axes.slice(1).reduce<Expr | undefined>((c, a, i) => {
    if (!a.count) return c;
    return both(c, compare('lt', indexExpr(present(index[i + 1])), a.count));
  }, undefined);
  return only ? { index, only } : { index };
}

/** How many elements the axes have, in a step. */
function countOf(axes: readonly LoopAxis[]): Expr {
  const [first, ...rest] = axes;
  const inner = product(rest.map(lengthOf));
  if (!first?.count) return int(product(axes.map(lengthOf)));
  invariant(!first.from, 'pieces are whole');
  return mul(first.count, int(inner));
}

const guarded = (only: Expr | undefined, body: readonly Stmt[]): readonly Stmt[] =>
  only ? [when(only, body)] : body;

export function groupLoops(threads: number): LoopStrategy {
  const prepared = (t: Target): Target => ({ ...t, value: withoutDoubles(t.value) });

  function storeLoops(
    b: Builder,
    axes: readonly LoopAxis[],
    at: (index: readonly Linear[]) => Target,
  ): Stmt[] {
    const total = product(axes.map(lengthOf));
    const wide = storeQuads(b, axes, total, at);
    if (wide) return wide;
    if (total === 1 && axes.every((a) => !a.count)) {
      const { index } = placeOf(axes, constantIndex(0));
      const t = prepared(at(index));
      return [when(compare('eq', thread, int(0)), [store(t.tile, t.index, t.value)])];
    }
    const name = b.fresh('i');
    const { index, only } = placeOf(axes, loopIndex(name, total));
    const t = prepared(at(index));
    const body = guarded(only, [store(t.tile, t.index, t.value)]);
    return [loop(name, 0, countOf(axes), body, 'thread')];
  }

  /** Four elements a thread, where there are enough for all threads and memory has them so. */
  function storeQuads(
    b: Builder,
    axes: readonly LoopAxis[],
    total: number,
    at: (index: readonly Linear[]) => Target,
  ): Stmt[] | undefined {
    const last = axes.at(-1);
    if (!last || last.count || lengthOf(last) % simdLanes !== 0) return undefined;
    if ((last.from ?? 0) % simdLanes !== 0 || total < simdLanes * threads) return undefined;
    const quarter = (e: number): number => e / simdLanes;
    const coarse = axes.map((a): LoopAxis => {
      if (a !== last) return a;
      return { ...a, extent: quarter(a.extent), from: quarter(a.from ?? 0) };
    });
    const name = b.fresh('q');
    const { index, only } = placeOf(coarse, loopIndex(name, quarter(total)));
    const { index: fine, lane } = quadIndex(b, present(index.at(-1)));
    const t = prepared(at([...index.slice(0, -1), fine]));
    const quad = quadOf(b, t.value, lane);
    const to = atFirst(t.index, lane);
    if (!quad || !isAligned(b, t.tile, to)) return undefined;
    const body = [...quad.held.map((h) => letStmt(h.name, h.value)), store(t.tile, to, quad.value)];
    return [loop(name, 0, countOf(coarse), guarded(only, body), 'thread')];
  }

  /** Pieces of one element each become one loop where they differ in numbers only. */
  function storePieces(b: Builder, pieces: Parameters<LoopStrategy['storePieces']>[1]): Stmt[] {
    const single = pieces.filter((p) => {
      const last = p.axes.at(-1);
      return last && lengthOf(last) === 1;
    });
    const [first] = single;
    const rest = pieces.filter((p) => !single.includes(p));
    const each = (some: typeof pieces): Stmt[] => some.flatMap((p) => storeLoops(b, p.axes, p.at));
    if (!first || single.length < 2) return each(pieces);
    const start = present(first.axes.at(-1)).from ?? 0;
    const inOrder = single.every((p, i) => (p.axes.at(-1)?.from ?? 0) === start + i);
    if (!inOrder) return each(pieces);
    const axes = first.axes.map((a, i): LoopAxis => {
      return i === first.axes.length - 1 ? { ...a, extent: start + single.length, from: start } : a;
    });
    const name = b.fresh('i');
    const { index, only } = placeOf(axes, loopIndex(name, product(axes.map(lengthOf))));
    const targets = single.map((p) => prepared(p.at(index)));
    const t = present(targets[0]);
    const number = indexExpr(addIndex(present(index.at(-1)), constantIndex(-start)));
    const value = fromTables(
      b,
      targets.map((x) => x.value),
      number,
    );
    if (!value) return each(pieces);
    const body = guarded(only, [store(t.tile, t.index, value)]);
    return [loop(name, 0, countOf(axes), body, 'thread'), ...each(rest)];
  }

  function reduce(
    b: Builder,
    monoid: Monoid,
    extent: number,
    body: (k: Linear) => Expr,
  ): { readonly stmts: readonly Stmt[]; readonly result: Expr } {
    const { stmts, state } = reduceState(b, monoid, extent, body);
    return { stmts, result: monoid.finish(state) };
  }

  /** Of one reduction: where fewer threads share it, the others do the same. */
  const reduceState = (
    b: Builder,
    monoid: Monoid,
    extent: number,
    body: (k: Linear) => Expr,
  ): ReturnType<typeof reduceThreads> =>
    reduceThreads(b, threads, { monoid, extent, each: threadsEach(threads, 1, extent), body });

  function reduceEach(
    b: Builder,
    axes: readonly LoopAxis[],
    at: (index: readonly Linear[]) => ReducedElement,
  ): Stmt[] {
    const results = product(axes.map(lengthOf));
    const { extent } = at(axes.map((a) => loopIndex(a.hint, a.extent)));
    const each = threadsEach(threads, results, extent);
    const groups = threads / each;
    const rounds = Math.ceil(results / groups);
    const round = b.fresh('round');
    const group = named(b.fresh('group'), div(thread, int(each)));
    const n = addIndex(
      scaleIndex(loopIndex(round, rounds), groups),
      groups === 1
        ? constantIndex(0)
        : opaqueIndex(present(nameOf(group.ref)), group.ref, Math.min(groups, results)),
    );
    const { index, only: inside } = placeOf(axes, n);
    const whole = results === rounds * groups && !axes[0]?.count;
    const only = both(whole ? undefined : compare('lt', indexExpr(n), countOf(axes)), inside);
    const { monoid, body, tile, index: to } = at(index);
    const { stmts, state } = reduceThreads(b, threads, {
      monoid,
      extent,
      each,
      body,
      ...(only ? { only } : {}),
    });
    const kept = store(tile, to, monoid.finish(state));
    const one = each === 1 ? only : both(only, isFirst(each));
    const inner = [...stmts, ...guarded(one, [kept])];
    return [
      ...(groups === 1 ? [] : [group.stmt]),
      ...(rounds === 1 ? inner : [loop(round, 0, rounds, inner)]),
    ];
  }

  function top(b: Builder, { count, extent, outer, source, value, position }: TopRequest): Stmt[] {
    const names = outer.map((a) => b.fresh(a.hint));
    const group = outer.map((a, i) => loopIndex(present(names[i]), a.extent));
    const c = b.fresh('c');
    const slot = loopIndex(c, count);
    const [held, heldAt] = [b.fresh('value'), b.fresh('index')];
    const [most, mostAt] = [readRegister(held, 0, 1), readRegister(heldAt, 0, 1, 'i32')];
    // What is left lies behind the last one found: smaller, or equal at a later position.
    const { stmts, state } = reduceState(b, argmax, extent, (k) => {
      const x = source(group, k);
      const later = arithmetic('and', compare('eq', x, most), compare('gt', indexExpr(k), mostAt));
      const left = arithmetic('or', compare('lt', x, most), later);
      return select(left, x, num(-Infinity));
    });
    const [x, at] = [present(state[0]), present(state[1])];
    const [toValue, toPosition] = [value(group, slot), position(group, slot)];
    const body: Stmt[] = [
      ...stmts,
      store(held, 0, x),
      store(heldAt, 0, at),
      ...once([
        store(toValue.tile, toValue.index, most),
        store(toPosition.tile, toPosition.index, mostAt),
      ]),
    ];
    const each: Stmt[] = [
      store(held, 0, num(Infinity)),
      store(heldAt, 0, int(-1)),
      ...(count === 1 ? body : [loop(c, 0, count, body)]),
    ];
    return [
      registers(held, 1, 1),
      registers(heldAt, 1, 1, 'i32'),
      ...outer.reduceRight<Stmt[]>(
        (inner, a, i) => (a.extent === 1 ? inner : [loop(present(names[i]), 0, a.extent, inner)]),
        each,
      ),
    ];
  }

  const once = (stmts: readonly Stmt[]): readonly Stmt[] => [
    when(compare('eq', thread, int(0)), stmts),
  ];

  return {
    rows: 'block',
    store: storeLoops,
    storePieces,
    reduce,
    reduceEach,
    top,
    once,
    settle: () => [barrier],
  };
}

const nameOf = (e: Expr): string | undefined => (e.op === 'var' ? e.name : undefined);
