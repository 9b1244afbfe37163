/**
 * Routing lookahead: how much work lies between "the numbers of the chosen experts are known" and
 * "their weights are used". Read off the dataflow of the layers as they run one after another: what
 * a use waits for and the choice does not. Fetching experts can hide behind that work.
 */
import { invariant, present } from '../base/invariant.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import { type Model, nameAt } from '../2-model/model.ts';
import { opOf } from '../ops/index.ts';
import { type Event, type Run, type Work, costs, unroll, worksBehind } from './executions.ts';
import type { Graph, Node } from './graph.ts';
import { lowerModel } from './lower.ts';
import { type Read, isNormed, readsOf } from './router-source.ts';

/** Between a choice and its use. */
export interface Distance extends Work {
  /** Layers whose ends lie between; for a choice made before the first layer, all that came before. */
  readonly layers: number;
}

/** One layer's use of weights that are chosen by numbers. */
export interface Lookahead extends Distance {
  /** Paths of the weights that one choice picks from, such as a layer's gate, up and down. */
  readonly weights: readonly string[];
  /** Number of the layer in its repeat; absent outside of any. */
  readonly layer?: number;
  /**
   * What the router reads: `ids`, what no layer has a part in; `experts`, what the experts of an
   * earlier layer are given; `norm`, a norm of the residual; `residual`, the residual as it is.
   */
  readonly source: 'ids' | 'experts' | 'norm' | 'residual';
  /** The layer in which the router stands has read its state before. */
  readonly afterAttention: boolean;
  /** Whose experts the router chooses: seen from the layer in which it reads. */
  readonly targets: 'this layer' | 'next layer' | 'later layer' | 'several layers' | 'all layers';
  /** Known before the first layer begins: every later use could be planned at once. */
  readonly beforeLayers: boolean;
}

/** What the router of a use reads, in words. */
export function sourceText(a: Lookahead): string {
  const stands = `${a.afterAttention ? 'after' : 'before'} the attention of ${standsIn[a.targets]}`;
  const texts = {
    ids: 'token ids, before the first layer',
    experts: `input of the experts of ${standsIn[a.targets]}`,
    norm: `norm of the residual ${stands}`,
    residual: `raw residual ${stands}`,
  } as const satisfies Record<Lookahead['source'], string>;
  return texts[a.source];
}

/** The router's layer, as the layer whose experts it chooses sees it. */
const standsIn = {
  'this layer': 'the layer',
  'next layer': 'the layer before',
  'later layer': 'an earlier layer',
  'several layers': 'no layer',
  'all layers': 'no layer',
} as const satisfies Record<Lookahead['targets'], string>;

export interface LookaheadOptions {
  /** Cached entries that the decoded token sees. */
  readonly keys: number;
  /** The stored element type of a weight, by its path in the model; f32 where absent. */
  readonly dtypeOf?: (path: string) => DType;
  /** The scheme that a weight is kept in, by its path in the model, where it is quantised. */
  readonly schemeOf?: (path: string) => QuantScheme | undefined;
}

/**
 * The lookahead of every use in one decoded token, in the order of execution. Takes time in
 * proportion to the layers, for layers that pass on what they make to the next.
 */
export function lookaheads(model: Model, options: LookaheadOptions): readonly Lookahead[] {
  // Before any rewrite: each run of layers is still a loop, even of one iteration.
  const { dtypeOf = () => 'f32', schemeOf } = options;
  const graph = lowerModel(model, dtypeOf, undefined, (path) => {
    const scheme = schemeOf?.(path);
    return scheme && { scheme };
  });
  const run = unroll(graph);
  const uses = usesOf(run);
  if (uses.length === 0) return [];
  const firsts = new Set(uses.map((u) => present(u.events[0])));
  const workBehind = worksBehind(graph, run, firsts, options.keys);
  const costOf = costs(graph, run.events, options.keys);
  const served = servedBy(uses);
  const layers = new Set(uses.map((u) => placeText(u.place))).size;
  const given = new Set(uses.flatMap((u) => u.events.flatMap((e) => givenTo(run, e))));
  const marks = new Map<string | undefined, LayerMarks>();
  return uses.map((use) => {
    const prefix = use.place?.prefix;
    const mark = marks.get(prefix) ?? layerMarks(run, prefix);
    marks.set(prefix, mark);
    const known = workBehind(use.choice);
    const own = costOf(use.choice);
    const all = workBehind(present(use.events[0]));
    return {
      weights: use.weights,
      ...(use.place ? { layer: use.place.layer } : {}),
      ...standing(graph, run, use, mark, given, present(served.get(use.source)).size, layers),
      flops: all.flops - known.flops - own.flops,
      weightBytes: all.weightBytes - known.weightBytes - own.weightBytes,
      stateBytes: all.stateBytes - known.stateBytes - own.stateBytes,
    };
  });
}

/** The uses of one choice in one layer, together. */
interface Use {
  readonly choice: number;
  readonly events: readonly number[];
  readonly weights: readonly string[];
  readonly place: Place | undefined;
  readonly reads: readonly Read[];
  /** The same for one router, and for heads of it that stand in the layers. */
  readonly source: string;
}

interface Place {
  readonly prefix: string;
  readonly layer: number;
}

const placeText = (p: Place | undefined): string => (p ? `${p.prefix}${p.layer}` : '');

const chosenBy = (n: Node): { readonly weights: number; readonly ids: number } | undefined =>
  n.kind === 'op' ? opOf(n.op).chosen : undefined;

function usesOf(run: Run): readonly Use[] {
  const groups = new Map<string, { choice: number; place: Place | undefined; events: number[] }>();
  run.events.forEach((event, number) => {
    const chosen = chosenBy(event.node);
    if (!chosen) return;
    const choice = present(event.from[chosen.ids]);
    const place = placeOf(weightBehind(run, event));
    const key = `${choice} ${place?.prefix ?? ''} ${place?.layer ?? ''}`;
    const group = groups.get(key) ?? { choice, place, events: [] };
    group.events.push(number);
    groups.set(key, group);
  });
  return [...groups.values()].map((g) => {
    const reads = readsOf(run, g.choice);
    const read = reads
      .map((r) => `${r.event} ${r.matrix?.replace(placeholder, '$1') ?? ''}`)
      .sort();
    return {
      ...g,
      reads,
      weights: g.events.map((e) => weightBehind(run, present(run.events[e])).name),
      source: read.length === 0 ? `choice ${g.choice}` : read.join(),
    };
  });
}

function servedBy(uses: readonly Use[]): ReadonlyMap<string, ReadonlySet<string>> {
  const served = new Map<string, Set<string>>();
  for (const { source, place } of uses) {
    served.set(source, (served.get(source) ?? new Set()).add(placeText(place)));
  }
  return served;
}

/** Events that computed what experts are given, other than their weights and numbers. */
function givenTo(run: Run, use: number): readonly number[] {
  const { node, from } = present(run.events[use]);
  const chosen = present(chosenBy(node));
  return from.filter((_, i) => i !== chosen.weights && i !== chosen.ids);
}

/** Where the router of a use stands, what it reads there and whom it serves. */
function standing(
  graph: Graph,
  run: Run,
  use: Use,
  mark: LayerMarks,
  given: ReadonlySet<number>,
  served: number,
  layers: number,
): Pick<Lookahead, 'source' | 'afterAttention' | 'targets' | 'beforeLayers' | 'layers'> {
  const own = use.place?.layer ?? 0;
  const [read] = use.reads
    .filter((r) => run.layered.has(r.value))
    .sort((a, b) => b.event - a.event);
  if (!read) {
    const targets =
      served === 1 ? 'next layer' : served === layers ? 'all layers' : 'several layers';
    return { source: 'ids', afterAttention: false, targets, beforeLayers: true, layers: own };
  }
  const made = use.place ? present(mark.made[use.choice]) : own;
  const ahead = own - made;
  const source =
    ahead > 0 && given.has(read.event)
      ? 'experts'
      : isNormed(graph, run, read)
        ? 'norm'
        : 'residual';
  return {
    source,
    afterAttention: use.place === undefined || mark.state[read.event] === made,
    targets: ahead === 0 ? 'this layer' : ahead === 1 ? 'next layer' : 'later layer',
    beforeLayers: false,
    layers: ahead,
  };
}

interface NamedWeight {
  readonly pattern: string;
  readonly name: string;
}

/** The stored weight that a use picks from, behind the casts that widen it. */
function weightBehind(run: Run, use: Event): NamedWeight {
  let at = present(use.from[present(chosenBy(use.node)).weights]);
  for (;;) {
    const { node, iteration, from } = present(run.events[at]);
    if (node.kind === 'weight') {
      return { pattern: node.name, name: nameAt(node.name, iteration) };
    }
    const [only] = from;
    invariant(only !== undefined, 'chosen weights are stored weights');
    at = only;
  }
}

const placeholder = /^(.*?)\{\d+\+\d+i\}/;

function placeOf(w: NamedWeight): Place | undefined {
  const prefix = placeholder.exec(w.pattern)?.[1];
  if (prefix === undefined) return undefined;
  return { prefix, layer: numberAfter(prefix, w.name) };
}

const numberAfter = (prefix: string, name: string): number =>
  Number.parseInt(name.slice(prefix.length), 10);

/** By event: the last layer whose weights, or whose state, it waits for; -1 for none. */
interface LayerMarks {
  readonly made: Int32Array;
  readonly state: Int32Array;
}

function layerMarks({ events }: Run, prefix: string | undefined): LayerMarks {
  const made = new Int32Array(events.length).fill(-1);
  const state = new Int32Array(events.length).fill(-1);
  const layerOf = (pattern: string, iteration: number): number =>
    prefix !== undefined && placeholder.exec(pattern)?.[1] === prefix
      ? numberAfter(prefix, nameAt(pattern, iteration))
      : -1;
  events.forEach(({ node, iteration, from }, e) => {
    let [last, read] = [-1, -1];
    for (const f of from) {
      last = Math.max(last, made[f] ?? -1);
      read = Math.max(read, state[f] ?? -1);
    }
    if (node.kind === 'weight') last = layerOf(node.name, iteration);
    if (node.kind === 'op' && node.state) {
      read = Math.max(read, layerOf(node.state.name, iteration));
    }
    made[e] = last;
    state[e] = read;
  });
  return { made, state };
}
