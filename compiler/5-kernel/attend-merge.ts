/** Parts of a token's keys: which there are, how they are combined, and the kernel that does it. */
import { invariant, present } from '../base/invariant.ts';
import type { Lowered } from '../ops/op.ts';
import {
  type Expr, add, arithmetic, bits, cast, compare, div, int, load, max, mul, num, rem, select, sub,
  unary, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import type { ScalarFn } from '../scalar/expr.ts';
import { blockKeys, mostParts, partWidth, splitTokens } from '../4-partition/key-parts.ts';
import type { NodeFacts, Region } from '../4-partition/plan.ts';
import type { Builder } from './builder.ts';
import type { LowerContext } from './context.ts';
import { columnsOf } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { indexExpr, loopIndex } from './linear.ts';
import { maskReach, seesItself } from './mask.ts';
import { pairValue } from './pairs.ts';
import { loop, named, store, when } from './statements.ts';

type Attend = Extract<Lowered, { kind: 'attend' }>;

/** A token's blocks of keys from `first` to before `end`; a part is 2^shift of them. */
export interface KeySpan {
  readonly stmts: readonly Stmt[];
  readonly first: Expr;
  readonly end: Expr;
  readonly shift: Expr;
}

/** The span of a token that sees so many entries, in as many parts as there may be at most. */
export function keySpan(b: Builder, mask: ScalarFn, length: Expr): KeySpan {
  const reach = maskReach(mask);
  const from =
    reach === undefined ? int(0) : max(int(0), sub(length, int(Math.min(reach, 2 ** 30))));
  const first = named(b.fresh('first'), div(from, int(blockKeys)));
  const end = named(b.fresh('end'), div(add(length, int(blockKeys - 1)), int(blockKeys)));
  const each = div(add(sub(end.ref, first.ref), int(mostParts - 2)), int(mostParts - 1));
  // The exponent of the next power of two: what a mantissa has rounds it up.
  const word = bits(cast(max(int(1), each), 'f32'), 'i32');
  const exponent = arithmetic('shr', add(word, int(0x7fffff)), int(23));
  const shift = named(b.fresh('shift'), sub(exponent, int(127)));
  return {
    stmts: [first.stmt, end.stmt, shift.stmt],
    first: first.ref,
    end: end.ref,
    shift: shift.ref,
  };
}

export const firstPart = (s: KeySpan): Expr => arithmetic('shr', s.first, s.shift);
export const endPart = (s: KeySpan): Expr =>
  add(arithmetic('shr', sub(s.end, int(1)), s.shift), int(1));

/** Whether parts of one token go to several threads: where tokens and key heads alone are too few. */
export function threadsShareTokens(kvHeads: number): Expr {
  const [t, threads] = [variable('t'), variable('threads')];
  const few = compare('lt', mul(t, int(kvHeads)), mul(threads, int(4)));
  const fit = compare('le', t, int(splitTokens));
  return arithmetic('and', compare('gt', threads, int(1)), arithmetic('and', fit, few));
}

/** Where a part begins among those that threads leave for each other. */
export const partAt = (item: Expr, part: Expr, valueWidth: number): Expr =>
  mul(add(mul(item, int(mostParts)), part), int(partWidth(valueWidth)));

/** A state of the reduction in memory; `o` begins at an element of its tile. */
export interface Softmax {
  readonly m: { readonly tile: string; readonly index: Expr };
  readonly l: { readonly tile: string; readonly index: Expr };
  readonly o: { readonly tile: string; readonly index: Expr };
  readonly width: number;
}

const read = ({ tile, index }: Softmax['m']): Expr => load(tile, index);

/** What is there before any key: nothing, or the sink's score with its weight of one. */
export function begin(b: Builder, into: Softmax, sink: Expr | undefined): Stmt[] {
  return [
    store(into.m.tile, into.m.index, sink ?? num(-Infinity)),
    store(into.l.tile, into.l.index, num(sink ? 1 : 0)),
    ...b.loops.store(b, [{ hint: 'i', extent: into.width }], ([i]) => ({
      tile: into.o.tile,
      index: add(into.o.index, indexExpr(present(i))),
      value: num(0),
    })),
  ];
}

/** Combines a part into the state; one that has seen nothing leaves it alone. */
export function combine(
  b: Builder,
  { monoid }: Attend,
  into: Softmax,
  part: { readonly m: Expr; readonly l: Expr; readonly o: Softmax['o'] },
): Stmt[] {
  const [m, l] = [named(b.fresh('m'), read(into.m)), named(b.fresh('l'), read(into.l))];
  const [pm, pl] = [named(b.fresh('part_m'), part.m), named(b.fresh('part_l'), part.l)];
  const merged = (o: Expr, po: Expr): readonly Expr[] =>
    monoid.combine([m.ref, l.ref, o], [pm.ref, pl.ref, po]);
  const [nextM, nextL] = merged(num(0), num(0));
  return [
    pm.stmt,
    when(compare('gt', pm.ref, num(-Infinity)), [
      pl.stmt,
      m.stmt,
      l.stmt,
      ...b.loops.store(b, [{ hint: 'i', extent: into.width }], ([i]) => {
        const at = indexExpr(present(i));
        const own = load(into.o.tile, add(into.o.index, at));
        const other = load(part.o.tile, add(part.o.index, at));
        const value = present(merged(own, other)[2]);
        return { tile: into.o.tile, index: add(into.o.index, at), value };
      }),
      store(into.l.tile, into.l.index, present(nextL)),
      store(into.m.tile, into.m.index, present(nextM)),
    ]),
  ];
}

/** The attention's result from the state, from an element of a tile on. */
export function finish(b: Builder, lowered: Attend, from: Softmax, out: Softmax['o']): Stmt[] {
  const l = read(from.l);
  const over = lowered.normalise ? div(num(1), l) : unary('exp', read(from.m));
  // A token that sees nothing attends to nothing.
  const seen = seesItself(lowered.mask) ? over : select(compare('gt', l, num(0)), over, num(0));
  const inverse = named(b.fresh('inverse'), seen);
  return [
    inverse.stmt,
    ...b.loops.store(b, [{ hint: 'i', extent: from.width }], ([i]) => {
      const at = indexExpr(present(i));
      const value = mul(load(from.o.tile, add(from.o.index, at)), inverse.ref);
      return { tile: out.tile, index: add(out.index, at), value };
    }),
  ];
}

/** The score that takes part without a value, for a token's row and a head. */
export function sinkOf(
  ctx: Pick<LowerContext, 'plan' | 'builder'>,
  facts: NodeFacts,
  { sink }: Attend,
  row: {
    readonly token: string;
    readonly position: Expr;
    readonly head: Expr;
    readonly heads: number;
    readonly inLanes?: boolean;
  },
): { readonly stmts: readonly Stmt[]; readonly value: Expr | undefined } {
  if (!sink) return { stmts: [], value: undefined };
  const { plan, builder } = ctx;
  const before: Stmt[] = [];
  const frame = { plan, builder, row: loopIndex(row.token, Infinity), locals: new Map() };
  const scope = {
    facts,
    frame,
    i: row.position,
    h: row.head,
    heads: row.heads,
    before,
    held: new Map(),
    inLanes: row.inLanes ?? true,
  };
  const { stmts, value } = pairValue(ctx, scope, sink, ['h', 'i']);
  return { stmts: [...before, ...stmts], value };
}

/** Combines what several threads have left of each token and head, in the order of the keys. */
export function lowerMerge(ctx: LowerContext, region: Extract<Region, { kind: 'merge' }>): Stmt[] {
  const { plan, builder: b } = ctx;
  const { node, lowered } = region.facts;
  invariant(lowered.kind === 'attend', 'parts of an attention');
  const [heads = 1, width = 1] = columnsOf(plan, present(node.results[0]));
  const [, kvHeads = 1] = present(plan.graph.types.get(present(node.inputs[1]))).shape.map(Number);
  const buffer = (v: number, hint: string): string => {
    const { id } = present(plan.buffers.get(v), hint);
    return b.param({ kind: 'buffer', buffer: id }, 'f32', hint);
  };
  const parts = buffer(region.parts, 'parts');
  const out = buffer(present(node.results[0]), 'out');
  const step = (field: 'position' | 'length'): string =>
    b.param({ kind: 'step', field }, 'i32', field);
  const item = b.fresh('item');
  const tokenName = b.fresh('token');
  const token = named(tokenName, div(variable(item), int(heads)));
  const head = named(b.fresh('head'), rem(variable(item), int(heads)));
  const position = named(b.fresh('i'), load(step('position'), token.ref, 'i32'));
  const length = named(b.fresh('length'), load(step('length'), token.ref, 'i32'));
  const span = keySpan(b, lowered.mask, length.ref);
  const total = b.scratch('total', partWidth(width));
  const state: Softmax = {
    o: { tile: total, index: int(0) },
    m: { tile: total, index: int(width) },
    l: { tile: total, index: int(width + 1) },
    width,
  };
  const sink = sinkOf(ctx, region.facts, lowered, {
    token: tokenName,
    position: position.ref,
    head: head.ref,
    heads,
  });
  const part = b.fresh('part');
  const at = named(b.fresh('at'), partAt(variable(item), variable(part), width));
  const body = [
    token.stmt,
    head.stmt,
    position.stmt,
    length.stmt,
    ...span.stmts,
    ...sink.stmts,
    ...begin(b, state, sink.value),
    loop(part, 0, sub(endPart(span), firstPart(span)), [
      at.stmt,
      ...combine(b, lowered, state, {
        m: load(parts, add(at.ref, int(width))),
        l: load(parts, add(at.ref, int(width + 1))),
        o: { tile: parts, index: at.ref },
      }),
    ]),
    ...finish(b, lowered, state, { tile: out, index: mul(variable(item), int(width)) }),
  ];
  const items = mul(variable('t'), int(heads));
  return [when(threadsShareTokens(kvHeads), [loop(item, 0, items, body, 'thread')])];
}
