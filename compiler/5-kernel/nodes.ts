/** Statements that compute nodes of a row, or of a row's share of columns. */
import { invariant, present } from '../base/invariant.ts';
import type { Loops } from '../ops/op.ts';
import type { ValueId } from '../3-graph/graph.ts';
import { heldAs, rowAxisOf, sizeOf } from '../4-partition/classify.ts';
import type { NodeFacts } from '../4-partition/plan.ts';
import { type Expr, int, variable } from '../scalar/expr.ts';
import { children } from '../scalar/walk.ts';
import {
  type Frame,
  type Local,
  bodyAt,
  columnsOf,
  element,
  pieceAt,
  productOf,
  typeOf,
} from './frame.ts';
import { emitAppend } from './append.ts';
import { type Stmt, scalarOf } from './kernel.ts';
import { type Linear, addIndex, constantIndex, flatten, indexExpr, scaleIndex } from './linear.ts';
import type { LoopAxis, Target, TopRequest } from './loops.ts';
import { named } from './statements.ts';

/**
 * The part of a value's columns that is computed at a time: how to loop over it, and where its
 * elements go in the scratch that holds it.
 */
export interface Share {
  readonly axes: readonly LoopAxis[];
  /** Index per column axis of the value for an index per loop axis. */
  columns(index: readonly Linear[]): readonly Linear[];
  /** Elements of the share, and the place of a column index among them. */
  readonly size: number;
  place(columns: readonly Linear[]): Linear;
}

export interface NodeContext {
  readonly frame: Frame;
  /** Row that stores go to: the frame's, in the numbering of the whole step. */
  readonly share: (v: ValueId) => Share;
  readonly stores: ReadonlySet<ValueId>;
  /** Nodes that are computed here, to count uses. */
  readonly nodes: readonly NodeFacts[];
}

/** All columns of a value at once. */
export function wholeShare(frame: Frame, v: ValueId): Share {
  const sizes = columnsOf(frame.plan, v);
  return {
    axes: sizes.map((extent) => ({ hint: 'i', extent })),
    columns: (index) => index,
    size: productOf(sizes),
    place: (columns) => flatten(columns, sizes),
  };
}

export function emitNode(ctx: NodeContext, facts: NodeFacts): Stmt[] {
  const { lowered, node } = facts;
  switch (lowered.kind) {
    case 'attend':
      invariant(false, 'attention is a region of its own');
      break;
    case 'quantise':
      return []; // products and caches quantise what they are given themselves
    case 'interpreted':
      invariant(false, 'what only the interpreter has is in no program');
      break;
    case 'append':
      return emitAppend(ctx.frame, facts, ctx.share);
    case 'top':
      return emitTop(ctx, facts, lowered.count);
    case 'view':
      return node.results.filter((v) => ctx.stores.has(v)).flatMap((v) => emitCopy(ctx, v));
    case 'loops':
      return node.results.flatMap((v, i) => emitLoops(ctx, facts, v, present(lowered.results[i])));
  }
}

/** Column index with the row in front, as values are indexed. */
export const withRow = (frame: Frame, v: ValueId, columns: readonly Linear[]): readonly Linear[] =>
  rowAxisOf(typeOf(frame.plan, v)) === undefined ? columns : [frame.row, ...columns];

function emitLoops(ctx: NodeContext, facts: NodeFacts, v: ValueId, loops: Loops): Stmt[] {
  const share = ctx.share(v);
  const kept = ctx.stores.has(v);
  if (!kept && !loops.reduce && isInline(ctx, facts, v, loops, share)) return [];
  // What is too wide to be held is computed again by each of its readers, unless it is made of pieces,
  // each of which is there for its own columns alone.
  const whole = !loops.reduce && loops.pieces.length === 1;
  if (!kept && whole && !ctx.frame.builder.fits(4 * share.size)) return [];
  if (!kept && share.size === 1) return emitScalar(ctx, facts, v, loops, share);
  const target = kept ? storeTarget(ctx, v) : scratchTarget(ctx, v, share);
  const { builder } = ctx.frame;
  const stmts = loops.reduce
    ? reduceInto(ctx, facts, v, loops, share, target)
    : builder.loops.storePieces(builder, piecesOf(ctx, facts, v, loops, share, target));
  return [...stmts, ...settled(ctx, v)];
}

/** What is stored is there for nodes that read it here. */
const settled = (ctx: NodeContext, v: ValueId): readonly Stmt[] =>
  !ctx.stores.has(v) || ctx.nodes.some((n) => n.node.inputs.includes(v))
    ? ctx.frame.builder.loops.settle()
    : [];

function piecesOf(
  ctx: NodeContext,
  facts: NodeFacts,
  v: ValueId,
  loops: Loops,
  share: Share,
  target: Place,
): { readonly axes: readonly LoopAxis[]; at(index: readonly Linear[]): Target }[] {
  let from = 0;
  return loops.pieces.map((piece, p) => {
    const until = sizeOf(piece.until);
    const start = from;
    const axes = share.axes.map((a, i): LoopAxis => {
      if (loops.pieces.length === 1 || i !== share.axes.length - 1) return a;
      return { ...a, extent: until, from: start };
    });
    from = until;
    invariant(loops.pieces.length === 1 || !axes.at(-1)?.count, `piece ${p} of a partial unit`);
    return {
      axes,
      at(index): Target {
        const columns = share.columns(index);
        const at = withRow(ctx.frame, v, columns);
        return {
          ...target(columns),
          value: pieceAt(ctx.frame, facts, piece, at, constantIndex(0)),
        };
      },
    };
  });
}

/** A single value of the row gets a name. */
function emitScalar(
  ctx: NodeContext,
  facts: NodeFacts,
  v: ValueId,
  loops: Loops,
  share: Share,
): Stmt[] {
  const { frame } = ctx;
  const columns = share.columns(share.axes.map(() => constantIndex(0)));
  const index = withRow(frame, v, columns);
  const { stmts, result } = reduced(ctx, facts, loops, index);
  const { stmt, ref } = named(frame.builder.fresh(facts.node.op), result);
  frame.locals.set(v, { kind: 'named', ref });
  return [...stmts, stmt];
}

function reduced(
  ctx: NodeContext,
  facts: NodeFacts,
  loops: Loops,
  index: readonly Linear[],
): { readonly stmts: readonly Stmt[]; readonly result: Expr } {
  if (!loops.reduce) {
    return { stmts: [], result: bodyAt(ctx.frame, facts, loops, index, constantIndex(0)) };
  }
  const { monoid, extent } = loops.reduce;
  const { builder } = ctx.frame;
  return builder.loops.reduce(builder, monoid, sizeOf(extent), (k) =>
    bodyAt(ctx.frame, facts, loops, index, k),
  );
}

type Place = (columns: readonly Linear[]) => { readonly tile: string; readonly index: Expr };

function reduceInto(
  ctx: NodeContext,
  facts: NodeFacts,
  v: ValueId,
  loops: Loops,
  share: Share,
  target: Place,
): Stmt[] {
  const overColumns = sumOverEarlierAxis(ctx, facts, v, loops, share, target);
  if (overColumns) return overColumns;
  const { builder } = ctx.frame;
  const { monoid, extent } = present(loops.reduce);
  return builder.loops.reduceEach(builder, share.axes, (index) => {
    const columns = share.columns(index);
    const at = withRow(ctx.frame, v, columns);
    return {
      ...target(columns),
      monoid,
      extent: sizeOf(extent),
      body: (k) => bodyAt(ctx.frame, facts, loops, at, k),
    };
  });
}

/**
 * A reduction of one component whose result keeps the last axis (a sum over chosen experts): the
 * steps over k are written out in order, so that the last axis can run in lanes.
 */
function sumOverEarlierAxis(
  ctx: NodeContext,
  facts: NodeFacts,
  v: ValueId,
  loops: Loops,
  share: Share,
  target: Place,
): Stmt[] | undefined {
  const { monoid, extent } = present(loops.reduce);
  const last = share.axes.at(-1);
  if (monoid.state.length !== 1 || !last || last.extent < 4 || sizeOf(extent) > 64)
    return undefined;
  const { builder } = ctx.frame;
  return builder.loops.store(builder, share.axes, (index) => {
    const columns = share.columns(index);
    const at = (k: number): Expr =>
      bodyAt(ctx.frame, facts, loops, withRow(ctx.frame, v, columns), constantIndex(k));
    const ks = Array.from({ length: sizeOf(extent) }, (_, k) => k);
    const total = ks
      .slice(1)
      .reduce<Expr>((sum, k) => present(monoid.combine([sum], [at(k)])[0]), at(0));
    return { ...target(columns), value: monoid.finish([total]) };
  });
}

function storeTarget(ctx: NodeContext, v: ValueId): Place {
  const { frame } = ctx;
  const buffer = present(frame.plan.buffers.get(v), `buffer of %${v}`);
  const tile = frame.builder.param({ kind: 'buffer', buffer: buffer.id }, buffer.dtype, 'x');
  const sizes = columnsOf(frame.plan, v);
  return (columns) => ({
    tile,
    index: indexExpr(addIndex(scaleIndex(frame.row, buffer.width), flatten(columns, sizes))),
  });
}

function scratchTarget(ctx: NodeContext, v: ValueId, share: Share): Place {
  const { frame } = ctx;
  const dtype = heldAs(typeOf(frame.plan, v).dtype);
  const tile = frame.builder.scratch('s', share.size, dtype);
  const hasRow = rowAxisOf(typeOf(frame.plan, v)) !== undefined;
  const local: Local = {
    kind: 'tile',
    tile,
    dtype: scalarOf(dtype),
    place: (index) => share.place(hasRow ? index.slice(1) : index),
  };
  frame.locals.set(v, local);
  return (columns) => ({ tile, index: indexExpr(share.place(columns)) });
}

/** Left to its readers: cheap, or read once for each of its elements. */
function isInline(
  ctx: NodeContext,
  facts: NodeFacts,
  v: ValueId,
  loops: Loops,
  share: Share,
): boolean {
  if (loops.pieces.length > 1) return false;
  const body = present(loops.pieces[0]).body(
    loops.over.map((_, axis) => variable(`$${axis}`)),
    int(0),
  );
  if (body.op === 'at' || body.op === 'const') return true;
  if (share.size === 1) return false;
  if (!isCostly(body)) return true;
  const readers = ctx.nodes.filter((n) => n.node.inputs.includes(v));
  const [only] = readers;
  if (readers.length !== 1 || !only || only.node.inputs.filter((x) => x === v).length > 1)
    return false;
  // What appends to a state has as many entries as that has, and is no loop over these columns.
  return (
    only.lowered.kind === 'loops' &&
    only.lowered.results.every((l) => l.pieces.length === 1) &&
    only.node.results.every(
      (r) => productOf(columnsOf(ctx.frame.plan, r)) <= productOf(columnsOf(ctx.frame.plan, v)),
    )
  );
}

const costly = new Set(['div', 'exp', 'log', 'sin', 'cos', 'tanh', 'erf', 'sqrt']);
const isCostly = (e: Expr): boolean => costly.has(e.op) || children(e).some(isCostly);

function emitCopy(ctx: NodeContext, v: ValueId): Stmt[] {
  const share = ctx.share(v);
  const target = storeTarget(ctx, v);
  const { builder } = ctx.frame;
  const stmts = builder.loops.store(builder, share.axes, (index) => {
    const columns = share.columns(index);
    return { ...target(columns), value: sourceOf(ctx, v, columns) };
  });
  return [...stmts, ...settled(ctx, v)];
}

/** The element of a view, read from its operand: the view's own place is being written. */
function sourceOf(ctx: NodeContext, v: ValueId, columns: readonly Linear[]): Expr {
  const buffers = new Map(ctx.frame.plan.buffers);
  buffers.delete(v);
  const frame: Frame = { ...ctx.frame, plan: { ...ctx.frame.plan, buffers } };
  return element(frame, v, withRow(frame, v, columns));
}

/** The `count` largest along the last axis with their positions. */
function emitTop(ctx: NodeContext, facts: NodeFacts, count: number): Stmt[] {
  const { frame } = ctx;
  const { builder } = frame;
  const source = present(facts.node.inputs[0]);
  const sizes = columnsOf(frame.plan, source);
  const extent = present(sizes.at(-1), 'axis of top');
  const [values, ids] = facts.node.results;
  invariant(values !== undefined && ids !== undefined, 'top has two results');
  const places = [values, ids].map((v) =>
    ctx.stores.has(v) ? storeTarget(ctx, v) : scratchTarget(ctx, v, ctx.share(v)),
  );
  const request: TopRequest = {
    count,
    extent,
    outer: sizes.slice(0, -1).map((size): LoopAxis => ({ hint: 'g', extent: size })),
    source: (group, position) =>
      element(frame, source, withRow(frame, source, [...group, position])),
    value: (group, c) => present(places[0])([...group, c]),
    position: (group, c) => present(places[1])([...group, c]),
  };
  return [...builder.loops.top(builder, request), ...builder.loops.settle()];
}

/** Statements for all nodes, in order. */
export const emitNodes = (ctx: NodeContext): Stmt[] => ctx.nodes.flatMap((n) => emitNode(ctx, n));
