/** Row-wise regions: each row (token) is worked on by one thread, or one workgroup. */
import { present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { NodeFacts, Plan, Region } from '../4-partition/plan.ts';
import { indexExpr, addIndex, flatten, loopIndex, scaleIndex } from './linear.ts';
import type { Builder } from './builder.ts';
import { type Frame, columnsOf, element, rowCount } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { emitNodes, wholeShare } from './nodes.ts';
import { loop } from './statements.ts';

/**
 * Nodes that must be computed on the way to `values`, in order: those that are neither in memory nor
 * free. `own` values are in memory only because this region stores them.
 */
export function floatingNodes(
  plan: Plan,
  values: readonly ValueId[],
  own: ReadonlySet<ValueId> = new Set(),
): NodeFacts[] {
  const out: NodeFacts[] = [];
  const seen = new Set<NodeFacts>();
  const visit = (v: ValueId): void => {
    if (plan.weights.has(v) || (plan.buffers.has(v) && !own.has(v))) return;
    const facts = plan.producers.get(v);
    if (!facts || seen.has(facts)) return;
    seen.add(facts);
    facts.node.inputs.forEach(visit);
    out.push(facts);
  };
  values.forEach(visit);
  return out;
}

/** Any machine class: the builder says how loops run. */
export interface RowContext {
  readonly plan: Plan;
  readonly builder: Builder;
}

export function lowerRows(ctx: RowContext, region: Extract<Region, { kind: 'rows' }>): Stmt[] {
  const { plan, builder } = ctx;
  const row = builder.fresh('row');
  const frame: Frame = { plan, builder, row: loopIndex(row, Infinity), locals: new Map() };
  const stores = new Set(region.stores);
  const starts = [...region.stores, ...region.appends.map((a) => present(a.node.results[0]))];
  const nodes = floatingNodes(plan, starts, stores);
  const body = emitNodes({ frame, share: (v) => wholeShare(frame, v), stores, nodes });
  return [loop(row, 0, rowCount(region.axis), body, builder.loops.rows)];
}

export function lowerCopy(ctx: RowContext, region: Extract<Region, { kind: 'copy' }>): Stmt[] {
  const { plan, builder } = ctx;
  const row = builder.fresh('row');
  const frame: Frame = { plan, builder, row: loopIndex(row, Infinity), locals: new Map() };
  const buffer = present(plan.buffers.get(region.to));
  const tile = builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
  const sizes = columnsOf(plan, region.to);
  const axes = sizes.map((extent) => ({ hint: 'i', extent }));
  const body = builder.loops.store(builder, axes, (index) => ({
    tile,
    index: indexExpr(addIndex(scaleIndex(frame.row, buffer.width), flatten(index, sizes))),
    value: element(frame, region.from, [frame.row, ...index]),
  }));
  return [loop(row, 0, rowCount(region.axis), body, builder.loops.rows)];
}
