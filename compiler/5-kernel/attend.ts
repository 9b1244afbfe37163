/**
 * Attention over the paged cache, one token and query head at a time, in blocks of 16 entries: scores
 * of a block, mask and score expressions, then the online-softmax merge of the block into the running
 * state. Blocks are those of the entries' own numbering, so that neither chunks nor neighbours change
 * a result. Milakov and Gimelshein 2018; Dao et al. 2022, section 3.
 */
import { invariant, present } from '../base/invariant.ts';
import type { ScalarFn } from '../scalar/expr.ts';
import {
  type Expr,
  add,
  compare,
  div,
  fma,
  int,
  lane,
  load,
  max,
  min,
  mul,
  num,
  rem,
  select,
  splat,
  sub,
  unary,
  variable,
} from '../scalar/expr.ts';
import { mapChildren } from '../scalar/walk.ts';
import type { ValueId } from '../3-graph/graph.ts';
import type { Region } from '../4-partition/plan.ts';
import type { LowerContext } from './context.ts';
import { columnsOf, rowCount } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { maskReach } from './mask.ts';
import { loop, named, readRegister, registers, store, when } from './statements.ts';
import { reduceLanes, simdLanes } from './vectorize.ts';

/** Entries of a block: of the cache's pages and of the order of reduction. */
export const blockEntries = 16;

export function lowerAttend(
  ctx: LowerContext,
  region: Extract<Region, { kind: 'attend' }>,
): Stmt[] {
  const { plan, builder: b } = ctx;
  const { node, lowered } = region.facts;
  invariant(lowered.kind === 'attend', 'an attention region');
  const [q, k, v] = node.inputs;
  invariant(q !== undefined && k !== undefined && v !== undefined, 'q, k and v');
  const [heads = 1, width = 1] = columnsOf(plan, q);
  const keys = stateOf(ctx, k);
  const values = stateOf(ctx, v);
  const [kvHeads = 1, keyWidth = 1] = keys.row;
  const [, valueWidth = 1] = values.row;
  invariant(width === keyWidth, 'queries and keys of one size');
  const result = present(node.results[0]);
  const out = present(plan.buffers.get(result), 'result of attention in memory');
  const qBuffer = present(plan.buffers.get(q), 'queries in memory');
  const qTile = b.param({ kind: 'buffer', buffer: qBuffer.id }, 'f32', 'q');
  const outTile = b.param({ kind: 'buffer', buffer: out.id }, 'f32', 'out');
  const step = (field: 'position' | 'sequence' | 'length' | 'table' | 'keys'): string =>
    b.param({ kind: 'step', field }, 'i32', field);

  const item = b.fresh('item');
  const token = named(b.fresh('token'), div(variable(item), int(heads)));
  const head = named(b.fresh('head'), rem(variable(item), int(heads)));
  const group = named(b.fresh('group'), div(head.ref, int(heads / kvHeads)));
  const position = named(b.fresh('i'), load(step('position'), token.ref, 'i32'));
  const length = named(b.fresh('length'), load(step('length'), token.ref, 'i32'));
  const tableRow = named(
    b.fresh('table_row'),
    mul(load(step('sequence'), token.ref, 'i32'), variable('blocks')),
  );
  const qRow = named(
    b.fresh('q_row'),
    add(mul(token.ref, int(heads * width)), mul(head.ref, int(width))),
  );
  const reach = maskReach(lowered.mask);
  const firstEntry =
    reach === undefined ? int(0) : max(int(0), sub(length.ref, int(Math.min(reach, 2 ** 30))));
  const first = named(b.fresh('first'), div(firstEntry, int(blockEntries)));
  const end = named(b.fresh('end'), div(add(length.ref, int(blockEntries - 1)), int(blockEntries)));

  const scores = b.scratch('scores', blockEntries);
  const o = b.scratch('o', valueWidth);
  const state = b.fresh('state'); // m, l
  const m = readRegister(state, 0, 1);
  const l = readRegister(state, 1, 1);
  const block = b.fresh('block');
  const slot = named(
    b.fresh('slot'),
    mul(load(step('table'), add(tableRow.ref, variable(block)), 'i32'), int(blockEntries)),
  );
  const count = named(
    b.fresh('count'),
    min(int(blockEntries), sub(length.ref, mul(variable(block), int(blockEntries)))),
  );
  const j = b.fresh('j');
  const env = (wide: Expr): ReadonlyMap<string, Expr> =>
    new Map([
      ['s', wide],
      ['i', splat(position.ref, simdLanes)],
      ['j', load(step('keys'), add(slot.ref, variable(j)), 'i32', simdLanes)],
      ['h', splat(head.ref, simdLanes)],
    ]);
  const dots = fourDots(ctx, {
    q: qTile,
    qRow: qRow.ref,
    keys: keys.tile,
    entry: add(slot.ref, variable(j)),
    stride: kvHeads * keyWidth,
    start: mul(group.ref, int(keyWidth)),
    width,
  });
  const scaled = mul(dots.value, { ...num(lowered.scale), lanes: simdLanes });
  const scored = named(b.fresh('score'), apply(lowered.score, env(scaled), ['s', 'i', 'j', 'h']));
  const masked = select(apply(lowered.mask, env(scored.ref), ['i', 'j', 'h']), scored.ref, {
    ...num(-Infinity),
    lanes: simdLanes,
  });
  const fill = b.fresh('j');
  const quarters = [0, 4, 8, 12].map((at) => load(scores, int(at), 'f32', simdLanes));
  const maxima = named(b.fresh('maxima'), quarters.reduce(max));
  const blockMax = named(b.fresh('block_max'), reduceLanes(maxima.ref, max));
  const next = named(b.fresh('m'), max(m, blockMax.ref));
  const carry = named(b.fresh('carry'), unary('exp', sub(m, next.ref)));
  const e = b.fresh('e');
  const exponential = unary(
    'exp',
    sub(load(scores, variable(e), 'f32', simdLanes), splat(next.ref, simdLanes)),
  );
  const sums = named(b.fresh('sums'), quarters.reduce(add));
  const merge: Stmt[] = [
    next.stmt,
    carry.stmt,
    loop(e, 0, blockEntries, [store(scores, variable(e), exponential)], 'vector', simdLanes),
    store(state, 0, next.ref),
    sums.stmt,
    store(state, 1, add(mul(l, carry.ref), reduceLanes(sums.ref, add))),
    ...weighted(ctx, {
      o,
      carry: carry.ref,
      scores,
      count: count.ref,
      values: values.tile,
      entry: slot.ref,
      stride: kvHeads * valueWidth,
      start: mul(group.ref, int(valueWidth)),
      width: valueWidth,
    }),
  ];
  const perBlock: Stmt[] = [
    slot.stmt,
    count.stmt,
    loop(
      j,
      0,
      blockEntries,
      [...dots.stmts, scored.stmt, store(scores, variable(j), masked)],
      'vector',
      simdLanes,
    ),
    // Entries past the token's own are other tokens' or nobody's.
    loop(fill, count.ref, blockEntries, [store(scores, variable(fill), num(-Infinity))]),
    maxima.stmt,
    blockMax.stmt,
    when(compare('gt', blockMax.ref, num(-Infinity)), merge),
  ];
  const inverse = named(b.fresh('inverse'), { op: 'div', a: num(1), b: l, dtype: 'f32', lanes: 1 });
  const outRow = named(
    b.fresh('out_row'),
    add(mul(token.ref, int(heads * valueWidth)), mul(head.ref, int(valueWidth))),
  );
  const body: Stmt[] = [
    token.stmt, head.stmt, group.stmt, position.stmt, length.stmt, tableRow.stmt, qRow.stmt,
    first.stmt, end.stmt,
    registers(state, 2, 1),
    store(state, 0, num(-Infinity)),
    store(state, 1, num(0)),
    ...overWidth(ctx, valueWidth, (at, lanes) => [store(o, at, { ...num(0), lanes })]),
    loop(block, first.ref, end.ref, perBlock),
    inverse.stmt,
    outRow.stmt,
    ...overWidth(ctx, valueWidth, (at, lanes) => [
      store(outTile, add(outRow.ref, at), mul(load(o, at, 'f32', lanes), spread(inverse.ref, lanes))),
    ]),
  ]; // prettier-ignore
  return [loop(item, 0, mul(rowCount(region.axis), int(heads)), body, 'thread')];
}

const spread = (e: Expr, lanes: number): Expr => (lanes === 1 ? e : splat(e, lanes));

/** The state that a cache value stands for, and the row of a slot in it. */
function stateOf(ctx: LowerContext, v: ValueId): { tile: string; row: readonly number[] } {
  const facts = present(ctx.plan.producers.get(v), 'producer of a cache');
  const state = present(facts.node.state, 'state');
  const hint = state.name.split('.').at(-1) ?? 'state';
  invariant(state.spec.dtype === 'f32', 'caches of f32');
  const tile = ctx.builder.param({ kind: 'state', state: state.name }, state.spec.dtype, hint);
  return { tile, row: state.spec.row };
}

/** A mask or score with its parameters replaced by lanes. */
function apply(fn: ScalarFn, values: ReadonlyMap<string, Expr>, names: readonly string[]): Expr {
  const env = new Map(fn.params.map((p, i) => [p, present(values.get(present(names[i])), p)]));
  const go = (e: Expr): Expr => {
    if (e.op === 'var') return present(env.get(e.name), e.name);
    return { ...mapChildren(e, go), lanes: simdLanes };
  };
  return go(fn.body);
}

/** Statements over the elements of a row: in lanes, then one by one. */
function overWidth(
  ctx: LowerContext,
  width: number,
  at: (index: Expr, lanes: number) => Stmt[],
): Stmt[] {
  const name = ctx.builder.fresh('i');
  const full = Math.floor(width / simdLanes) * simdLanes;
  const head = loop(name, 0, full, at(variable(name), simdLanes), 'vector', simdLanes);
  const rest = loop(name, full, width, at(variable(name), 1));
  return [...(full > 0 ? [head] : []), ...(full < width ? [rest] : [])];
}

interface Dots {
  readonly q: string;
  readonly qRow: Expr;
  readonly keys: string;
  /** First of the four slots. */
  readonly entry: Expr;
  readonly stride: number;
  readonly start: Expr;
  readonly width: number;
}

/** q . k for four consecutive slots, in the lanes of one vector. */
function fourDots(ctx: LowerContext, d: Dots): { readonly stmts: Stmt[]; readonly value: Expr } {
  const { builder: b } = ctx;
  const acc = b.fresh('dot');
  const base = named(b.fresh('k_row'), add(mul(d.entry, int(d.stride)), d.start));
  const i = b.fresh('i');
  const full = Math.floor(d.width / simdLanes) * simdLanes;
  const key = (n: number, lanes: number): Expr =>
    load(d.keys, add(add(base.ref, variable(i)), int(n * d.stride)), 'f32', lanes);
  const query = named(b.fresh('qi'), load(d.q, add(d.qRow, variable(i)), 'f32', simdLanes));
  const body = [0, 1, 2, 3].map((n) =>
    store(acc, n, fma(query.ref, key(n, simdLanes), readRegister(acc, n, simdLanes))),
  );
  const stmts: Stmt[] = [
    base.stmt,
    registers(acc, 4, simdLanes),
    loop(i, 0, full, [query.stmt, ...body], 'vector', simdLanes),
  ];
  const [a0, a1, a2, a3] = [0, 1, 2, 3].map((n) => readRegister(acc, n, simdLanes));
  invariant(a0 && a1 && a2 && a3, 'four accumulators');
  const ab = named(
    b.fresh('ab'),
    add(shuffle(a0, a1, [0, 4, 1, 5]), shuffle(a0, a1, [2, 6, 3, 7])),
  );
  const cd = named(
    b.fresh('cd'),
    add(shuffle(a2, a3, [0, 4, 1, 5]), shuffle(a2, a3, [2, 6, 3, 7])),
  );
  const sums = named(
    b.fresh('dots'),
    add(shuffle(ab.ref, cd.ref, [0, 1, 4, 5]), shuffle(ab.ref, cd.ref, [2, 3, 6, 7])),
  );
  stmts.push(ab.stmt, cd.stmt, sums.stmt);
  if (full === d.width) return { stmts, value: sums.ref };
  // The last elements of a head whose size is no multiple of the lanes.
  const rest = b.fresh('rest');
  const held = b.scratch('dots', simdLanes);
  const one = (n: number): Stmt =>
    store(
      rest,
      n,
      add(readRegister(rest, n, 1), mul(load(d.q, add(d.qRow, variable(i))), key(n, 1))),
    );
  stmts.push(
    registers(rest, 4, 1),
    ...[0, 1, 2, 3].map((n) => store(rest, n, lane(sums.ref, n))),
    loop(i, full, d.width, [0, 1, 2, 3].map(one)),
    ...[0, 1, 2, 3].map((n) => store(held, n, readRegister(rest, n, 1))),
  );
  return { stmts, value: load(held, int(0), 'f32', simdLanes) };
}

const shuffle = (a: Expr, b: Expr, pick: readonly number[]): Expr => ({
  op: 'shuffle',
  a,
  b,
  pick,
  dtype: a.dtype,
  lanes: pick.length,
});

interface Weighted {
  readonly o: string;
  readonly carry: Expr;
  readonly scores: string;
  readonly count: Expr;
  readonly values: string;
  readonly entry: Expr;
  readonly stride: number;
  readonly start: Expr;
  readonly width: number;
}

/** o = o * carry + sum over the block's entries of p * v, in the order of the entries. */
function weighted(ctx: LowerContext, w: Weighted): Stmt[] {
  const { builder: b } = ctx;
  const base = named(b.fresh('v_row'), add(mul(w.entry, int(w.stride)), w.start));
  const e = b.fresh('e');
  const acc = b.fresh('acc');
  const chunk = (from: Expr, groups: number, lanes: number): Stmt[] => {
    const at = (g: number): Expr => add(from, int(g * simdLanes));
    const all = Array.from({ length: groups }, (_, g) => g);
    const p = named(b.fresh('p'), spread(load(w.scores, variable(e)), lanes));
    const row = named(b.fresh('row'), add(base.ref, mul(variable(e), int(w.stride))));
    const value = (g: number): Expr => load(w.values, add(row.ref, at(g)), 'f32', lanes);
    const name = b.fresh(acc);
    return [
      registers(name, groups, lanes),
      ...all.map((g) =>
        store(name, g, mul(load(w.o, at(g), 'f32', lanes), spread(w.carry, lanes))),
      ),
      loop(e, 0, w.count, [
        p.stmt,
        row.stmt,
        ...all.map((g) => store(name, g, fma(p.ref, value(g), readRegister(name, g, lanes)))),
      ]),
      ...all.map((g) => store(w.o, at(g), readRegister(name, g, lanes))),
    ];
  };
  const i = b.fresh('i');
  const big = 4 * simdLanes;
  const full = Math.floor(w.width / big) * big;
  const vectors = Math.floor(w.width / simdLanes) * simdLanes;
  return [
    base.stmt,
    ...(full > 0 ? [loop(i, 0, full, chunk(variable(i), 4, simdLanes), 'serial', big)] : []),
    ...(full < vectors
      ? [loop(i, full, vectors, chunk(variable(i), 1, simdLanes), 'serial', simdLanes)]
      : []),
    ...(vectors < w.width ? [loop(i, vectors, w.width, chunk(variable(i), 1, 1))] : []),
  ];
}
