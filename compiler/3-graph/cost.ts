/** FLOPs and bytes of a graph, from what its ops state. */
import { constantDim, showDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import type { Cost } from '../ops/op.ts';
import type { Graph, Node, ValueId } from './graph.ts';

export interface StepSize {
  readonly tokens: number;
  readonly rows: number;
  /** Cached entries that a token sees on average. */
  readonly keys: number;
}

/** The sum over all nodes; widened weights count with the bytes they are stored in. */
export function costOf(graph: Graph, size: StepSize): Cost {
  const stored = new Map<ValueId, ValueId>();
  const sizes = new Map([
    ['t', size.tokens],
    ['r', size.rows],
    ['c', size.keys],
  ]);
  const concrete = (v: ValueId): TensorType<number> => {
    const type = present(graph.types.get(stored.get(v) ?? v));
    return {
      dtype: type.dtype,
      shape: type.shape.map((d) => constantDim(d) ?? sizes.get(showDim(d)) ?? 1),
    };
  };
  const weights = new Set<ValueId>();
  const total = { flops: 0, weightBytes: 0, stateBytes: 0, activationBytes: 0 };
  const visit = (nodes: readonly Node[], times: number): void => {
    for (const n of nodes) {
      if (n.kind === 'loop') visit(n.body, times * n.count);
      if (n.kind === 'weight') weights.add(n.result);
      if (n.kind !== 'op') continue;
      const [first] = n.inputs;
      if (n.op === 'cast' && first !== undefined && weights.has(first)) {
        n.results.forEach((v) => stored.set(v, first));
        continue;
      }
      const cost = opOf(n.op).cost(
        n.inputs.map(concrete),
        n.results.map(concrete),
        n.attrs,
        size.keys,
      );
      total.flops += times * cost.flops;
      total.weightBytes += times * cost.weightBytes;
      total.stateBytes += times * cost.stateBytes;
      total.activationBytes += times * cost.activationBytes;
    }
  };
  visit(graph.nodes, 1);
  return total;
}
