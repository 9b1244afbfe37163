/** FLOPs and bytes of a graph, from what its ops state. */
import { constantDim, showDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { readScheme } from '../base/scheme.ts';
import { type TensorType, bytesOf } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import type { Cost } from '../ops/op.ts';
import type { Graph, Node, OpNode, ValueId, WeightNode } from './graph.ts';
import { type KeptOperand, costAsKept, keptBits } from './kept.ts';

export interface StepSize {
  readonly tokens: number;
  readonly rows: number;
  /** Cached entries that a token sees on average. */
  readonly keys: number;
}

/** The sum over all nodes; weights count with the bytes that they are kept in. */
export function costOf(graph: Graph, size: StepSize): Cost {
  /** Weights, and values that are a weight seen another way. */
  const weights = new Map<ValueId, Required<KeptOperand>>();
  const sizes = new Map([
    ['t', size.tokens],
    ['r', size.rows],
    ['c', size.keys],
  ]);
  const concrete = (v: ValueId): TensorType<number> => {
    const type = present(graph.types.get(v));
    return {
      dtype: type.dtype,
      shape: type.shape.map((d) => constantDim(d) ?? sizes.get(showDim(d)) ?? 1),
    };
  };
  const total = { flops: 0, weightBytes: 0, stateBytes: 0, activationBytes: 0 };
  const visit = (nodes: readonly Node[], times: number): void => {
    for (const n of nodes) {
      if (n.kind === 'loop') visit(n.body, times * n.count);
      if (n.kind === 'weight') weights.set(n.result, storedWeight(n, concrete(n.result)));
      if (n.kind !== 'op') continue;
      const form = weightForm(n);
      if (form) {
        n.results.forEach((v) => weights.set(v, form));
        continue;
      }
      const operands = n.inputs.map((v) => weights.get(v) ?? { type: concrete(v) });
      const cost = costAsKept(n.op, operands, n.results.map(concrete), n.attrs, size.keys);
      total.flops += times * cost.flops;
      total.weightBytes += times * cost.weightBytes;
      total.stateBytes += times * cost.stateBytes;
      total.activationBytes += times * cost.activationBytes;
    }
  };
  visit(graph.nodes, 1);
  return total;

  /** The weight that an op of one operand only widens, quantises or views. */
  function weightForm(n: OpNode): Required<KeptOperand> | undefined {
    const [only, other] = n.inputs;
    const had = only === undefined || other !== undefined ? undefined : weights.get(only);
    const [result] = n.results;
    if (!had || result === undefined) return undefined;
    const inputs = n.inputs.map((v) => present(graph.types.get(v)));
    const lowered = opOf(n.op).lower(inputs, [present(graph.types.get(result))], n.attrs);
    const type = { ...concrete(result), dtype: had.type.dtype };
    if (lowered.kind === 'quantise') return { type, bits: keptBits(lowered.scheme, type.shape) };
    const cost = costAsKept(n.op, [had], [concrete(result)], n.attrs, size.keys);
    const free = cost.flops + cost.weightBytes + cost.stateBytes + cost.activationBytes === 0;
    return free ? { type, bits: had.bits } : undefined;
  }
}

/** A weight as its node says that it is kept. */
export const storedWeight = (n: WeightNode, type: TensorType<number>): Required<KeptOperand> => ({
  type,
  bits:
    n.scheme === undefined ? 8 * bytesOf[type.dtype] : keptBits(readScheme(n.scheme), type.shape),
});
