/** Whether each row of an op's results depends on the same row of its operands only. */
import { present } from '../base/invariant.ts';
import { isByRow } from '../base/scheme.ts';
import type { TensorType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import { type Expr, variable } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import type { OpNode, ValueId } from './graph.ts';

export function isRowWise(n: OpNode, types: ReadonlyMap<ValueId, TensorType>): boolean {
  const typeOf = (v: ValueId): TensorType => present(types.get(v), `type of %${v}`);
  const hasRows = (v: ValueId): boolean => {
    const { shape } = typeOf(v);
    return shape.length > 0 && typeof shape[0] !== 'number';
  };
  if (n.state) return false;
  const lowered = opOf(n.op).lower(n.inputs.map(typeOf), n.results.map(typeOf), n.attrs);
  switch (lowered.kind) {
    case 'append':
    case 'interpreted':
    case 'attend':
      return false;
    case 'quantise':
      return isByRow(lowered.scheme) && n.results.every(hasRows);
    case 'view':
    case 'top':
      return n.results.every(hasRows);
    case 'loops':
      return lowered.results.every((loops) =>
        loops.pieces.every((piece) => {
          const row = variable('row');
          const index = loops.over.map((_, axis) => (axis === 0 ? row : variable(`i${axis}`)));
          return keepsRow(piece.body(index, variable('k')), n, hasRows);
        }),
      );
  }
}

function keepsRow(e: Expr, n: OpNode, hasRows: (v: ValueId) => boolean): boolean {
  if (e.op === 'at' && hasRows(present(n.inputs[e.operand]))) {
    const [first, ...rest] = e.index;
    const same = first?.op === 'var' && first.name === 'row';
    return same && rest.every((x) => keepsRow(x, n, hasRows));
  }
  return children(e).every((c) => keepsRow(c, n, hasRows));
}
