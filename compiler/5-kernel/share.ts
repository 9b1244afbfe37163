/** A unit's share of a value's columns. */
import { invariant, present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Group, Plan } from '../4-partition/plan.ts';
import { int, min, sub, mul } from '../scalar/expr.ts';
import { columnsOf, productOf } from './frame.ts';
import {
  type Linear,
  addIndex,
  flatten,
  indexExpr,
  isZero,
  scaleIndex,
  unflatten,
} from './linear.ts';
import type { LoopAxis } from './loops.ts';
import type { Share } from './nodes.ts';

/**
 * The columns of `v` that belong to unit `unit`: consecutive ones, for each slot if it has slots.
 * A value with fewer columns than the anchor (a sum per head) has proportionally fewer in a unit.
 */
export function unitShare(plan: Plan, group: Group, unit: Linear, v: ValueId): Share {
  const slots = group.slots.get(v);
  const all = columnsOf(plan, v);
  const sizes = slots === undefined ? all : all.slice(1);
  const width = productOf(sizes);
  const size = Math.max(1, Math.round((width * group.unit) / group.columns));
  const whole = group.unit >= group.columns;
  const partial = !whole && group.columns % group.unit !== 0;
  const axes = whole ? sizes.map(axisOf) : unitAxes(sizes, size);
  const start = scaleIndex(unit, size);
  const counted = partial ? lastUnitShort(axes, width, unit, size) : axes;
  const extents = axes.map((a) => a.extent);
  const columns = (index: readonly Linear[]): readonly Linear[] => {
    const own = slots === undefined ? index : index.slice(1);
    const inner = whole
      ? own
      : sizes.length === 0
        ? []
        : unflatten(addIndex(start, flatten(own, extents)), sizes);
    return slots === undefined ? inner : [present(index[0]), ...inner];
  };
  const place = (index: readonly Linear[]): Linear => {
    const own = slots === undefined ? index : index.slice(1);
    const inUnit = addIndex(flatten(own, sizes), scaleIndex(start, -1));
    return slots === undefined || isZero(present(index[0]))
      ? inUnit
      : addIndex(scaleIndex(present(index[0]), size), inUnit);
  };
  const slotAxes: LoopAxis[] = slots === undefined ? [] : [{ hint: 's', extent: slots }];
  return { axes: [...slotAxes, ...counted], columns, size: size * (slots ?? 1), place };
}

/** The last unit has fewer columns: rounds of the outermost axis, whose inner axes stay whole. */
function lastUnitShort(
  axes: readonly LoopAxis[],
  width: number,
  unit: Linear,
  size: number,
): readonly LoopAxis[] {
  const inner = productOf(axes.slice(1).map((a) => a.extent));
  invariant(width % inner === 0, 'units end where inner axes do');
  const left = sub(int(width / inner), mul(indexExpr(unit), int(size / inner)));
  return axes.map((a, i) => (i === 0 ? { ...a, count: min(int(a.extent), left) } : a));
}

const axisOf = (extent: number): LoopAxis => ({ hint: 'i', extent });

/** `size` consecutive elements of an array with these axes, as nested loops where they fit. */
function unitAxes(sizes: readonly number[], size: number): LoopAxis[] {
  const axes: LoopAxis[] = [];
  let left = size;
  for (const extent of [...sizes].reverse()) {
    if (left === 1) break;
    if (left >= extent && left % extent === 0) {
      if (extent > 1) axes.unshift(axisOf(extent));
      left /= extent;
    } else {
      axes.unshift(axisOf(left));
      left = 1;
    }
  }
  return axes;
}
