/** How each weight lies in a bundle, decided by what reads it. */
import { present } from '../base/invariant.ts';
import { type QuantScheme, readScheme } from '../base/scheme.ts';
import { type WeightLayout, bandRows } from '../5-kernel/layout.ts';
import type { Graph, LoopNode, Node, ValueId, WeightNode } from '../3-graph/graph.ts';
import { isWeightForm, sizeOf } from './classify.ts';
import type { NodeFacts, PlannedWeight } from './plan.ts';
import type { Piece } from './scope.ts';

export function planWeights(
  graph: Graph,
  pieces: readonly Piece[],
  producers: ReadonlyMap<ValueId, NodeFacts>,
): ReadonlyMap<ValueId, PlannedWeight> {
  const units = unitsOf(pieces);
  const out = new Map<ValueId, PlannedWeight>();
  const numbers = loopNumbers(graph);
  let ids = 0;
  visit(graph.nodes, undefined);
  return out;

  function visit(nodes: readonly Node[], loop: number | undefined): void {
    for (const n of nodes) {
      if (n.kind === 'loop') visit(n.body, numbers.get(n));
      if (n.kind === 'weight') plan(n, loop);
    }
  }

  function plan(n: WeightNode, loop: number | undefined): void {
    const type = present(graph.types.get(n.result));
    const values = aliases(n.result, producers);
    const unit = values.map((v) => units.get(v)).find((u) => u !== undefined);
    const scheme = schemeOf(n, values, producers);
    const weight: PlannedWeight = {
      id: ids++,
      name: n.name,
      source: n.source,
      dtype: scheme ? 'f32' : type.dtype,
      shape: type.shape.map(sizeOf),
      layout: scheme
        ? { kind: 'blocks', unit: unit ?? bandRows, scheme }
        : layoutOf(unit, type.shape.length),
      loop,
    };
    values.forEach((v) => out.set(v, weight));
  }
}

const layoutOf = (unit: number | undefined, rank: number): WeightLayout =>
  unit !== undefined ? { kind: 'tiles', unit } : rank <= 1 ? { kind: 'wide' } : { kind: 'plain' };

/** The value of a stored weight and the other forms of it. */
function aliases(weight: ValueId, producers: ReadonlyMap<ValueId, NodeFacts>): ValueId[] {
  const forms = [...producers.values()].filter(
    (f) => f.node.inputs.length === 1 && f.node.inputs[0] === weight && isWeightForm(f),
  );
  return [weight, ...forms.flatMap((f) => f.node.results).flatMap((v) => aliases(v, producers))];
}

/** What a weight is kept in: as a sheet says of it, or as its checkpoint has it. */
function schemeOf(
  n: WeightNode,
  values: readonly ValueId[],
  producers: ReadonlyMap<ValueId, NodeFacts>,
): QuantScheme | undefined {
  const lowered = values.map((v) => producers.get(v)?.lowered);
  const said = lowered.find((l) => l?.kind === 'quantise');
  if (said?.kind === 'quantise') return said.scheme;
  return n.scheme === undefined ? undefined : readScheme(n.scheme);
}

/** Units in which contractions read a weight. */
function unitsOf(pieces: readonly Piece[]): ReadonlyMap<ValueId, number> {
  const units = new Map<ValueId, number>();
  for (const p of pieces) {
    if (p.kind !== 'contract') continue;
    for (const g of p.groups) {
      for (const a of g.anchors) {
        const v = present(a.node.inputs[present(a.contraction).weight]);
        units.set(v, g.unit);
      }
    }
  }
  return units;
}

/** Loops of a graph, numbered in the order of their text. */
export function loopNumbers(graph: Graph): ReadonlyMap<LoopNode, number> {
  const numbers = new Map<LoopNode, number>();
  const visit = (nodes: readonly Node[]): void =>
    nodes.forEach((n) => {
      if (n.kind !== 'loop') return;
      numbers.set(n, numbers.size);
      visit(n.body);
    });
  visit(graph.nodes);
  return numbers;
}
