/**
 * Graph rewrites by name. Each takes a graph and returns a simpler one of the same meaning, or the
 * very same object if it found nothing to do.
 */
import { invariant, present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import { type Attrs, isProblem } from '../ops/op.ts';
import {
  type Graph,
  type LoopNode,
  type Node,
  type OpNode,
  type ValueId,
  inputsOf,
  resultsOf,
} from './graph.ts';
import { isRowWise } from './row-wise.ts';

export interface Rule {
  readonly name: string;
  apply(graph: Graph): Graph;
}

/** Every node of a graph, loop bodies after their loop. */
export function* allNodes(nodes: readonly Node[]): Generator<Node> {
  for (const n of nodes) {
    yield n;
    if (n.kind === 'loop') yield* allNodes(n.body);
  }
}

const producersOf = (graph: Graph): Map<ValueId, Node> => {
  const by = new Map<ValueId, Node>();
  for (const n of allNodes(graph.nodes)) resultsOf(n).forEach((v) => by.set(v, n));
  return by;
};

/** Maps the nodes of every scope; a loop keeps its identity if its body is unchanged. */
function mapNodes(nodes: readonly Node[], f: (n: Node) => readonly Node[]): readonly Node[] {
  let changed = false;
  const out = nodes.flatMap((n) => {
    const body = n.kind === 'loop' ? mapNodes(n.body, f) : undefined;
    const own: Node = n.kind === 'loop' && body && body !== n.body ? { ...n, body } : n;
    const now = f(own);
    if (now.length !== 1 || now[0] !== n) changed = true;
    return now;
  });
  return changed ? out : nodes;
}

/** Replaces uses of values throughout. */
function renameUses(graph: Graph, names: ReadonlyMap<ValueId, ValueId>): Graph {
  if (names.size === 0) return graph;
  const to = (v: ValueId): ValueId => {
    let at = v;
    for (let next = names.get(at); next !== undefined; next = names.get(at)) at = next;
    return at;
  };
  const nodes = mapNodes(graph.nodes, (n) => {
    if (n.kind === 'op') return [{ ...n, inputs: n.inputs.map(to) }];
    if (n.kind !== 'loop') return [n];
    const carried = n.carried.map((c) => ({ ...c, initial: to(c.initial), next: to(c.next) }));
    return [{ ...n, carried }];
  });
  return { ...graph, nodes, results: graph.results.map(to) };
}

/** x @ transpose(w) reads w as it is stored. */
const transposedProduct: Rule = {
  name: 'x @ transpose(w) -> x @ w, stored [n, k]',
  apply(graph) {
    const by = producersOf(graph);
    const nodes = mapNodes(graph.nodes, (n) => {
      if (n.kind !== 'op' || n.op !== 'matmul' || n.attrs['nk'] !== false) return [n];
      const [x, w] = n.inputs;
      const from = w === undefined ? undefined : by.get(w);
      if (from?.kind !== 'op' || from.op !== 'transpose' || x === undefined) return [n];
      return [{ ...n, inputs: [x, present(from.inputs[0])], attrs: { ...n.attrs, nk: true } }];
    });
    return nodes === graph.nodes ? graph : { ...graph, nodes };
  },
};

/** reshape(reshape(x)) is one reshape. */
const nestedReshape: Rule = {
  name: 'reshape(reshape(x)) -> reshape(x)',
  apply(graph) {
    const by = producersOf(graph);
    const nodes = mapNodes(graph.nodes, (n) => {
      if (n.kind !== 'op' || n.op !== 'reshape') return [n];
      const from = by.get(present(n.inputs[0]));
      if (from?.kind !== 'op' || from.op !== 'reshape') return [n];
      return [{ ...n, inputs: from.inputs }];
    });
    return nodes === graph.nodes ? graph : { ...graph, nodes };
  },
};

/** Work whose operands do not change from iteration to iteration is done once, before the loop. */
const hoist: Rule = {
  name: 'loop-invariant work -> before the loop',
  apply(graph) {
    const nodes = mapNodes(graph.nodes, (n) => (n.kind === 'loop' ? hoistFrom(n) : [n]));
    return nodes === graph.nodes ? graph : { ...graph, nodes };
  },
};

function hoistFrom(loop: LoopNode): readonly Node[] {
  const inside = new Set<ValueId>([
    ...loop.carried.map((c) => c.param),
    ...loop.body.flatMap((n) => resultsOf(n)),
  ]);
  const out: Node[] = [];
  const body = loop.body.filter((n) => {
    const varies =
      n.kind === 'loop' ||
      (n.kind === 'weight' && n.name.includes('{')) ||
      (n.kind === 'op' && n.state !== undefined) ||
      // An op that reads a state does so through an operand that varies; constants stay near their use.
      n.kind === 'constant' ||
      inputsOf(n).some((v) => inside.has(v));
    if (varies) return true;
    out.push(n);
    resultsOf(n).forEach((v) => inside.delete(v));
    return false;
  });
  return out.length === 0 ? [loop] : [...out, { ...loop, body }];
}

/** Equal computations are one. */
const common: Rule = {
  name: 'equal computations -> one',
  apply(graph) {
    const names = new Map<ValueId, ValueId>();
    const scan = (nodes: readonly Node[], outer: ReadonlyMap<string, Node>): void => {
      const seen = new Map(outer);
      for (const n of nodes) {
        if (n.kind === 'loop') scan(n.body, withoutVarying(seen));
        const key = keyOf(n, names);
        if (key === undefined) continue;
        const had = seen.get(key);
        if (!had) seen.set(key, n);
        else resultsOf(n).forEach((v, i) => names.set(v, present(resultsOf(had)[i])));
      }
    };
    scan(graph.nodes, new Map());
    return names.size === 0 ? graph : renameUses(removeDefined(graph, names), names);
  },
};

/** A weight named with a placeholder is another one in every loop. */
const withoutVarying = (seen: ReadonlyMap<string, Node>): Map<string, Node> =>
  new Map([...seen].filter(([, n]) => !(n.kind === 'weight' && n.name.includes('{'))));

function keyOf(n: Node, names: ReadonlyMap<ValueId, ValueId>): string | undefined {
  switch (n.kind) {
    case 'step':
      return `step ${n.field}`;
    case 'input':
      return `input ${n.name}`;
    case 'weight':
      return `weight ${n.name}`;
    case 'constant':
      return `constant ${Object.is(n.value, -0) ? '-0' : n.value}`;
    case 'op':
      if (n.state) return undefined;
      return `${n.op} ${n.inputs.map((v) => names.get(v) ?? v).join()} ${JSON.stringify(n.attrs)}`;
    case 'loop':
      return undefined;
  }
}

function removeDefined(graph: Graph, gone: ReadonlyMap<ValueId, ValueId>): Graph {
  const nodes = mapNodes(graph.nodes, (n) => {
    const results = resultsOf(n);
    return n.kind !== 'loop' && results.length > 0 && results.every((v) => gone.has(v)) ? [] : [n];
  });
  return { ...graph, nodes };
}

/** Nodes whose results nobody reads go; an op that keeps state stays. */
const dead: Rule = {
  name: 'unread work -> none',
  apply(graph) {
    const live = new Set<ValueId>(graph.results);
    const mark = (nodes: readonly Node[]): void => {
      for (const n of [...nodes].reverse()) {
        if (n.kind === 'loop') {
          n.carried.forEach((c) => live.add(c.next).add(c.initial));
          mark(n.body);
        } else if (stays(n)) inputsOf(n).forEach((v) => live.add(v));
      }
    };
    const stays = (n: Node): boolean =>
      n.kind === 'loop' ||
      (n.kind === 'op' && n.state !== undefined) ||
      resultsOf(n).some((v) => live.has(v));
    mark(graph.nodes);
    const nodes = mapNodes(graph.nodes, (n) => (stays(n) ? [n] : []));
    return nodes === graph.nodes ? graph : { ...graph, nodes };
  },
};

/** take(f(x)) is f(take(x)) for row-wise f: work after the last layer runs for wanted rows only. */
const takeEarly: Rule = {
  name: 'take(f(x)) -> f(take(x))',
  apply(graph) {
    const by = producersOf(graph);
    const top = new Set(graph.nodes);
    const at = graph.nodes.findIndex((n) => {
      const from = n.kind === 'op' && n.op === 'take' ? by.get(present(n.inputs[0])) : undefined;
      return from?.kind === 'op' && top.has(from) && isRowWise(from, graph.types);
    });
    const node = graph.nodes[at];
    if (node?.kind !== 'op') return graph;
    return moveTake(graph, by, node, at);
  },
};

function moveTake(graph: Graph, by: ReadonlyMap<ValueId, Node>, take: OpNode, at: number): Graph {
  const [source, rows] = take.inputs;
  const [result] = take.results;
  invariant(source !== undefined && rows !== undefined && result !== undefined, 'take');
  const f = present(by.get(source));
  invariant(f.kind === 'op', 'take of an op');
  const types = new Map(graph.types);
  let next = Math.max(...types.keys()) + 1;
  const define = (type: TensorType): ValueId => {
    types.set(next, type);
    return next++;
  };
  const rowSymbol = present(present(types.get(rows)).shape[0]);
  const added: Node[] = [];
  const inputs = f.inputs.map((v) => {
    const type = present(types.get(v));
    if (typeof type.shape[0] === 'number' || type.shape.length === 0) return v;
    const taken = define({ ...type, shape: [rowSymbol, ...type.shape.slice(1)] });
    const attrs: Attrs = {};
    added.push({ kind: 'op', op: 'take', inputs: [v, rows], attrs, results: [taken] });
    return taken;
  });
  const inferred = opOf(f.op).infer(
    inputs.map((v) => present(types.get(v))),
    f.attrs,
  );
  invariant(!isProblem(inferred), () => `${f.op} of picked rows`);
  const results = f.results.map((v, i) => (v === source ? result : define(present(inferred[i]))));
  added.push({ ...f, inputs, results });
  return {
    ...graph,
    types,
    nodes: [...graph.nodes.slice(0, at), ...added, ...graph.nodes.slice(at + 1)],
  };
}

/** Applied in this order until none changes the graph. */
export const rules: readonly Rule[] = [
  transposedProduct,
  nestedReshape,
  takeEarly,
  hoist,
  common,
  dead,
];
