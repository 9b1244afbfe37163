/**
 * One decoded token's run of a graph, loops written out: which execution of an op waits for which,
 * and what all that an execution waits for costs.
 */
import { constantDim, showDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { storedWeight } from './cost.ts';
import type { Graph, Node, OpNode, ValueId } from './graph.ts';
import { resultsOf } from './graph.ts';
import { type KeptOperand, costAsKept } from './kept.ts';

/** An execution of a node: of one iteration where it is in a loop. */
export interface Event {
  readonly node: Node;
  readonly iteration: number;
  /** Events that computed the operands, by operand; each has a smaller number. */
  readonly from: readonly number[];
}

export interface Run {
  /** Every execution of one step in order. */
  readonly events: readonly Event[];
  /** Values that a loop hands from iteration to iteration, as its body names them. */
  readonly carried: ReadonlySet<ValueId>;
  /** Values that a layer may have had a part in: from what is carried, from a loop, or from state. */
  readonly layered: ReadonlySet<ValueId>;
}

export function unroll(graph: Graph): Run {
  const events: Event[] = [];
  const carried = new Set<ValueId>();
  const layered = new Set<ValueId>();
  const at = new Map<ValueId, number>();
  const origin = (v: ValueId): number => present(at.get(v), `%${v}`);
  const visit = (nodes: readonly Node[], iteration: number): void => {
    for (const node of nodes) {
      if (node.kind === 'loop') {
        for (const c of node.carried) {
          at.set(c.param, origin(c.initial));
          carried.add(c.param);
          layered.add(c.param).add(c.result);
        }
        for (let i = 0; i < node.count; i++) {
          visit(node.body, i);
          const next = node.carried.map((c) => origin(c.next));
          node.carried.forEach((c, k) => at.set(c.param, present(next[k])));
        }
        node.carried.forEach((c) => at.set(c.result, origin(c.param)));
        continue;
      }
      const from = node.kind === 'op' ? node.inputs.map(origin) : [];
      const own = node.kind === 'op' && (node.state || node.inputs.some((v) => layered.has(v)));
      for (const v of resultsOf(node)) {
        at.set(v, events.length);
        if (own) layered.add(v);
      }
      events.push({ node, iteration, from });
    }
  };
  visit(graph.nodes, 0);
  return { events, carried, layered };
}

/** The bytes are those that the work itself reads. */
export interface Work {
  readonly flops: number;
  readonly weightBytes: number;
  readonly stateBytes: number;
}

/** Above every number of a mark. */
const never = 0x7fffffff;

/**
 * The work of all that an event waits for, itself not. Calls with the events of a run in order, those
 * of `marks` among them, each take time for what lies behind the event and not behind the mark before
 * it: over the layers of a model, for a layer.
 */
export function worksBehind(
  graph: Graph,
  { events }: Run,
  marks: ReadonlySet<number>,
  keys: number,
): (event: number) => Work {
  const costOf = costs(graph, events, keys);
  /** Marks of which each waits for those before it, with what they wait for. */
  const chain: { readonly event: number; readonly work: Work }[] = [];
  const place = new Map<number, number>();
  /** Number in the chain of the first mark that waits for an event, or is it. */
  const first = new Int32Array(events.length).fill(never);
  /** Number of the last call that met an event. */
  const met = new Int32Array(events.length);
  let calls = 0;
  return (event) => {
    const known = place.get(event);
    if (known !== undefined) return present(chain[known]).work;
    const call = ++calls;
    let work: Work = { flops: 0, weightBytes: 0, stateBytes: 0 };
    const fresh = [event];
    // What is to be visited, in order; the latest first, so that the latest mark is met before all
    // that lies behind it.
    let open: number[] = [];
    let base = -1;
    const beyond = (e: number): boolean => (first[e] ?? never) > base;
    const add = (e: number): void => {
      for (const f of present(events[e]).from) {
        // A stored weight or constant is waited for by no one.
        if (met[f] === call || !beyond(f) || events[f]?.from.length === 0) continue;
        met[f] = call;
        let i = open.length;
        while (i > 0 && present(open[i - 1]) > f) i--;
        open.splice(i, 0, f);
      }
    };
    add(event);
    for (let e = open.pop(); e !== undefined; e = open.pop()) {
      work = plus(work, costOf(e));
      const mark = base < 0 ? place.get(e) : undefined;
      if (mark === undefined) {
        fresh.push(e);
        add(e);
        continue;
      }
      base = mark;
      work = plus(work, present(chain[mark]).work);
      open = open.filter(beyond);
    }
    if (marks.has(event) && base === chain.length - 1) {
      place.set(event, chain.length);
      for (const e of fresh) first[e] = Math.min(first[e] ?? never, chain.length);
      chain.push({ event, work });
    }
    return work;
  };
}

const plus = (a: Work, b: Work): Work => ({
  flops: a.flops + b.flops,
  weightBytes: a.weightBytes + b.weightBytes,
  stateBytes: a.stateBytes + b.stateBytes,
});

/** What one event costs. Alike in every iteration, so reckoned once for a node. */
export function costs(
  graph: Graph,
  events: readonly Event[],
  keys: number,
): (event: number) => Work {
  const sizes = new Map([
    ['t', 1],
    ['r', 1],
    ['c', keys],
  ]);
  const concrete = (v: ValueId): TensorType<number> => {
    const type = present(graph.types.get(v));
    return {
      dtype: type.dtype,
      shape: type.shape.map((d) => constantDim(d) ?? sizes.get(showDim(d)) ?? 1),
    };
  };
  const kept = (e: Event, operand: number): KeptOperand => {
    const source = present(events[present(e.from[operand])]);
    // A widened weight counts with the bytes it is kept in.
    const { node } = isWidening(events, source) ? present(events[present(source.from[0])]) : source;
    const own = concrete(present(opNode(e).inputs[operand]));
    if (node.kind !== 'weight') return { type: own };
    const { type, bits } = storedWeight(node, concrete(node.result));
    return { type: { ...own, dtype: type.dtype }, bits };
  };
  const byNode = new Map<Node, Work>();
  return (event) => {
    const e = present(events[event]);
    const had = byNode.get(e.node);
    if (had) return had;
    let work: Work = { flops: 0, weightBytes: 0, stateBytes: 0 };
    if (e.node.kind === 'op' && !isWidening(events, e)) {
      const { op, attrs, results } = e.node;
      const inputs = e.node.inputs.map((_, operand) => kept(e, operand));
      const cost = costAsKept(op, inputs, results.map(concrete), attrs, keys);
      work = { flops: cost.flops, weightBytes: cost.weightBytes, stateBytes: cost.stateBytes };
    }
    byNode.set(e.node, work);
    return work;
  };
}

function opNode(e: Event): OpNode {
  invariant(e.node.kind === 'op', 'an op');
  return e.node;
}

/** An op on a stored weight alone, without attributes of the step: the cast that widens it. */
const isWidening = (events: readonly Event[], e: Event): boolean =>
  e.node.kind === 'op' && e.from.length === 1 && events[present(e.from[0])]?.node.kind === 'weight';
