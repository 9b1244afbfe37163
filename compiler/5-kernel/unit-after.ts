/** What follows the products of a unit of columns, token by token. */
import { present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Group } from '../4-partition/plan.ts';
import { type Expr, load } from '../scalar/expr.ts';
import { type LowerContext } from './context.ts';
import { type Frame, columnsOf, element } from './frame.ts';
import type { Stmt } from './kernel.ts';
import {
  type Linear, addIndex, constantIndex, flatten, indexExpr, loopIndex, opaqueIndex, scaleIndex,
} from './linear.ts'; // prettier-ignore
import { type Share, emitNodes } from './nodes.ts';
import { unitShare } from './share.ts';
import { loop } from './statements.ts';
import { paddedUnitOf } from './unit-products.ts';

/** Where an anchor's columns lie: those of each token one after the other. */
export interface ProductPlace {
  readonly tile: string;
  /** Elements of a token. */
  readonly width: number;
  /** Where the columns of tokens' slots are in an order of their own: tile of the place of each. */
  readonly order?: string;
}

/** Tokens from `first` on: at most `most`, and `count` of them. */
export interface TokenRange {
  readonly first: Expr;
  readonly most: number;
  readonly count: Expr | number;
}

export function afterProducts(
  ctx: LowerContext,
  group: Group,
  u: string,
  places: ReadonlyMap<ValueId, ProductPlace>,
  { first, most, count }: TokenRange,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const paddedUnit = paddedUnitOf(group);
  const m = b.fresh('m');
  const local = loopIndex(m, most);
  const row: Linear = addIndex(opaqueIndex(JSON.stringify(first), first), local);
  const frame: Frame = { plan, builder: b, row, locals: new Map() };
  const unit = loopIndex(u, Math.ceil(group.columns / group.unit));
  for (const [v, { tile, width, order }] of places) {
    const hasSlots = group.slots.has(v);
    frame.locals.set(v, {
      kind: 'tile',
      tile,
      dtype: 'f32',
      place: (index) => {
        const columns = index.slice(1);
        const slot = hasSlots ? present(columns[0]) : constantIndex(0);
        const rest = hasSlots ? columns.slice(1) : columns;
        const sizes = columnsOf(plan, v).slice(hasSlots ? 1 : 0);
        const inUnit = addIndex(flatten(rest, sizes), scaleIndex(unit, -group.unit));
        const inOrder = addIndex(scaleIndex(local, width / paddedUnit), slot);
        return addIndex(scaleIndex(order ? placeIn(order, inOrder) : inOrder, paddedUnit), inUnit);
      },
    });
  }
  const share = (v: ValueId): Share => unitShare(plan, group, unit, v);
  const stores = new Set(group.stores);
  const anchorsKept = group.anchors.flatMap((a) => a.node.results.filter((v) => stores.has(v)));
  const kept = anchorsKept.flatMap((v) => keepAnchor(ctx, frame, share(v), v));
  const epilogue = emitNodes({ frame, share, stores, nodes: group.epilogue });
  const after = [...kept, ...epilogue];
  return most === 1 ? after : [loop(m, 0, count, after)];
}

function placeIn(order: string, index: Linear): Linear {
  const place = load(order, indexExpr(index), 'i32');
  return opaqueIndex(JSON.stringify(place), place);
}

/** Stores an anchor's own value. */
function keepAnchor(ctx: LowerContext, frame: Frame, share: Share, v: ValueId): Stmt[] {
  const buffer = present(ctx.plan.buffers.get(v));
  const tile = ctx.builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
  const sizes = columnsOf(ctx.plan, v);
  return ctx.builder.loops.store(ctx.builder, share.axes, (index) => {
    const columns = share.columns(index);
    return {
      tile,
      index: indexExpr(addIndex(scaleIndex(frame.row, buffer.width), flatten(columns, sizes))),
      value: element(frame, v, [frame.row, ...columns]),
    };
  });
}
