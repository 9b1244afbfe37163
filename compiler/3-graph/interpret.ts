/** The reference interpreter: runs a graph node by node in double precision. It defines meaning. */
import { constantDim, showDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { nameAt } from '../2-model/model.ts';
import { opOf } from '../ops/index.ts';
import type { NdArray, StateStore, Step } from '../ops/op.ts';
import type { Graph, LoopNode, Node, OpNode, ValueId } from './graph.ts';

/** A weight by its model path (placeholder filled in) and its checkpoint name, as doubles. */
export type WeightReader = (name: string, source: string, type: TensorType<number>) => NdArray;

export function makeStateStore(): StateStore {
  const rows = new Map<string, Float64Array>();
  const positions = new Map<number, number>();
  return {
    row(name, slot, size) {
      const key = `${slot} ${name}`;
      const had = rows.get(key) ?? new Float64Array(size);
      rows.set(key, had);
      return had;
    },
    positionOf: (slot) => positions.get(slot) ?? 0,
    setPosition: (slot, position) => {
      positions.set(slot, position);
    },
  };
}

/**
 * The graph's results for one step; appends to `state` on the way. `inputs`: the tensors that a
 * graph takes beside the step's arrays, by name.
 */
export function interpret(
  graph: Graph,
  weights: WeightReader,
  step: Step,
  state: StateStore,
  inputs: ReadonlyMap<string, NdArray> = new Map(),
): readonly NdArray[] {
  const values = new Map<ValueId, NdArray>();
  const stateOf = new Map<ValueId, string>();
  const sizes = new Map([
    ['t', step.ids.length],
    ['r', step.rows.length],
    ['c', 0],
  ]);
  run(graph.nodes, 0);
  return graph.results.map(valueOf);

  function valueOf(v: ValueId): NdArray {
    return present(values.get(v), `value of %${v}`);
  }

  function concrete(v: ValueId): TensorType<number> {
    const type = present(graph.types.get(v), `type of %${v}`);
    const shape = type.shape.map((d) => {
      const size = constantDim(d) ?? sizes.get(showDim(d));
      invariant(size !== undefined, () => `size of ${showDim(d)}`);
      return size;
    });
    return { dtype: type.dtype, shape };
  }

  function run(nodes: readonly Node[], iteration: number): void {
    for (const n of nodes) {
      switch (n.kind) {
        case 'step':
          values.set(n.result, fromInts(step[n.field]));
          break;
        case 'input':
          values.set(n.result, present(inputs.get(n.name), `input ${n.name}`));
          break;
        case 'weight': {
          const type = concrete(n.result);
          values.set(
            n.result,
            weights(nameAt(n.name, iteration), nameAt(n.source, iteration), type),
          );
          break;
        }
        case 'constant':
          values.set(n.result, { shape: [], data: new Float64Array([n.value]) });
          break;
        case 'op':
          runOp(n, iteration);
          break;
        case 'loop':
          runLoop(n);
      }
    }
  }

  function runOp(n: OpNode, iteration: number): void {
    const own = n.state ? nameAt(n.state.name, iteration) : undefined;
    const named = own ?? n.inputs.flatMap((v) => stateOf.get(v) ?? []).join(' ');
    const outputs = n.results.map(concrete);
    const results = opOf(n.op).evaluate(
      n.inputs.map(valueOf),
      outputs,
      n.attrs,
      { step, state },
      named,
    );
    n.results.forEach((v, i) => {
      values.set(v, present(results[i], 'result'));
      if (own !== undefined) stateOf.set(v, own);
    });
  }

  function runLoop(n: LoopNode): void {
    n.carried.forEach((c) => values.set(c.param, valueOf(c.initial)));
    for (let i = 0; i < n.count; i++) {
      run(n.body, i);
      const next = n.carried.map((c) => valueOf(c.next));
      n.carried.forEach((c, k) => values.set(c.param, present(next[k])));
    }
    n.carried.forEach((c) => values.set(c.result, valueOf(c.param)));
  }
}

const fromInts = (a: Int32Array): NdArray => ({ shape: [a.length], data: Float64Array.from(a) });
