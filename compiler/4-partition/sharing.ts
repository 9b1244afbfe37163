/** Whether a loop's next value may be written over its current one. */
import { present } from '../base/invariant.ts';
import { type Carried, type Node, type ValueId, inputsOf } from '../3-graph/graph.ts';
import { isVar, probe, probed } from './classify.ts';
import type { NodeFacts } from './plan.ts';
import type { Piece } from './scope.ts';

/**
 * `next` may take the place of `param` if it is stored by a region of the body and every reader of
 * `param` is in an earlier region, or in that region's epilogue reading just the element it replaces.
 */
export function canShare(
  carried: Carried,
  nodes: readonly Node[],
  pieces: readonly Piece[],
  producers: ReadonlyMap<ValueId, NodeFacts>,
): boolean {
  const writer = pieces.findIndex((p) => storedBy(p, carried.next));
  if (writer < 0) return false;
  const readers = new Set<number>();
  nodes.forEach((n, i) => {
    if (inputsOf(n).includes(carried.param)) readers.add(i);
  });
  const own = present(pieces[writer]);
  for (const i of spread(readers, nodes, pieces)) {
    const at = pieces.findIndex((p) => p.members.includes(i));
    if (at > writer) return false;
    if (
      at === writer &&
      !(inEpilogue(own, i, nodes) && readsInPlace(i, nodes, carried, producers))
    ) {
      return false;
    }
  }
  return true;
}

const storedBy = (p: Piece, v: ValueId): boolean =>
  p.kind === 'contract' ? p.groups.some((g) => g.stores.includes(v)) : false;

/** Readers that belong to no region are recomputed in their users: those count instead. */
function spread(
  readers: ReadonlySet<number>,
  nodes: readonly Node[],
  pieces: readonly Piece[],
): Set<number> {
  const out = new Set<number>();
  const visit = (i: number): void => {
    if (out.has(i)) return;
    out.add(i);
    if (pieces.some((p) => p.members.includes(i))) return;
    const n = present(nodes[i]);
    const results = n.kind === 'op' ? n.results : [];
    nodes.forEach((u, j) => {
      if (inputsOf(u).some((v) => results.includes(v))) visit(j);
    });
  };
  readers.forEach(visit);
  return new Set([...out].filter((i) => pieces.some((p) => p.members.includes(i))));
}

function inEpilogue(p: Piece, i: number, nodes: readonly Node[]): boolean {
  return p.kind === 'contract' && p.groups.some((g) => g.epilogue.some((f) => f.node === nodes[i]));
}

function readsInPlace(
  i: number,
  nodes: readonly Node[],
  carried: Carried,
  producers: ReadonlyMap<ValueId, NodeFacts>,
): boolean {
  const n = present(nodes[i]);
  if (n.kind !== 'op' || !n.inputs.includes(carried.param)) return false;
  const facts = producers.get(present(n.results[0]));
  if (facts?.lowered.kind !== 'loops') return false;
  return facts.lowered.results.every((loops) => {
    if (loops.reduce || loops.pieces.length !== 1) return false;
    const body = probed(loops);
    const reads = 'a' in body && 'b' in body ? [body.a, body.b] : [];
    return reads.every(
      (e) =>
        e.op !== 'at' ||
        n.inputs[e.operand] !== carried.param ||
        e.index.every((x, axis) => isVar(x, probe(axis))),
    );
  });
}
