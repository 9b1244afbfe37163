/**
 * Loop nests of a thread over the columns of a row: four lanes at a time where accesses allow, then the
 * rest.
 */
import { present } from '../base/invariant.ts';
import type { Monoid } from '../scalar/monoid.ts';
import { type Expr, arithmetic, int, num, splat, variable } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { Stmt } from './kernel.ts';
import { type Linear, constantIndex, loopIndex } from './linear.ts';
import type { LoopAxis, LoopStrategy, ReducedElement, Target } from './loops.ts';
import { letStmt, loop, readRegister, registers, store } from './statements.ts';
import { top } from './simd-top.ts';
import { reduceLanes, simdLanes, strideOf, vectorize } from './vectorize.ts';

/** Stores `at(index)` for every index of `axes`; the last axis runs in lanes where it can. */
function storeLoops(
  b: Builder,
  axes: readonly LoopAxis[],
  at: (index: readonly Linear[]) => Target,
): Stmt[] {
  const names = axes.map((a) => b.fresh(a.hint));
  const index = axes.map((a, i) =>
    a.extent === 1 && !a.from ? constantIndex(0) : loopIndex(present(names[i]), a.extent),
  );
  const { tile, index: to, value } = at(index);
  const last = axes.at(-1);
  const inner =
    last === undefined
      ? [store(tile, to, value)]
      : innerLoop(b, present(names.at(-1)), last, { tile, index: to, value });
  return axes
    .slice(0, -1)
    .reduceRight<Stmt[]>((body, a, i) => outerLoop(present(names[i]), a, body), inner);
}

function outerLoop(name: string, axis: LoopAxis, body: Stmt[]): Stmt[] {
  if (axis.extent === 1 && !axis.from) return body;
  return [loop(name, axis.from ?? 0, axis.count ?? axis.extent, body)];
}

function innerLoop(b: Builder, name: string, axis: LoopAxis, t: Target): Stmt[] {
  const scalar = [store(t.tile, t.index, t.value)];
  const from = axis.from ?? 0;
  if (axis.extent === 1 && from === 0) return scalar;
  const wide =
    axis.extent - from >= simdLanes && strideOf(t.index, name) === 1
      ? vectorize(t.value, name, b.fresh)
      : undefined;
  if (!wide) return [loop(name, from, axis.count ?? axis.extent, scalar)];
  const hoisted = wide.hoisted.map((h) => letStmt(h.name, h.value));
  const vector = [store(t.tile, t.index, wide.value)];
  return [...hoisted, ...split(name, axis, vector, scalar)];
}

/** Full vectors, then single elements. */
function split(name: string, axis: LoopAxis, vector: Stmt[], scalar: Stmt[]): Stmt[] {
  const from = axis.from ?? 0;
  if (axis.count) {
    const full = arithmetic('and', axis.count, int(-simdLanes));
    return [
      loop(name, from, full, vector, 'vector', simdLanes),
      loop(name, full, axis.count, scalar),
    ];
  }
  const full = from + Math.floor((axis.extent - from) / simdLanes) * simdLanes;
  const head = loop(name, from, full, vector, 'vector', simdLanes);
  return full === axis.extent ? [head] : [head, loop(name, full, axis.extent, scalar)];
}

/**
 * The reduction of `body(k)` over k = 0 .. extent-1 as statements and the result. With one component
 * of state and accesses in step, four partial results run in lanes and are combined at the end: an
 * order that depends on the extent alone.
 */
function reduceLoop(
  b: Builder,
  monoid: Monoid,
  extent: number,
  body: (k: Linear) => Expr,
): { readonly stmts: readonly Stmt[]; readonly result: Expr } {
  const name = b.fresh('k');
  const scalarBody = body(extent === 1 ? constantIndex(0) : loopIndex(name, extent));
  const [component] = monoid.state;
  const single = monoid.state.length === 1 && component ? component : undefined;
  const wide = single && extent >= simdLanes ? vectorize(scalarBody, name, b.fresh) : undefined;
  if (!single || !wide) return serialReduce(b, monoid, name, extent, scalarBody);
  const lanes = b.fresh('lanes');
  const acc = readRegister(lanes, 0, simdLanes, single.dtype);
  const merge = (x: Expr, y: Expr): Expr => present(monoid.combine([x], [y])[0]);
  const full = Math.floor(extent / simdLanes) * simdLanes;
  const head: Stmt[] = [
    ...wide.hoisted.map((h) => letStmt(h.name, h.value)),
    registers(lanes, 1, simdLanes),
    store(lanes, 0, splat(num(single.identity, single.dtype), simdLanes)),
    loop(name, 0, full, [store(lanes, 0, merge(acc, wide.value))], 'vector', simdLanes),
  ];
  const total = b.fresh('total');
  const sum = readRegister(total, 0, 1, single.dtype);
  const tail: Stmt[] = [
    registers(total, 1, 1),
    store(total, 0, reduceLanes(acc, merge)),
    ...(full === extent
      ? []
      : [loop(name, full, extent, [store(total, 0, merge(sum, scalarBody))])]),
  ];
  return { stmts: [...head, ...tail], result: monoid.finish([sum]) };
}

/** One element after the other; a second component of state receives the index. */
function serialReduce(
  b: Builder,
  monoid: Monoid,
  name: string,
  extent: number,
  body: Expr,
): { readonly stmts: readonly Stmt[]; readonly result: Expr } {
  const parts = monoid.state.map((c) => ({ ...c, register: b.fresh(c.name) }));
  const state = parts.map((p) => readRegister(p.register, 0, 1, p.dtype));
  const lifted = [body, variable(name)].slice(0, parts.length);
  const merged = monoid.combine(state, lifted);
  const held = merged.map((value, i) => ({
    name: b.fresh('next'),
    value,
    part: present(parts[i]),
  }));
  const stmts: Stmt[] = [
    ...parts.flatMap((p) => [
      registers(p.register, 1, 1, p.dtype === 'i32' ? 'i32' : 'f32'),
      store(p.register, 0, num(p.identity, p.dtype)),
    ]),
    loop(name, 0, extent, [
      ...held.map((h) => letStmt(h.name, h.value)),
      ...held.map((h) => store(h.part.register, 0, variable(h.name, h.part.dtype))),
    ]),
  ];
  return { stmts, result: monoid.finish(state) };
}

/** A reduction for each index of `axes`, one after the other. */
function reduceEach(
  b: Builder,
  axes: readonly LoopAxis[],
  at: (index: readonly Linear[]) => ReducedElement,
): Stmt[] {
  const names = axes.map((a) => b.fresh(a.hint));
  const index = axes.map((a, i) => loopIndex(present(names[i]), a.extent));
  const { monoid, extent, body, tile, index: to } = at(index);
  const { stmts, result } = reduceLoop(b, monoid, extent, body);
  return axes.reduceRight<Stmt[]>(
    (inner, a, i) =>
      a.extent === 1 ? inner : [loop(present(names[i]), 0, a.count ?? a.extent, inner)],
    [...stmts, store(tile, to, result)],
  );
}

export const simdLoops: LoopStrategy = {
  rows: 'thread',
  store: storeLoops,
  storePieces: (b, pieces) => pieces.flatMap((p) => storeLoops(b, p.axes, p.at)),
  reduce: reduceLoop,
  reduceEach,
  top,
  once: (stmts) => stmts,
  settle: () => [],
};
