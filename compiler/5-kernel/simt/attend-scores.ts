/** Scores of a block of keys: products with the queries, mask and score, and the online-softmax step. */
import { present } from '../../base/invariant.ts';
import { blockKeys } from '../../4-partition/key-parts.ts';
import {
  type Expr, add, compare, div, fma, int, lane, load, max, mul, num, rem, select, splat, sub, unary,
  variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import type { Stmt } from '../kernel.ts';
import { loopIndex } from '../linear.ts';
import { type PairScope, pairValue } from '../pairs.ts';
import { blockEntries, blockStart } from '../state-rows.ts';
import { loop, named, readRegister, registers, store, when } from '../statements.ts';
import { type KeyThreads, metStride, mostThreads } from './attend-shape.ts';
import {
  type Attention, type KeyBlock, type Rows, barrier, byTokens, leftAt, leftOf, pageAt, range,
  registersOf, rowOf, rowRegister, thread,
} from './attend-state.ts'; // prettier-ignore
import { wordElements, wordsFrom } from './state-words.ts';

/** Where the score of a row for the thread's own key lies. */
export const scoreAt = (row: Expr): Expr => add(mul(row, int(blockKeys)), thread);

/** q . k of all rows, each thread's own key's at `scoreAt`. */
export function products(a: Attention, r: Rows, k: KeyBlock): Stmt[] {
  return a.shape.keys ? sideBySide(a, r, k, a.shape.keys) : ownKey(a, r, k);
}

/** The queries of all rows for an element, as wide as they can be read. */
function queriesAt(a: Attention, r: Rows, element: Expr): { stmts: Stmt[]; refs: readonly Expr[] } {
  const { builder: b } = a.ctx;
  const lanes = r.count % 4 === 0 ? 4 : r.count % 2 === 0 ? 2 : 1;
  const wide = range(r.count / lanes).map((n) =>
    named(
      b.fresh('q'),
      load(a.queries, add(mul(element, int(r.count)), int(n * lanes)), 'f32', lanes),
    ),
  );
  const refs = range(r.count).map((n) => {
    const of = present(wide[Math.floor(n / lanes)]).ref;
    return lanes === 1 ? of : lane(of, n % lanes);
  });
  return { stmts: wide.map((w) => w.stmt), refs };
}

const holding =
  (a: Attention, hint: string, to: Stmt[]) =>
  (value: Expr): Expr => {
    const { stmt, ref } = named(a.ctx.builder.fresh(hint), value);
    to.push(stmt);
    return ref;
  };

/**
 * Keys side by side: a thread has some of them, and every so many-th element; sums of the threads that
 * have the same keys meet in shared memory and are added in the threads' order.
 */
function sideBySide(a: Attention, r: Rows, k: KeyBlock, t: KeyThreads): Stmt[] {
  const { builder: b } = a.ctx;
  const { perWord, state } = a.keys;
  const { keyPlace, keyPhase, meets } = a.own;
  const pageThreads = blockEntries / t.together;
  const page = pageAt(a, k, div(keyPlace, int(pageThreads)));
  const within = mul(rem(keyPlace, int(pageThreads)), int(t.lanes));
  const start = named(b.fresh('k_at'), add(wordsFrom(a.keys, page, r.kvHead), within));
  const acc = b.fresh('dot');
  const sums = registersOf(acc, perWord * r.count, t.lanes);
  const i = b.fresh('i');
  const q = queriesAt(a, r, variable(i));
  const step: Stmt[] = [...q.stmts];
  const at = add(start.ref, mul(variable(i), int(blockEntries / perWord)));
  const keys = wordElements(a.keys, t.lanes, holding(a, 'k', step), at);
  const fmas = (row: number): Stmt[] =>
    keys.map((key, n) => {
      const at = n * r.count + row;
      return store(acc, at, fma(splat(present(q.refs[row]), t.lanes), key, sums.at(at)));
    });
  step.push(...byTokens(a, r, fmas));
  const side = Math.min(r.count, a.shape.side);
  const met = range(Math.ceil(r.count / side)).flatMap((set): Stmt[] => {
    const rows = range(side).map((x) => set * side + x).filter((row) => row < r.count); // prettier-ignore
    const place = (phase: Expr, x: number): Expr =>
      add(mul(phase, int(metStride(side))), int(x * blockKeys));
    const leave = rows.flatMap((row, x) =>
      range(perWord).map((n) => {
        const to = add(add(place(keyPhase, x), mul(keyPlace, int(t.together))), int(n * t.lanes));
        return store(a.sums, to, sums.at(n * r.count + row));
      }),
    );
    const total = rows.map((row, x) => {
      const all = range(t.phases).map((phase) => load(a.sums, add(place(int(phase), x), meets)));
      return store(a.scores, scoreAt(int(row)), all.reduce(add));
    });
    return [...(set > 0 ? [barrier] : []), ...leave, barrier, ...total];
  });
  return [start.stmt, sums.stmt, loop(i, keyPhase, state.width, step, 'serial', t.phases), ...met];
}

/** Slot after slot: each thread has a key. */
function ownKey(a: Attention, r: Rows, k: KeyBlock): Stmt[] {
  const { builder: b } = a.ctx;
  const { perWord, state } = a.keys;
  const words = state.width / perWord;
  const lanes = words % 4 === 0 ? 4 : words % 2 === 0 ? 2 : 1;
  const page = pageAt(a, k, div(thread, int(blockEntries)));
  const within = mul(rem(thread, int(blockEntries)), int(words));
  const start = named(b.fresh('k_at'), add(wordsFrom(a.keys, page, r.kvHead), within));
  const acc = b.fresh('dot');
  const sums = registersOf(acc, r.count);
  const w = b.fresh('w');
  const step: Stmt[] = [];
  const parts = wordElements(a.keys, lanes, holding(a, 'k', step), add(start.ref, variable(w)));
  range(lanes * perWord).forEach((n) => {
    const part = present(parts[n % perWord]);
    const key = lanes === 1 ? part : lane(part, Math.floor(n / perWord));
    const q = queriesAt(a, r, add(mul(variable(w), int(perWord)), int(n)));
    const fmas = (row: number): Stmt[] => [
      store(acc, row, fma(present(q.refs[row]), key, sums.at(row))),
    ];
    step.push(...q.stmts, ...byTokens(a, r, fmas));
  });
  return [
    start.stmt,
    sums.stmt,
    loop(w, 0, words, step, 'serial', lanes),
    ...range(r.count).map((row) => store(a.scores, scoreAt(int(row)), sums.at(row))),
  ];
}

/** Products to scores, -Infinity for what a row does not see; each thread for its own key. */
export function maskedScores(a: Attention, r: Rows, k: KeyBlock): Stmt[] {
  const { plan, builder: b } = a.ctx;
  const { lowered, keys } = a;
  const page = named(b.fresh('page'), pageAt(a, k, div(thread, int(blockEntries))));
  const inPage = rem(thread, int(blockEntries));
  const slot = named(b.fresh('slot'), add(mul(page.ref, int(blockEntries)), inPage));
  const j = named(b.fresh('j'), load(a.positions, slot.ref, 'i32'));
  const { codes } = keys.state;
  const scaleAt = codes && add(blockStart(codes.scales, page.ref, r.kvHead), inPage);
  const scale = codes && scaleAt && named(b.fresh('scale'), load(codes.scales.tile, scaleAt));
  const number = named(b.fresh('number'), add(k.from, thread));
  const row = b.fresh('row');
  const of = rowOf(a, r, variable(row));
  const i = named(b.fresh('i'), load(a.position, variable(of.token), 'i32'));
  const length = load(a.length, variable(of.token), 'i32');
  const sees = named(b.fresh('sees'), of.there ? select(of.there, length, int(0)) : length);
  const dot = load(a.scores, scoreAt(variable(row)));
  const scaled = mul(scale ? mul(dot, scale.ref) : dot, num(lowered.scale));
  const s = named(b.fresh('s'), scaled);
  const before: Stmt[] = [];
  const scope: PairScope = {
    facts: a.facts,
    frame: { plan, builder: b, row: loopIndex(of.token, Infinity), locals: new Map() },
    i: i.ref,
    h: of.head,
    heads: a.heads,
    before,
    held: new Map(),
    inLanes: false,
  };
  const key = { j: j.ref, slot: slot.ref, s: s.ref };
  const mask = pairValue(a.ctx, scope, lowered.mask, ['i', 'j', 'h'], key);
  const score = pairValue(a.ctx, scope, lowered.score, ['s', 'i', 'j', 'h'], key);
  const held = b.fresh('score');
  return [
    page.stmt,
    slot.stmt,
    j.stmt,
    number.stmt,
    ...(scale ? [scale.stmt] : []),
    loop(row, 0, r.count, [
      ...of.stmts,
      i.stmt,
      sees.stmt,
      ...before,
      registers(held, 1, 1),
      store(held, 0, num(-Infinity)),
      when(compare('lt', number.ref, sees.ref), [
        ...mask.stmts,
        when(mask.value, [s.stmt, ...score.stmts, store(held, 0, score.value)]),
      ]),
      store(a.scores, scoreAt(variable(row)), readRegister(held, 0, 1)),
    ]),
  ];
}

/**
 * Maxima of the rows over the block, then e^(score - m) in place of the scores, times the scale of the
 * value. How the state before the block is carried on is left by each row's thread.
 */
export function weights(a: Attention, r: Rows, k: KeyBlock): Stmt[] {
  const { builder: b } = a.ctx;
  const { codes } = a.values.state;
  const page = pageAt(a, k, div(thread, int(blockEntries)));
  const scaleAt = codes && add(blockStart(codes.scales, page, r.kvHead), rem(thread, int(blockEntries))); // prettier-ignore
  const scale = codes && scaleAt && named(b.fresh('scale'), load(codes.scales.tile, scaleAt));
  const before = rowRegister(r, 'm');
  const most = overMost(a, max);
  const m = named(b.fresh('m'), max(before.value, most.value));
  // A row that sees nobody yet has weights of e^-Infinity, not of e^(Infinity - Infinity).
  const finite = compare('gt', m.ref, num(-Infinity));
  const by = named(b.fresh('by'), select(finite, m.ref, num(0)));
  const step: Stmt[] = [
    ...most.stmts,
    m.stmt,
    by.stmt,
    store(a.state, leftAt(thread, 'by'), by.ref),
    store(a.state, leftAt(thread, 'carry'), unary('exp', sub(before.value, by.ref))),
    store(r.row, before.number, m.ref),
  ];
  const rows = range(r.count).flatMap((row): Stmt[] => {
    const score = load(a.scores, scoreAt(int(row)));
    const e = named(b.fresh('e'), unary('exp', sub(score, leftOf(a, int(row), 'by'))));
    const l = mul(readRegister(r.l, row, 1), leftOf(a, int(row), 'carry'));
    return [
      e.stmt,
      store(r.l, row, add(l, e.ref)),
      store(a.scores, scoreAt(int(row)), scale ? mul(e.ref, scale.ref) : e.ref),
    ];
  });
  return [
    barrier,
    ...someOfRows(a, r, max),
    barrier,
    when(compare('lt', thread, int(r.count)), step),
    barrier,
    ...(scale ? [scale.stmt] : []),
    ...rows,
    barrier,
  ];
}

/** A row's scores combined by `mostThreads` threads, each of which leaves what it has. */
export function someOfRows(a: Attention, r: Rows, combine: (x: Expr, y: Expr) => Expr): Stmt[] {
  const { builder: b } = a.ctx;
  const each = blockKeys / mostThreads;
  const row = named(b.fresh('of'), div(thread, int(mostThreads)));
  const first = add(mul(row.ref, int(blockKeys)), mul(rem(thread, int(mostThreads)), int(each)));
  const wide = range(each / 4).map((n) => load(a.scores, add(first, int(4 * n)), 'f32', 4));
  const four = named(b.fresh('four'), wide.reduce(combine));
  const body = [four.stmt, store(a.most, thread, lanesCombined(four.ref, combine))];
  const some = r.count * mostThreads < blockKeys;
  return [row.stmt, ...(some ? [when(compare('lt', row.ref, int(r.count)), body)] : body)];
}

/** What `someOfRows` left of the row with the thread's number, combined. */
export function overMost(
  a: Attention,
  combine: (x: Expr, y: Expr) => Expr,
): { readonly stmts: readonly Stmt[]; readonly value: Expr } {
  const wide = range(mostThreads / 4).map((n) =>
    load(a.most, add(mul(thread, int(mostThreads)), int(4 * n)), 'f32', 4),
  );
  const four = named(a.ctx.builder.fresh('four'), wide.reduce(combine));
  return { stmts: [four.stmt], value: lanesCombined(four.ref, combine) };
}

const lanesCombined = (v: Expr, combine: (x: Expr, y: Expr) => Expr): Expr =>
  combine(combine(lane(v, 0), lane(v, 1)), combine(lane(v, 2), lane(v, 3)));
