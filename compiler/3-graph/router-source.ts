/** What a router reads, off the dataflow: a residual as it is, a norm of it, or no layer's work. */
import { constantDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import { showType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import type { Event, Run } from './executions.ts';
import type { Graph, OpNode, ValueId } from './graph.ts';

/** A value as an event was given it. */
export interface Read {
  readonly value: ValueId;
  /** The event that computed it. */
  readonly event: number;
  /** The model's path of the stored matrix that it is multiplied by, if it is. */
  readonly matrix?: string;
}

/** The op multiplies by a stored matrix: what it multiplies is its operand 0. */
function multiplied(run: Run, e: Event, node: OpNode): Read | undefined {
  const matrix = opOf(node.op).product?.matrix;
  if (matrix === undefined || matrix === 0) return undefined;
  const stored = storedBehind(run, present(e.from[matrix]));
  return stored === undefined ? undefined : { ...operand(e, node, 0), matrix: stored };
}

const operand = (e: Event, node: OpNode, i: number): Read => ({
  value: present(node.inputs[i]),
  event: present(e.from[i]),
});

/** Path of a stored weight, behind whatever widens or turns it. */
function storedBehind(run: Run, event: number): string | undefined {
  for (let e = present(run.events[event]); ; e = present(run.events[present(e.from[0])])) {
    if (e.node.kind === 'weight') return e.node.name;
    if (e.from.length !== 1) return undefined;
  }
}

/** What the scores behind a choice are products of, or else what they were carried from. */
export function readsOf(run: Run, choice: number): readonly Read[] {
  const reads: Read[] = [];
  const open = [choice];
  const seen = new Set(open);
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const e = present(run.events[at]);
    const { node } = e;
    if (node.kind !== 'op') continue;
    const product = multiplied(run, e, node);
    if (product) {
      reads.push(product);
      continue;
    }
    node.inputs.forEach((value, i) => {
      const read = operand(e, node, i);
      if (run.carried.has(value)) reads.push(read);
      else if (!seen.has(read.event)) open.push(read.event);
      seen.add(read.event);
    });
  }
  return reads;
}

/**
 * Whether a norm lies between a read of what layers made and the residual behind it: a statistic of
 * the row, such as a mean, on the way to the nearest sum of two whole rows, state or carried value.
 * Products on the way are a router of several layers, and are gone through.
 */
export function isNormed(graph: Graph, run: Run, read: Read): boolean {
  const shape = (v: ValueId): string => showType(present(graph.types.get(v)));
  const last = (v: ValueId): number | undefined => {
    const d = present(graph.types.get(v)).shape.at(-1);
    return d === undefined ? undefined : constantDim(d);
  };
  let normed = false;
  let rooted = false;
  const products: Read[] = [];
  const open = [read];
  const seen = new Set<number>();
  for (let r = open.pop(); r !== undefined; r = open.pop()) {
    if (!run.layered.has(r.value)) continue;
    const e = present(run.events[r.event]);
    const { node } = e;
    if (run.carried.has(r.value) || node.kind !== 'op' || node.state) {
      rooted = true;
      continue;
    }
    const product = multiplied(run, e, node);
    if (product) {
      products.push(product);
      continue;
    }
    const result = present(node.results[0]);
    const inputs = node.inputs.filter((v) => run.layered.has(v));
    if (new Set(inputs.filter((v) => shape(v) === shape(result))).size > 1) {
      rooted = true;
      continue;
    }
    if (last(result) === 1 && inputs.some((v) => last(v) !== 1)) normed = true;
    if (seen.has(r.event)) continue;
    seen.add(r.event);
    node.inputs.forEach((_, i) => open.push(operand(e, node, i)));
  }
  return normed || (!rooted && products.some((p) => isNormed(graph, run, p)));
}
