/**
 * Where values are while a row is worked on: in memory, in the thread's scratch, in a named scalar,
 * or nowhere yet, in which case they are computed where they are read.
 */
import { constantDim } from '../base/dim.ts';
import { invariant, present } from '../base/invariant.ts';
import { type DType, type TensorType, bytesOf } from '../base/type.ts';
import type { Loops } from '../ops/op.ts';
import type { ValueId } from '../3-graph/graph.ts';
import { rowAxisOf, sizeOf } from '../4-partition/classify.ts';
import type { NodeFacts, Plan, PlannedWeight } from '../4-partition/plan.ts';
import {
  type Expr,
  type ScalarType,
  add,
  compare,
  int,
  load,
  num,
  select,
  variable,
} from '../scalar/expr.ts';
import { mapChildren } from '../scalar/walk.ts';
import { blockElement } from './block-element.ts';
import type { Builder } from './builder.ts';
import { scalarOf } from './kernel.ts';
import { bandRows, perStep, stepBytes, tileGeometry } from './layout.ts';
import { widen, widenHalf } from './numbers.ts';
import {
  type Linear,
  addIndex,
  constantIndex,
  divideIndex,
  dynamicDivide,
  flatten,
  indexExpr,
  isZero,
  opaqueIndex,
  scaleIndex,
  unflatten,
} from './linear.ts';

/** A value that the kernel holds itself. */
export type Local =
  | { readonly kind: 'named'; readonly ref: Expr }
  | {
      readonly kind: 'tile';
      readonly tile: string;
      readonly dtype: ScalarType;
      /** Element of the tile for an index of the value (axis 0, the row, included). */
      place(index: readonly Linear[]): Linear;
    };

export interface Frame {
  readonly plan: Plan;
  readonly builder: Builder;
  /** The row being worked on, among the step's tokens or wanted rows. */
  readonly row: Linear;
  readonly locals: Map<ValueId, Local>;
}

export const typeOf = (plan: Plan, v: ValueId): TensorType =>
  present(plan.graph.types.get(v), `type of %${v}`);

/** Sizes of a value's axes after the row axis. */
export function columnsOf(plan: Plan, v: ValueId): number[] {
  const type = typeOf(plan, v);
  return type.shape.slice(rowAxisOf(type) === undefined ? 0 : 1).map(sizeOf);
}

export const productOf = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

/** The element of value `v` at `index`, one component per axis, the row first where it has rows. */
export function element(frame: Frame, v: ValueId, index: readonly Linear[]): Expr {
  const local = frame.locals.get(v);
  if (local?.kind === 'named') return local.ref;
  if (local) return load(local.tile, indexExpr(local.place(index)), local.dtype);
  const { plan } = frame;
  const buffer = plan.buffers.get(v);
  if (buffer) {
    const tile = frame.builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
    // What has no rows lies in memory once for each of them.
    const rows = rowAxisOf(typeOf(plan, v)) !== undefined;
    const offset = flatten(rows ? index.slice(1) : index, columnsOf(plan, v));
    const own = rows ? present(index[0], 'row index') : frame.row;
    const row = scaleIndex(own, buffer.width);
    return load(tile, indexExpr(addIndex(row, offset)), scalarOf(buffer.dtype));
  }
  const weight = plan.weights.get(v);
  if (weight) return weightElement(frame, weight, index);
  const facts = plan.producers.get(v);
  if (facts) return computed(frame, facts, v, index);
  return leaf(frame, v, index);
}

/** Step arrays and constants. */
function leaf(frame: Frame, v: ValueId, index: readonly Linear[]): Expr {
  const node = frame.plan.leaves.get(v);
  invariant(node !== undefined, () => `%${v} is not in memory and has no producer`);
  if (node.kind === 'constant') return num(node.value);
  const tile = frame.builder.param({ kind: 'step', field: node.field }, 'i32', node.field);
  return load(tile, indexExpr(present(index[0], 'row index')), 'i32');
}

/** An element computed on the spot from its node's operands. */
function computed(frame: Frame, facts: NodeFacts, v: ValueId, index: readonly Linear[]): Expr {
  const { lowered, node } = facts;
  switch (lowered.kind) {
    case 'view': {
      const source = present(node.inputs[0]);
      return element(frame, source, viewIndex(frame.plan, v, source, index));
    }
    case 'loops': {
      const loops = present(lowered.results[node.results.indexOf(v)], 'result');
      invariant(!loops.reduce, () => `%${v} is reduced and must be held`);
      return bodyAt(frame, facts, loops, index, constantIndex(0));
    }
    case 'append':
    case 'attend':
    case 'top':
    case 'quantise':
    case 'interpreted':
      invariant(false, () => `%${v} must be held`);
  }
}

/** Index into the operand of a view: the same row, the same offset in it. */
function viewIndex(
  plan: Plan,
  v: ValueId,
  source: ValueId,
  index: readonly Linear[],
): readonly Linear[] {
  const from = rowAxisOf(typeOf(plan, source));
  const offset = flatten(index.slice(1), columnsOf(plan, v));
  const columns = columnsOf(plan, source);
  const inner = columns.length === 0 ? [] : unflatten(offset, columns);
  return from === undefined ? inner : [present(index[0], 'row index'), ...inner];
}

/** The body of a loop nest at an index; ranges of the last axis become a choice. */
export function bodyAt(
  frame: Frame,
  facts: NodeFacts,
  loops: Loops,
  index: readonly Linear[],
  k: Linear,
): Expr {
  const last = present(loops.pieces.at(-1), 'piece');
  return loops.pieces.slice(0, -1).reduceRight<Expr>(
    (rest, piece) => {
      const until = int(sizeOf(piece.until));
      const inPiece = compare('lt', indexExpr(present(index.at(-1))), until);
      return select(inPiece, pieceAt(frame, facts, piece, index, k), rest);
    },
    pieceAt(frame, facts, last, index, k),
  );
}

export function pieceAt(
  frame: Frame,
  facts: NodeFacts,
  piece: Loops['pieces'][number],
  index: readonly Linear[],
  k: Linear,
): Expr {
  const env = new Map<string, Linear>(index.map((x, axis) => [`$${axis}`, x]));
  env.set('$k', k);
  const body = piece.body(
    index.map((_, axis) => variable(`$${axis}`)),
    variable('$k'),
  );
  return resolve(frame, facts, body, env);
}

function resolve(frame: Frame, facts: NodeFacts, e: Expr, env: ReadonlyMap<string, Linear>): Expr {
  if (e.op === 'at') {
    const v = present(facts.node.inputs[e.operand], 'operand');
    return element(
      frame,
      v,
      e.index.map((x) => toLinear(frame, facts, x, env)),
    );
  }
  if (e.op === 'var') {
    const bound = env.get(e.name);
    return bound ? indexExpr(bound) : e;
  }
  return mapChildren(e, (x) => resolve(frame, facts, x, env));
}

function toLinear(
  frame: Frame,
  facts: NodeFacts,
  e: Expr,
  env: ReadonlyMap<string, Linear>,
): Linear {
  const go = (x: Expr): Linear => toLinear(frame, facts, x, env);
  switch (e.op) {
    case 'const':
      return constantIndex(e.value);
    case 'var':
      return env.get(e.name) ?? opaqueIndex(e.name, e);
    case 'add':
      return addIndex(go(e.a), go(e.b));
    case 'sub':
      return addIndex(go(e.a), scaleIndex(go(e.b), -1));
    case 'mul':
      if (e.b.op === 'const') return scaleIndex(go(e.a), e.b.value);
      if (e.a.op === 'const') return scaleIndex(go(e.b), e.a.value);
      break;
    case 'div':
    case 'rem':
      if (e.b.op === 'const') {
        const a = go(e.a);
        const parts = divideIndex(a, e.b.value) ?? dynamicDivide(a, e.b.value);
        return e.op === 'div' ? parts.quotient : parts.remainder;
      }
  }
  const value = resolve(frame, facts, e, env);
  return opaqueIndex(JSON.stringify(value), value);
}

/** One element of a weight, widened to f32, in whatever layout it lies. */
function weightElement(frame: Frame, w: PlannedWeight, index: readonly Linear[]): Expr {
  const hint = w.name.split('.').at(-1) ?? 'w';
  const binding = { kind: 'weight', weight: w.id } as const;
  const { layout } = w;
  switch (layout.kind) {
    case 'wide': {
      const tile = frame.builder.param(binding, 'f32', hint);
      return load(tile, indexExpr(flatten(index, w.shape)));
    }
    case 'plain': {
      const tile = frame.builder.param(binding, w.dtype, hint);
      return widen(load(tile, indexExpr(flatten(index, w.shape)), scalarOf(w.dtype)), w.dtype);
    }
    case 'tiles': {
      const tile = frame.builder.param(binding, tileWord(w.dtype), hint);
      return tiledElement(tile, w, layout.unit, index);
    }
    case 'blocks':
      return blockElement(frame.builder, w, index);
  }
}

/** Tiled weights are read as 32-bit words: f32 as such, narrower ones as packed pairs. */
export const tileWord = (dtype: DType): DType => (bytesOf[dtype] === 4 ? 'f32' : 'u32');

function tiledElement(
  tile: string,
  w: PlannedWeight,
  unit: number,
  index: readonly Linear[],
): Expr {
  const [n, k] = w.shape.slice(-2);
  invariant(n !== undefined && k !== undefined && w.shape.length === 2, 'a table has two axes');
  const g = tileGeometry(n, k, w.dtype, unit);
  const split = (a: Linear, by: number) => divideIndex(a, by) ?? dynamicDivide(a, by);
  const [row, column] = [present(index[0]), present(index[1])];
  const inUnit = split(row, unit);
  const band = split(inUnit.remainder, bandRows);
  const step = split(column, perStep(w.dtype));
  const words = bandRows * (stepBytes / 4);
  const word = [
    scaleIndex(inUnit.quotient, g.unitBytes / 4),
    scaleIndex(band.quotient, g.steps * words),
    scaleIndex(step.quotient, words),
    band.remainder,
  ].reduce(addIndex);
  const value = load(tile, indexExpr(word), scalarOf(tileWord(w.dtype)));
  if (perStep(w.dtype) === 1) return value;
  if (isZero(step.remainder)) return widenHalf(value, w.dtype, 'low');
  const odd = compare('ne', indexExpr(step.remainder), int(0));
  return select(odd, widenHalf(value, w.dtype, 'high'), widenHalf(value, w.dtype, 'low'));
}

/** Number of rows of the step that a value has one of each for, as a kernel scalar. */
export const rowCount = (axis: 't' | 'r'): Expr => variable(axis);

/** The base offset plus an index, as an instruction. */
export const offsetBy = (base: Expr, index: Linear): Expr => add(base, indexExpr(index));

export const isConcrete = (type: TensorType): boolean =>
  type.shape.slice(1).every((d) => constantDim(d) !== undefined);
