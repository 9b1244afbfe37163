/** Keys and values into the cache: as they are, rounded, or as codes below a scale for each head. */
import { invariant, present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import { rowAxisOf } from '../4-partition/classify.ts';
import type { NodeFacts } from '../4-partition/plan.ts';
import { type Expr, add, int, load, mul, unary } from '../scalar/expr.ts';
import { maximum } from '../scalar/monoid.ts';
import { codesBelow, quantisedFrom } from './activation.ts';
import { type Frame, columnsOf, element, typeOf } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { type Linear, indexExpr, loopIndex } from './linear.ts';
import type { Share } from './nodes.ts';
import {
  type StateTile,
  asEntry,
  blockEntries,
  rowOffset,
  slotStart,
  stateTile,
} from './state-rows.ts';
import { loop, named, store } from './statements.ts';

/** Writes the row's keys or values to the state row of the token's slot. */
export function emitAppend(frame: Frame, facts: NodeFacts, share: (v: ValueId) => Share): Stmt[] {
  const { builder, plan } = frame;
  const source = present(facts.node.inputs[0]);
  const { row } = present(facts.node.state, 'state of an append').spec;
  const tile = stateTile(builder, plan, facts);
  const slots = builder.param({ kind: 'step', field: 'slot' }, 'i32', 'slot');
  const slot = named(builder.fresh('slot'), load(slots, indexExpr(frame.row), 'i32'));
  const base = named(builder.fresh('at'), slotStart(tile, slot.ref));
  const before = [slot.stmt, base.stmt];
  if (tile.codes) return [...before, ...codesOfHeads(frame, source, tile, row, slot.ref, base.ref)];
  const own = share(source);
  const stores = builder.loops.store(builder, own.axes, (index) => {
    const columns = own.columns(index);
    return {
      tile: tile.tile,
      index: add(base.ref, rowOffset(tile, row, columns)),
      value: asEntry(tile, elementOf(frame, source, columns)),
    };
  });
  return [...before, ...stores];
}

const elementOf = (frame: Frame, v: ValueId, columns: readonly Linear[]): Expr =>
  element(
    frame,
    v,
    rowAxisOf(typeOf(frame.plan, v)) === undefined ? columns : [frame.row, ...columns],
  );

/** Codes and a scale for each head. */
function codesOfHeads(
  frame: Frame,
  source: ValueId,
  tile: StateTile,
  row: readonly number[],
  slot: Expr,
  base: Expr,
): Stmt[] {
  const { builder: b, plan } = frame;
  const { from } = present(quantisedFrom(plan, source));
  const { largest, scales } = present(tile.codes);
  invariant(columnsOf(plan, from).length === row.length && row.length <= 2, 'rows of heads');
  const h = b.fresh('h');
  const head = loopIndex(h, tile.heads);
  const at = (i: Linear): readonly Linear[] => (row.length === 1 ? [i] : [head, i]);
  const most = b.loops.reduce(b, maximum, tile.width, (i) =>
    unary('abs', elementOf(frame, from, at(i))),
  );
  const quantised = codesBelow(b, most.result, largest);
  const scaleAt = add(slotStart(scales, slot), mul(indexExpr(head), int(blockEntries)));
  const codes = b.loops.store(b, [{ hint: 'i', extent: tile.width }], ([i]) => {
    const columns = at(present(i));
    return {
      tile: tile.tile,
      index: add(base, rowOffset(tile, row, columns)),
      value: quantised.codeOf(elementOf(frame, from, columns)),
    };
  });
  const body = [
    ...most.stmts,
    ...quantised.stmts,
    ...b.loops.once([store(scales.tile, scaleAt, quantised.scale)]),
    ...codes,
  ];
  return tile.heads === 1 ? body : [loop(h, 0, tile.heads, body)];
}
