/** Graph to plan: regions in order, buffers, weight layouts. */
import { constantDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import type { TensorType } from '../base/type.ts';
import {
  type ConstantNode,
  type Graph,
  type LoopNode,
  type Node,
  type OpNode,
  type StepNode,
  type ValueId,
  inputsOf,
} from '../3-graph/graph.ts';
import { factsOf, heldAs, isWeightForm, rowAxisOf, sizeOf, widthOf } from './classify.ts';
import { inParts, mostParts, partWidth, splitTokens } from './key-parts.ts';
import { loopNumbers, planWeights } from './layouts.ts';
import { canShare } from './sharing.ts';
import { type Piece, cutScope } from './scope.ts';
import type { Buffer, NodeFacts, Plan, PlanItem, Region } from './plan.ts';

/** Cuts `graph` into regions; every op node ends up in one region, or is recomputed where read. */
export function partition(graph: Graph): Plan {
  const typeOf = (v: ValueId): TensorType => present(graph.types.get(v), `type of %${v}`);
  const free = new Set<ValueId>();
  const stored = new Set<ValueId>();
  const leaves = new Map<ValueId, ConstantNode | StepNode>();
  const facts = new Map<Node, NodeFacts>();
  const producers = new Map<ValueId, NodeFacts>();
  collect(graph.nodes);

  const buffers = new Map<ValueId, Buffer>();
  const pieces: Piece[] = [];
  const numbers = loopNumbers(graph);
  let nextBuffer = 0;
  /** Values of the plan's own follow those of the graph. */
  let nextValue = Math.max(...graph.types.keys()) + 1;
  const [result] = graph.results;
  invariant(result !== undefined && graph.results.length === 1, 'a graph has one result');

  const items = planScope(graph.nodes, new Set(graph.results), undefined);
  return {
    name: graph.name,
    graph,
    items,
    buffers,
    weights: planWeights(graph, pieces, producers),
    producers,
    leaves,
    result,
  };

  function collect(nodes: readonly Node[]): void {
    for (const n of nodes) {
      switch (n.kind) {
        case 'loop':
          collect(n.body);
          break;
        case 'weight':
          free.add(n.result);
          stored.add(n.result);
          break;
        case 'step':
        case 'constant':
          free.add(n.result);
          leaves.set(n.result, n);
          break;
        case 'input':
          invariant(false, 'a program takes the arrays of a step alone');
          break;
        case 'op':
          collectOp(n);
      }
    }
  }

  function collectOp(n: OpNode): void {
    const f = factsOf(graph, n, (v) => stored.has(v));
    facts.set(n, f);
    n.results.forEach((v) => producers.set(v, f));
    const [first] = n.inputs;
    if (first !== undefined && stored.has(first) && isWeightForm(f)) {
      for (const v of n.results) {
        free.add(v);
        stored.add(v);
      }
    }
  }

  function bufferFor(v: ValueId): Buffer {
    const had = buffers.get(v);
    if (had) return had;
    const type = typeOf(v);
    const buffer: Buffer = {
      id: nextBuffer++,
      name: `b${nextBuffer - 1}`,
      rows: rowAxisOf(type) ?? 't',
      width: widthOf(type),
      dtype: heldAs(type.dtype),
    };
    buffers.set(v, buffer);
    return buffer;
  }

  function planScope(
    nodes: readonly Node[],
    results: ReadonlySet<ValueId>,
    loop: LoopNode | undefined,
  ): PlanItem[] {
    const captured = nodes.flatMap((n) => (n.kind === 'loop' ? inputsOf(n) : []));
    const demanded = new Set([...results, ...captured.filter((v) => !free.has(v))]);
    const cut = cutScope({ nodes, demanded, facts, typeOf, free: (v) => free.has(v) });
    pieces.push(...cut);
    for (const p of cut) for (const v of storesOf(p)) bufferFor(v);
    const tail = loop ? shareCarried(loop, nodes, cut) : [];
    return [...cut.flatMap((p) => itemsOf(p, nodes)), ...tail];
  }

  function itemsOf(p: Piece, nodes: readonly Node[]): PlanItem[] {
    if (p.kind === 'attend') return attention(p.facts);
    if (p.kind !== 'loop') return [{ kind: 'region', region: regionOf(p) }];
    const before = p.node.carried.flatMap((c) => enterLoop(c.initial, c.param, nodes, p.node));
    for (const c of p.node.carried) buffers.set(c.result, bufferFor(c.param));
    const loop = present(numbers.get(p.node), 'number of a loop');
    const next = new Set(p.node.carried.map((c) => c.next));
    const items = planScope(p.node.body, next, p.node);
    return [...before, { kind: 'loop', loop, count: p.node.count, items }];
  }

  /** A loop's value starts in the buffer of its initial value if nothing else reads that. */
  function enterLoop(
    initial: ValueId,
    param: ValueId,
    nodes: readonly Node[],
    loop: LoopNode,
  ): PlanItem[] {
    const readers = nodes.flatMap((n) => inputsOf(n).filter((v) => v === initial));
    const inBody = inputsOf({ ...loop, carried: [] }).includes(initial);
    const own = graph.results.includes(initial) || inBody || readers.length > 1;
    if (!own && buffers.has(initial)) {
      buffers.set(param, bufferFor(initial));
      return [];
    }
    bufferFor(param);
    return [copy(initial, param)];
  }

  /** Lets `next` be written over `param` where no reader of `param` comes later; copies elsewhere. */
  function shareCarried(loop: LoopNode, nodes: readonly Node[], cut: readonly Piece[]): PlanItem[] {
    const copies: PlanItem[] = [];
    const taken = new Set<ValueId>();
    for (const c of loop.carried) {
      if (!taken.has(c.next) && canShare(c, nodes, cut, producers)) {
        buffers.set(c.next, bufferFor(c.param));
      } else if (c.next !== c.param) {
        copies.push(copy(c.next, c.param));
      }
      taken.add(c.next);
    }
    return copies;
  }

  function copy(from: ValueId, to: ValueId): PlanItem {
    const axis = rowAxisOf(typeOf(to)) ?? 't';
    return {
      kind: 'region',
      region: { kind: 'copy', name: 'copy', axis, from, to, reads: [from], writes: [to] },
    };
  }

  /** Attention, and the kernel that combines parts of keys where threads share a token's. */
  function attention(facts: NodeFacts): PlanItem[] {
    const { node, axis, lowered } = facts;
    invariant(lowered.kind === 'attend', 'an attention');
    const piece: Piece = { kind: 'attend', facts, members: [] };
    const { results } = node;
    const reads = readsOf(piece, new Set(results));
    const base = { name: node.op, axis, facts, reads, writes: results };
    if (!inParts(lowered)) return [{ kind: 'region', region: { ...base, kind: 'attend' } }];
    const [, heads, width] = typeOf(present(results[0])).shape;
    const parts = nextValue++;
    buffers.set(parts, {
      id: nextBuffer++,
      name: `b${nextBuffer - 1}`,
      rows: splitTokens,
      width: sizeOf(present(heads)) * mostParts * partWidth(sizeOf(present(width))),
      dtype: 'f32',
    });
    const merge = { ...base, name: 'merge', reads: [parts] };
    return [
      {
        kind: 'region',
        region: { ...base, kind: 'attend', parts, writes: [...results, parts] },
      },
      { kind: 'region', region: { ...merge, kind: 'merge', parts } },
    ];
  }

  function regionOf(p: Extract<Piece, { kind: 'rows' | 'contract' }>): Region {
    const writes = [...storesOf(p), ...appendsOf(p).flatMap((f) => f.node.results)];
    const reads = readsOf(p, new Set(writes));
    switch (p.kind) {
      case 'rows': {
        const { axis, stores, appends } = p;
        const ops = [...stores, ...appends.flatMap((a) => a.node.results)];
        const name = [...new Set(ops.map((v) => present(producers.get(v)).node.op))].join('+');
        return { kind: 'rows', name, axis, stores, appends, reads, writes };
      }
      case 'contract': {
        const anchors = p.groups.flatMap((g) => g.anchors);
        const name = anchors.map((a) => weightName(a)).join('+');
        return { kind: 'contract', name, axis: p.axis, groups: p.groups, reads, writes };
      }
    }
  }

  function weightName(anchor: NodeFacts): string {
    const v = present(anchor.node.inputs[present(anchor.contraction).weight]);
    const name = present(weightNames().get(v), `weight %${v}`);
    return name.split('.').at(-1) ?? name;
  }

  function weightNames(): Map<ValueId, string> {
    const names = new Map<ValueId, string>();
    const visit = (nodes: readonly Node[]): void =>
      nodes.forEach((n) => {
        if (n.kind === 'weight') names.set(n.result, n.name);
        if (n.kind === 'loop') visit(n.body);
        const [first] = n.kind === 'op' ? n.inputs : [];
        const name = first === undefined ? undefined : names.get(first);
        if (n.kind === 'op' && name !== undefined) n.results.forEach((v) => names.set(v, name));
      });
    visit(graph.nodes);
    return names;
  }

  /** Memory values that a region reads, its own excluded, through work that it recomputes. */
  function readsOf(p: Piece, own: ReadonlySet<ValueId>): ValueId[] {
    const found = new Set<ValueId>();
    const inside = new Set<ValueId>();
    const starts: NodeFacts[] =
      p.kind === 'contract'
        ? p.groups.flatMap((g) => [...g.anchors, ...g.epilogue])
        : p.kind === 'rows'
          ? [...p.stores.map((v) => present(producers.get(v))), ...p.appends]
          : p.kind === 'attend'
            ? [p.facts]
            : [];
    starts.forEach((f) => f.node.results.forEach((v) => inside.add(v)));
    const seen = new Set<NodeFacts>();
    const visit = (f: NodeFacts): void => {
      if (seen.has(f)) return;
      seen.add(f);
      for (const v of f.node.inputs) {
        if (free.has(v) || own.has(v) || inside.has(v)) continue;
        if (buffers.has(v) || isCache(v)) found.add(v);
        else visit(present(producers.get(v), `producer of %${v}`));
      }
    };
    starts.forEach(visit);
    return [...found];
  }

  function isCache(v: ValueId): boolean {
    return producers.get(v)?.lowered.kind === 'append';
  }

  function storesOf(p: Piece): readonly ValueId[] {
    switch (p.kind) {
      case 'contract':
        return p.groups.flatMap((g) => g.stores);
      case 'rows':
        return p.stores;
      case 'attend':
        return p.facts.node.results;
      case 'loop':
        return [];
    }
  }

  function appendsOf(p: Piece): readonly NodeFacts[] {
    switch (p.kind) {
      case 'contract':
        return p.groups.flatMap((g) => g.epilogue).filter((f) => f.lowered.kind === 'append');
      case 'rows':
        return p.appends;
      case 'attend':
      case 'loop':
        return [];
    }
  }
}

/** True for a type that has a row per token or wanted row and numbers elsewhere. */
export const isRowType = (t: TensorType): boolean =>
  rowAxisOf(t) !== undefined && t.shape.slice(1).every((d) => constantDim(d) !== undefined);
