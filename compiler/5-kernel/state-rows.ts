/**
 * How the cache lies in memory: in blocks of 16 slots. In a block, what the slots hold for one index
 * of a row's first axis (a head) lies together, slot after slot, so that a head's keys are read in a row.
 */
import { present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import type { OpNode, ValueId } from '../3-graph/graph.ts';
import { type Expr, add, div, half, int, load, mul, rem, toHalf } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { LowerContext } from './context.ts';
import { scalarOf } from './kernel.ts';
import { type Linear, addIndex, flatten, indexExpr, scaleIndex } from './linear.ts';

/** Entries of a block of the cache. */
export const blockEntries = 16;

export interface StateTile {
  readonly tile: string;
  readonly dtype: DType;
  /** Axes of a slot's row: the first one, and elements for each of its indices. */
  readonly heads: number;
  readonly width: number;
}

export function stateTile(builder: Builder, state: NonNullable<OpNode['state']>): StateTile {
  const { row, dtype } = state.spec;
  const hint = state.name.split('.').at(-1) ?? 'state';
  const tile = builder.param({ kind: 'state', state: state.name }, dtype, hint);
  const size = row.reduce((a, b) => a * b, 1);
  const heads = row.length > 1 ? present(row[0]) : 1;
  return { tile, dtype, heads, width: size / heads };
}

/** The state that a cache value stands for. */
export function stateOf(ctx: LowerContext, v: ValueId): StateTile {
  const facts = present(ctx.plan.producers.get(v), 'producer of a cache');
  return stateTile(ctx.builder, present(facts.node.state, 'state'));
}

/** Where the block with this number begins for a head. */
export const blockStart = ({ heads, width }: StateTile, block: Expr, head: Expr): Expr =>
  add(mul(block, int(blockEntries * heads * width)), mul(head, int(blockEntries * width)));

/** Where a slot's elements for the first head begin. */
export const slotStart = (s: StateTile, slot: Expr): Expr =>
  add(
    blockStart(s, div(slot, int(blockEntries)), int(0)),
    mul(rem(slot, int(blockEntries)), int(s.width)),
  );

/** Offset from there of an element of the row. */
export function rowOffset(
  { width }: StateTile,
  row: readonly number[],
  at: readonly Linear[],
): Expr {
  if (row.length < 2) return indexExpr(flatten(at, row));
  const head = scaleIndex(present(at[0]), blockEntries * width);
  return indexExpr(addIndex(head, flatten(at.slice(1), row.slice(1))));
}

/** What a state stores of a value. */
export const asEntry = ({ dtype }: StateTile, value: Expr): Expr =>
  dtype === 'f16' ? toHalf(value) : value;

/** Elements of a state as f32, or whole numbers where it holds them. */
export function entries({ tile, dtype }: StateTile, index: Expr, lanes = 1): Expr {
  const raw = load(tile, index, scalarOf(dtype), lanes);
  return dtype === 'f16' ? half(raw) : raw;
}
