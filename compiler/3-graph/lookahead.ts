/**
 * Routing lookahead: how much work lies between "the numbers of the chosen experts are known" and
 * "their weights are used". Read off the dataflow of the layers as they run one after another: what
 * a use waits for and the choice does not. Fetching experts can hide behind that work.
 */
import { constantDim, showDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import type { DType, TensorType } from '../base/type.ts';
import { type Model, nameAt } from '../2-model/model.ts';
import { opOf } from '../ops/index.ts';
import type { Cost } from '../ops/op.ts';
import { type Graph, type Node, type OpNode, type ValueId, resultsOf } from './graph.ts';
import { lowerModel } from './lower.ts';

/** Between a choice and its use; the bytes are those that the work itself reads. */
export interface Distance {
  /** Layers whose ends lie between; for a choice made before the first layer, all that came before. */
  readonly layers: number;
  readonly flops: number;
  readonly weightBytes: number;
  readonly stateBytes: number;
}

/** One layer's use of weights that are chosen by numbers. */
export interface Lookahead extends Distance {
  /** Paths of the weights that one choice picks from, such as a layer's gate, up and down. */
  readonly weights: readonly string[];
  /** Number of the layer in its repeat; absent outside of any. */
  readonly layer?: number;
  /**
   * What the choice is made from: `ids`, token ids alone; `earlier`, a layer before this one;
   * `input`, what this layer is given; `attention`, after this layer has read its state.
   */
  readonly source: 'ids' | 'earlier' | 'input' | 'attention';
  /** Known before the first layer begins: every later use could be planned at once. */
  readonly beforeLayers: boolean;
}

export const sourceTexts = {
  ids: 'token ids',
  earlier: 'an earlier layer',
  input: "the layer's input",
  attention: "the layer's attention",
} as const satisfies Record<Lookahead['source'], string>;

export interface LookaheadOptions {
  /** Cached entries that the decoded token sees. */
  readonly keys: number;
  /** The stored element type of a weight, by its path in the model; f32 where absent. */
  readonly dtypeOf?: (path: string) => DType;
}

/** The lookahead of every use in one decoded token, in the order of execution. */
export function lookaheads(model: Model, options: LookaheadOptions): readonly Lookahead[] {
  // Before any rewrite: each run of layers is still a loop, even of one iteration.
  const graph = lowerModel(model, options.dtypeOf ?? (() => 'f32'));
  const run = unroll(graph);
  const uses = run.filter((e) => chosenBy(e.node) !== undefined);
  const out: Lookahead[] = [];
  for (const group of choices(run, uses)) {
    out.push(lookaheadOf(graph, run, group, options.keys));
  }
  return out;
}

/** An execution of a node: of one iteration where it is in a loop. */
interface Event {
  readonly node: Node;
  readonly iteration: number;
  /** Events that computed the operands, by operand. */
  readonly from: readonly number[];
}

const chosenBy = (n: Node): { readonly weights: number; readonly ids: number } | undefined =>
  n.kind === 'op' ? opOf(n.op).chosen : undefined;

/** Every execution of one step in order. */
function unroll(graph: Graph): readonly Event[] {
  const events: Event[] = [];
  const at = new Map<ValueId, number>();
  const origin = (v: ValueId): number => present(at.get(v), `%${v}`);
  const visit = (nodes: readonly Node[], iteration: number): void => {
    for (const node of nodes) {
      if (node.kind === 'loop') {
        node.carried.forEach((c) => at.set(c.param, origin(c.initial)));
        for (let i = 0; i < node.count; i++) {
          visit(node.body, i);
          const next = node.carried.map((c) => origin(c.next));
          node.carried.forEach((c, k) => at.set(c.param, present(next[k])));
        }
        node.carried.forEach((c) => at.set(c.result, origin(c.param)));
        continue;
      }
      const from = node.kind === 'op' ? node.inputs.map(origin) : [];
      for (const v of resultsOf(node)) at.set(v, events.length);
      events.push({ node, iteration, from });
    }
  };
  visit(graph.nodes, 0);
  return events;
}

const choiceOf = (use: Event): number => present(use.from[present(chosenBy(use.node)).ids]);

/** The uses of one choice in one layer, together. */
function choices(run: readonly Event[], uses: readonly Event[]): readonly (readonly Event[])[] {
  const out = new Map<string, Event[]>();
  for (const use of uses) {
    const key = `${choiceOf(use)} ${layerOf(weightBehind(run, use))?.layer ?? ''}`;
    out.set(key, [...(out.get(key) ?? []), use]);
  }
  return [...out.values()];
}

/** Numbers of the events that `roots` wait for, themselves included, without those in `except`. */
function behind(
  run: readonly Event[],
  roots: readonly number[],
  except: ReadonlySet<number> = new Set(),
): ReadonlySet<number> {
  const seen = new Set<number>();
  const open = [...roots];
  for (let e = open.pop(); e !== undefined; e = open.pop()) {
    if (seen.has(e) || except.has(e)) continue;
    seen.add(e);
    open.push(...present(run[e]).from);
  }
  return seen;
}

function lookaheadOf(
  graph: Graph,
  run: readonly Event[],
  uses: readonly Event[],
  keys: number,
): Lookahead {
  const first = present(uses[0]);
  const known = behind(run, [choiceOf(first)]);
  const between = behind(run, first.from, known);
  const weights = uses.map((u) => weightBehind(run, u));
  const place = layerOf(present(weights[0]));
  const layers = [...known].flatMap((e) => layersOfEvent(present(run[e]), place?.prefix));
  const states = [...known].flatMap((e) => stateLayers(present(run[e]), place?.prefix));
  const made = Math.max(-1, ...layers);
  const own = place?.layer ?? 0;
  const beforeLayers = made < 0;
  return {
    weights: weights.map((w) => w.name),
    ...(place ? { layer: own } : {}),
    source: beforeLayers
      ? 'ids'
      : made < own
        ? 'earlier'
        : states.includes(own)
          ? 'attention'
          : 'input',
    beforeLayers,
    layers: beforeLayers ? own : own - made,
    ...costBetween(graph, run, between, keys),
  };
}

interface NamedWeight {
  readonly pattern: string;
  readonly name: string;
  readonly iteration: number;
}

/** The stored weight that a use picks from, behind the casts that widen it. */
function weightBehind(run: readonly Event[], use: Event): NamedWeight {
  let at = present(use.from[present(chosenBy(use.node)).weights]);
  for (;;) {
    const { node, iteration, from } = present(run[at]);
    if (node.kind === 'weight') {
      return { pattern: node.name, name: nameAt(node.name, iteration), iteration };
    }
    const [only] = from;
    invariant(only !== undefined, 'chosen weights are stored weights');
    at = only;
  }
}

const placeholder = /^(.*?)\{\d+\+\d+i\}/;

function layerOf(w: NamedWeight): { readonly prefix: string; readonly layer: number } | undefined {
  const prefix = placeholder.exec(w.pattern)?.[1];
  if (prefix === undefined) return undefined;
  return { prefix, layer: numberAfter(prefix, w.name) };
}

const numberAfter = (prefix: string, name: string): number =>
  Number.parseInt(name.slice(prefix.length), 10);

function layersOfName(pattern: string, iteration: number, prefix: string | undefined): number[] {
  if (prefix === undefined || placeholder.exec(pattern)?.[1] !== prefix) return [];
  return [numberAfter(prefix, nameAt(pattern, iteration))];
}

const layersOfEvent = ({ node, iteration }: Event, prefix: string | undefined): number[] =>
  node.kind === 'weight' ? layersOfName(node.name, iteration, prefix) : [];

const stateLayers = ({ node, iteration }: Event, prefix: string | undefined): number[] =>
  node.kind === 'op' && node.state ? layersOfName(node.state.name, iteration, prefix) : [];

function costBetween(
  graph: Graph,
  run: readonly Event[],
  between: ReadonlySet<number>,
  keys: number,
): Omit<Distance, 'layers'> {
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
  const stored = (e: Event, operand: number): TensorType<number> => {
    const own = concrete(present(opNode(e).inputs[operand]));
    const source = present(run[present(e.from[operand])]);
    // A widened weight counts with the bytes it is stored in.
    return isWidening(run, source)
      ? { ...own, dtype: concrete(present(opNode(source).inputs[0])).dtype }
      : own;
  };
  const total = { flops: 0, weightBytes: 0, stateBytes: 0 };
  for (const i of between) {
    const e = present(run[i]);
    if (e.node.kind !== 'op' || isWidening(run, e)) continue;
    const { op, attrs, results } = e.node;
    const inputs = e.node.inputs.map((_, operand) => stored(e, operand));
    const cost: Cost = opOf(op).cost(inputs, results.map(concrete), attrs, keys);
    total.flops += cost.flops;
    total.weightBytes += cost.weightBytes;
    total.stateBytes += cost.stateBytes;
  }
  return total;
}

function opNode(e: Event): OpNode {
  invariant(e.node.kind === 'op', 'an op');
  return e.node;
}

/** An op on a stored weight alone, without attributes of the step: the cast that widens it. */
const isWidening = (run: readonly Event[], e: Event): boolean =>
  e.node.kind === 'op' && e.from.length === 1 && run[present(e.from[0])]?.node.kind === 'weight';
