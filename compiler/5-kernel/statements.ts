/** Short forms for building statements. */
import { invariant } from '../base/invariant.ts';
import { type Expr, type ScalarType, add, div, int, mul, variable } from '../scalar/expr.ts';
import type { Axis, Binding as LoopBinding, Stmt } from './kernel.ts';

export const loop = (
  name: string,
  from: Expr | number,
  to: Expr | number,
  body: readonly Stmt[],
  bind: LoopBinding = 'serial',
  step = 1,
): Stmt => ({
  kind: 'loop',
  axis: {
    name,
    from: typeof from === 'number' ? int(from) : from,
    to: typeof to === 'number' ? int(to) : to,
    step,
    bind,
  },
  body,
});

export const store = (tile: string, index: Expr | number, value: Expr): Stmt => ({
  kind: 'store',
  tile,
  index: typeof index === 'number' ? int(index) : index,
  value,
});

export const letStmt = (name: string, value: Expr): Stmt => ({ kind: 'let', name, value });

export const when = (
  condition: Expr,
  then: readonly Stmt[],
  otherwise: readonly Stmt[] = [],
): Stmt => ({ kind: 'if', when: condition, then, otherwise });

/** Accumulators: `count` registers of `lanes` elements, which start at 0. */
export const registers = (
  name: string,
  count: number,
  lanes: number,
  dtype: 'f32' | 'i32' = 'f32',
): Stmt => ({
  kind: 'tile',
  tile: {
    name,
    dtype,
    shape: [count],
    layout: { strides: [1] },
    space: 'register',
    owner: 'thread',
    lanes,
  },
});

export const readRegister = (
  name: string,
  index: number,
  lanes: number,
  dtype: ScalarType = 'f32',
): Expr => ({ op: 'load', tile: name, index: int(index), dtype, lanes });

/** Names a value and returns how to read it. */
export function named(name: string, value: Expr): { readonly stmt: Stmt; readonly ref: Expr } {
  return { stmt: letStmt(name, value), ref: variable(name, value.dtype, value.lanes) };
}

/** The bounds of a `thread` loop for one of the team's threads: a contiguous share of it each. */
export function threadShare({ from, to }: Axis): { readonly from: Expr; readonly to: Expr } {
  invariant(from.op === 'const' && from.value === 0, 'thread loops start at 0');
  const share = (thread: Expr): Expr => div(mul(to, thread), variable('threads'));
  return { from: share(variable('thread')), to: share(add(variable('thread'), int(1))) };
}
