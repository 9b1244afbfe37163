/** What a node does, read off its op's lowering: the structure decides, never the name. */
import { constantDim, showDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import type { DType, TensorType } from '../base/type.ts';
import { opOf } from '../ops/index.ts';
import type { Loops } from '../ops/op.ts';
import { type Expr, type ExprOf, variable } from '../scalar/expr.ts';
import { sum } from '../scalar/monoid.ts';
import type { Graph, OpNode, ValueId } from '../3-graph/graph.ts';
import type { Contraction, NodeFacts, RowAxis } from './plan.ts';

/** Names of the index variables that bodies are probed with. */
export const probe = (axis: number): string => `i${axis}`;
export const probeK = 'k';

export const probed = (loops: Loops, piece = 0): Expr =>
  present(loops.pieces[piece], 'piece').body(
    loops.over.map((_, axis) => variable(probe(axis))),
    variable(probeK),
  );

export const isVar = (e: Expr | undefined, name: string): boolean =>
  e !== undefined && e.op === 'var' && e.name === name;

/** The element type of a value outside of weights and caches: numbers of 16 bits are held in 32. */
export const heldAs = (dtype: DType): DType =>
  dtype === 'f16' || dtype === 'bf16' ? 'f32' : dtype;

export const rowAxisOf = (type: TensorType): RowAxis | undefined => {
  const first = type.shape[0];
  if (first === undefined || constantDim(first) !== undefined) return undefined;
  const name = showDim(first);
  return name === 't' || name === 'r' ? name : undefined;
};

/** Elements of a row: the product of all axes but the step's own. */
export function widthOf(type: TensorType): number {
  const sizes = type.shape.slice(rowAxisOf(type) === undefined ? 0 : 1).map(sizeOf);
  return sizes.reduce((a, b) => a * b, 1);
}

export function sizeOf(d: TensorType['shape'][number]): number {
  const size = constantDim(d);
  invariant(size !== undefined, () => `the dimension ${showDim(d)} is not a number`);
  return size;
}

/** A value that is a weight in another form: widened, or kept in a scheme. */
export const isWeightForm = (facts: NodeFacts): boolean =>
  facts.lowered.kind === 'quantise' || isIdentity(facts);

/** A value that is operand 0 unchanged, such as a widened weight. */
function isIdentity(facts: NodeFacts): boolean {
  if (facts.lowered.kind !== 'loops') return false;
  const [loops] = facts.lowered.results;
  if (!loops || loops.reduce || loops.pieces.length !== 1) return false;
  const body = probed(loops);
  return body.op === 'at' && body.operand === 0 && body.index.every((e, i) => isVar(e, probe(i)));
}

export function factsOf(graph: Graph, node: OpNode, isWeight: (v: ValueId) => boolean): NodeFacts {
  const types = (ids: readonly ValueId[]): TensorType[] =>
    ids.map((id) => present(graph.types.get(id), `type of %${id}`));
  const inputs = types(node.inputs);
  const outputs = types(node.results);
  const lowered = opOf(node.op).lower(inputs, outputs, node.attrs);
  const axis = outputs.map(rowAxisOf).find((a) => a) ?? inputs.map(rowAxisOf).find((a) => a) ?? 't';
  const facts: NodeFacts = { node, lowered, axis };
  const contraction =
    lowered.kind === 'loops' && lowered.results.length === 1
      ? contractionOf(present(lowered.results[0]), (operand) =>
          isWeight(present(node.inputs[operand], 'operand')),
        )
      : undefined;
  return contraction ? { ...facts, contraction } : facts;
}

function contractionOf(
  loops: Loops,
  isWeight: (operand: number) => boolean,
): Contraction | undefined {
  if (loops.reduce?.monoid !== sum || loops.pieces.length !== 1) return undefined;
  const rank = loops.over.length;
  if (rank !== 2 && rank !== 3) return undefined;
  const body = probed(loops);
  if (body.op !== 'mul' || body.a.op !== 'at' || body.b.op !== 'at') return undefined;
  const weightFirst = isWeight(body.a.operand);
  if (weightFirst === isWeight(body.b.operand)) return undefined;
  const [x, w] = weightFirst ? [body.b, body.a] : [body.a, body.b];
  const last = rank - 1;
  if (!isVar(w.index.at(-1), probeK) || !isVar(w.index.at(-2), probe(last))) return undefined;
  const ids = expertIndex(w, rank);
  if (ids === 'other') return undefined;
  if (!isVar(x.index[0], probe(0)) || !isVar(x.index.at(-1), probeK)) return undefined;
  const xSlots = x.index.length === 3;
  if (xSlots && !(rank === 3 && isVar(x.index[1], probe(1)))) return undefined;
  if (x.index.length > 3) return undefined;
  return {
    x: x.operand,
    weight: w.operand,
    ...(ids === undefined ? {} : { ids }),
    ...(rank === 3 ? { slots: sizeOf(present(loops.over[1])) } : {}),
    xSlots,
    n: sizeOf(present(loops.over[last])),
    k: sizeOf(loops.reduce.extent),
  };
}

/** The operand that picks the matrix of a stack, if one does. */
function expertIndex(w: ExprOf<'at'>, rank: number): number | undefined | 'other' {
  if (w.index.length === 2) return undefined;
  const [pick] = w.index;
  if (w.index.length !== 3 || rank !== 3 || !pick || pick.op !== 'at') return 'other';
  const plain =
    pick.index.length === 2 && isVar(pick.index[0], probe(0)) && isVar(pick.index[1], probe(1));
  return plain ? pick.operand : 'other';
}
