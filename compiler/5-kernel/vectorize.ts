/** Scalar loop bodies to lanes: four iterations at once where every access is in step. */
import { type Expr, add, int, load, splat, variable } from '../scalar/expr.ts';
import { children, mapChildren } from '../scalar/walk.ts';
import { lanesOf } from './lanes.ts';

/** Lanes of a vector of the `simd` machine class. */
export const simdLanes = 4;

/** What a body became: statements to stand before the loop, and the vector expression. */
export interface Vectorized {
  readonly hoisted: readonly { readonly name: string; readonly value: Expr }[];
  readonly value: Expr;
}

/**
 * `body` for iterations name .. name + 3 at once, or undefined if an access is not consecutive.
 * What does not depend on the loop is computed once, before it.
 */
export function vectorize(
  body: Expr,
  name: string,
  fresh: (hint: string) => string,
): Vectorized | undefined {
  const hoisted: { name: string; value: Expr }[] = [];
  const value = go(body);
  return value && { hoisted, value };

  function go(e: Expr): Expr | undefined {
    if (e.op === 'const') return { ...e, lanes: simdLanes };
    if (!mentions(e, name)) {
      if (e.dtype === 'bool') return undefined;
      if (e.op === 'var') return splat(e, simdLanes);
      const held = fresh('c');
      hoisted.push({ name: held, value: e });
      return splat(variable(held, e.dtype), simdLanes);
    }
    if (e.op === 'var') return undefined;
    // Angles are reduced in double precision, of which a vector holds fewer.
    if (e.dtype === 'f64' || e.op === 'sin' || e.op === 'cos') return undefined;
    if (e.op === 'load') {
      const stride = strideOf(e.index, name);
      return stride === 1 ? { ...e, lanes: simdLanes } : undefined;
    }
    const parts = children(e).map(go);
    if (parts.some((p) => p === undefined)) return undefined;
    let next = 0;
    const wide = mapChildren(e, (child) => parts[next++] ?? child);
    return { ...wide, lanes: simdLanes };
  }
}

export function mentions(e: Expr, name: string): boolean {
  return e.op === 'var' ? e.name === name : children(e).some((c) => mentions(c, name));
}

/** By how much an index grows with the loop variable, if that is the same everywhere. */
export function strideOf(e: Expr, name: string): number | undefined {
  if (!mentions(e, name)) return 0;
  switch (e.op) {
    case 'var':
      return 1;
    case 'add':
    case 'sub': {
      const a = strideOf(e.a, name);
      const b = strideOf(e.b, name);
      if (a === undefined || b === undefined) return undefined;
      return e.op === 'add' ? a + b : a - b;
    }
    case 'mul': {
      const [of, by] = e.b.op === 'const' ? [e.a, e.b] : [e.b, e.a];
      const a = strideOf(of, name);
      return a !== undefined && by.op === 'const' ? a * by.value : undefined;
    }
    default:
      return undefined;
  }
}

/** Four partial results in the lanes of `v`, combined pairwise: (0 with 1) with (2 with 3). */
export function reduceLanes(v: Expr, combine: (a: Expr, b: Expr) => Expr): Expr {
  const lane = (i: number): Expr => ({ op: 'lane', a: v, lane: i, dtype: v.dtype, lanes: 1 });
  return combine(combine(lane(0), lane(1)), combine(lane(2), lane(3)));
}

/** The lanes of `v` combined: halves with halves, so that the order depends on their number alone. */
export function reduceAllLanes(v: Expr, combine: (a: Expr, b: Expr) => Expr): Expr {
  if (v.lanes <= simdLanes) return reduceLanes(v, combine);
  const half = v.lanes / 2;
  return reduceAllLanes(combine(lanesOf(v, half), lanesOf(v, half, half)), combine);
}

export const loadAt = (tile: string, base: Expr, offset: number, lanes: number): Expr =>
  load(tile, add(base, int(offset)), 'f32', lanes);
