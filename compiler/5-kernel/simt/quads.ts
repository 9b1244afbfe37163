/** Loop bodies for four consecutive elements of a thread at once, where memory gives 16 bytes aligned. */
import { bytesOf } from '../../base/type.ts';
import { type Expr, type ArithmeticOp, arithmetic, arithmeticOps, int } from '../../scalar/expr.ts';
import { children, mapChildren } from '../../scalar/walk.ts';
import type { Builder } from '../builder.ts';
import { type Linear, addIndex, loopIndex } from '../linear.ts';
import { simdLanes, vectorize } from '../vectorize.ts';

/** Elements number 4 q .. 4 q + 3 of an axis, as an index with a loop inside that lanes replace. */
export function quadIndex(
  b: Builder,
  q: Linear,
): { readonly index: Linear; readonly lane: string } {
  const lane = b.fresh('l');
  const scaled = q.terms.map((t) => ({ ...t, factor: t.factor * simdLanes }));
  const start = { constant: q.constant * simdLanes, terms: scaled };
  return { index: addIndex(start, loopIndex(lane, simdLanes)), lane };
}

export interface Quad {
  /** To stand before the value, in the same loop. */
  readonly held: readonly { readonly name: string; readonly value: Expr }[];
  readonly value: Expr;
}

/** The value in four lanes, or undefined where a load of it is not of 16 aligned bytes. */
export function quadOf(b: Builder, value: Expr, lane: string): Quad | undefined {
  const wide = vectorize(value, lane, b.fresh);
  if (!wide) return undefined;
  const at = atFirst(wide.value, lane);
  return loadsAligned(b, at) ? { held: wide.hoisted, value: at } : undefined;
}

const isArithmetic = (op: string): op is ArithmeticOp => arithmeticOps.some((a) => a === op);

/** The expression for lane 0. */
export function atFirst(e: Expr, lane: string): Expr {
  if (e.op === 'var') return e.name === lane ? int(0) : e;
  const inner = mapChildren(e, (c) => atFirst(c, lane));
  const folds = isArithmetic(inner.op) && inner.dtype === 'i32' && 'b' in inner && !('c' in inner);
  return folds && 'a' in inner && isArithmetic(inner.op)
    ? arithmetic(inner.op, inner.a, inner.b)
    : inner;
}

function loadsAligned(b: Builder, e: Expr): boolean {
  if (e.op === 'load' && e.lanes > 1) return isAligned(b, e.tile, e.index);
  return children(e).every((c) => loadsAligned(b, c));
}

/** Four elements from there on are 16 bytes at a multiple of 16. */
export function isAligned(b: Builder, tile: string, index: Expr): boolean {
  const found = b.tile(tile);
  return found !== undefined && bytesOf[found.dtype] === 4 && isMultiple(index);
}

/** Seen from the form of the index: a sum of terms with factors that are multiples of four. */
function isMultiple(e: Expr): boolean {
  switch (e.op) {
    case 'const':
      return e.value % simdLanes === 0;
    case 'add':
    case 'sub':
      return isMultiple(e.a) && isMultiple(e.b);
    case 'mul':
      return isMultiple(e.a) || isMultiple(e.b);
    default:
      return false;
  }
}
