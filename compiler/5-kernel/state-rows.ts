/**
 * How the cache lies in memory: in blocks of 16 slots. In a block, what the slots hold for one index
 * of a row's first axis (a head) lies together: slot after slot, or, of keys, element after element with
 * the slots side by side.
 */
import { present } from '../base/invariant.ts';
import type { DType } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import { inParts } from '../4-partition/key-parts.ts';
import type { NodeFacts, Plan } from '../4-partition/plan.ts';
import { type Expr, add, cast, div, half, int, load, mul, rem, toHalf } from '../scalar/expr.ts';
import { quantisedFrom } from './activation.ts';
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
  /** In a block and head, elements from one slot to the next, and from one element of a slot to the next. */
  readonly perSlot: number;
  readonly perElement: number;
  /** The tile holds codes: the largest of them, and the factor of each slot's, a row of one for each head. */
  readonly codes?: { readonly largest: number; readonly scales: StateTile };
}

/** An array that lies in memory for a state. */
export interface StateArray {
  readonly name: string;
  readonly dtype: DType;
  readonly row: readonly number[];
}

/** What memory holds for the state of an append: its rows, or codes and their scales. */
export function arraysOf(plan: Pick<Plan, 'producers'>, append: NodeFacts): readonly StateArray[] {
  const { name, spec } = present(append.node.state, 'state of an append');
  if (!quantisedFrom(plan, present(append.node.inputs[0]))) return [{ name, ...spec }];
  return [
    { name, dtype: 'i8', row: spec.row },
    { name: `${name}.scales`, dtype: 'f32', row: [headsOf(spec.row), 1] },
  ];
}

const headsOf = (row: readonly number[]): number => (row.length > 1 ? present(row[0]) : 1);

/** `viewed`: what the tile of the rows holds its elements as, by how they lie. */
export function stateTile(
  builder: Builder,
  plan: Plan,
  append: NodeFacts,
  viewed = (dtype: DType, _: Omit<StateTile, 'tile'>): DType => dtype,
): StateTile {
  const turned = isTurned(plan, present(append.node.results[0]));
  const [rows, scales] = arraysOf(plan, append).map(({ name, dtype, row }, n): StateTile => {
    const hint = name.split('.').at(-1) ?? 'state';
    const heads = headsOf(row);
    const width = row.reduce((a, b) => a * b, 1) / heads;
    const slots = turned && n === 0;
    const [perSlot, perElement] = slots ? [1, blockEntries] : [width, 1];
    const own = { dtype, heads, width, perSlot, perElement };
    const as = n === 0 ? viewed(dtype, own) : dtype;
    return { tile: builder.param({ kind: 'state', state: name }, as, hint), ...own };
  });
  const own = present(rows, 'rows of a state');
  if (!scales) return own;
  const { activation } = present(quantisedFrom(plan, present(append.node.inputs[0])));
  return { ...own, codes: { largest: activation.largest, scales } };
}

/**
 * Keys of attention in parts lie with the slots side by side, for each element of a head those of the
 * block's slots: products have a key in each lane, and nothing is summed across lanes.
 */
function isTurned(plan: Plan, v: ValueId): boolean {
  const readers = [...plan.producers.values()].filter((f) => f.node.inputs.includes(v));
  return (
    readers.length > 0 &&
    readers.every(
      ({ lowered, node }) =>
        lowered.kind === 'attend' &&
        inParts(lowered) &&
        node.inputs.every((x, operand) => x !== v || operand === 1),
    )
  );
}

/** The state that a cache value stands for. */
export const stateOf = (
  { builder, plan }: Pick<LowerContext, 'builder' | 'plan'>,
  v: ValueId,
): StateTile => stateTile(builder, plan, present(plan.producers.get(v), 'producer of a cache'));

/** Where the block with this number begins for a head. */
export const blockStart = ({ heads, width }: StateTile, block: Expr, head: Expr): Expr =>
  add(mul(block, int(blockEntries * heads * width)), mul(head, int(blockEntries * width)));

/** Where a slot's elements for the first head begin. */
export const slotStart = (s: StateTile, slot: Expr): Expr =>
  add(
    blockStart(s, div(slot, int(blockEntries)), int(0)),
    mul(rem(slot, int(blockEntries)), int(s.perSlot)),
  );

/** Offset from there of an element of the row. */
export function rowOffset(
  { width, perElement }: StateTile,
  row: readonly number[],
  at: readonly Linear[],
): Expr {
  if (row.length < 2) return indexExpr(scaleIndex(flatten(at, row), perElement));
  const head = scaleIndex(present(at[0]), blockEntries * width);
  const inHead = flatten(at.slice(1), row.slice(1));
  return indexExpr(addIndex(head, scaleIndex(inHead, perElement)));
}

/** What a state stores of a value. */
export const asEntry = ({ dtype }: StateTile, value: Expr): Expr =>
  dtype === 'f16' ? toHalf(value) : value;

/** Elements of a state as f32, or whole numbers where it holds them; codes without their scale. */
export function entries({ tile, dtype, codes }: StateTile, index: Expr, lanes = 1): Expr {
  const raw = load(tile, index, scalarOf(dtype), lanes);
  if (codes) return cast(raw, 'f32');
  return dtype === 'f16' ? half(raw) : raw;
}

/** Scales of consecutive slots of a block, from entry `from` of it on; undefined for what has none. */
export function scalesAt(
  { codes }: StateTile,
  block: Expr,
  head: Expr,
  from: Expr,
  lanes: number,
): Expr | undefined {
  if (!codes) return undefined;
  const start = blockStart(codes.scales, block, head);
  return load(codes.scales.tile, add(start, from), 'f32', lanes);
}
