/**
 * Whether a node can follow contractions unit by unit: which output columns of its group's values
 * one of its own elements needs.
 */
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Loops } from '../ops/op.ts';
import type { Expr, ExprOf } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import { isVar, probe, probeK, probed, sizeOf, widthOf } from './classify.ts';
import type { NodeFacts } from './plan.ts';

/**
 * The number of consecutive columns that must be computed together for `facts` to follow values for
 * which `inGroup` holds: 1 for element-wise work, the head size for a norm over a head. Undefined if
 * no cut over columns serves it.
 *
 * `slots`: the extent of axis 1 of group values that have an axis of slots.
 */
export function granularity(
  facts: NodeFacts,
  typeOf: (v: ValueId) => TensorType,
  inGroup: (v: ValueId) => boolean,
  slots: (v: ValueId) => number | undefined,
): number | undefined {
  const { node, lowered } = facts;
  const operandType = (operand: number): TensorType => typeOf(present(node.inputs[operand]));
  switch (lowered.kind) {
    case 'view':
    case 'append':
      return 1;
    case 'attend':
    case 'quantise':
    case 'interpreted':
      return undefined;
    case 'top':
      return widthOf(operandType(0));
    case 'loops': {
      let most = 1;
      for (const loops of lowered.results) {
        for (const read of readsOf(loops)) {
          const value = present(node.inputs[read.operand]);
          if (!inGroup(value)) continue;
          const need = columnsNeeded(read, loops, typeOf(value), slots(value) !== undefined);
          if (need === undefined) return undefined;
          most = Math.max(most, need);
        }
      }
      return most;
    }
  }
}

function readsOf(loops: Loops): ExprOf<'at'>[] {
  const found: ExprOf<'at'>[] = [];
  const visit = (e: Expr): void => {
    if (e.op === 'at') found.push(e);
    children(e).forEach(visit);
  };
  loops.pieces.forEach((_, p) => visit(probed(loops, p)));
  return found;
}

function columnsNeeded(
  read: ExprOf<'at'>,
  loops: Loops,
  type: TensorType,
  hasSlots: boolean,
): number | undefined {
  const rank = type.shape.length;
  const shift = loops.over.length - rank; // broadcasting aligns from the right
  if (shift !== 0 || !isVar(read.index[0], probe(0))) return undefined;
  let need = 1;
  for (let axis = 1; axis < rank; axis++) {
    const size = sizeOf(present(type.shape[axis]));
    const index = read.index[axis];
    const same =
      isVar(index, probe(axis)) || (size === 1 && sizeOf(present(loops.over[axis])) === 1);
    if (same) continue;
    if (hasSlots && axis === 1) continue; // all slots of a unit are computed together
    if (axis !== rank - 1) return undefined;
    // Another element of the last axis, or all of them, or one value for all of them.
    const reduced = isVar(index, probeK);
    need = size === 1 && !reduced ? sizeOf(present(loops.over[axis])) : size;
  }
  return need;
}
