/**
 * Operands of products in the memory that the threads of a workgroup share: rows of floats, or of the
 * codes that their scheme makes of them, a stretch of k at a time.
 */
import { invariant, present } from '../../base/invariant.ts';
import type { ValueId } from '../../3-graph/graph.ts';
import type { Plan } from '../../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, bits, cast, compare, div, dot4, int, lane, load, max, min, mul, rem, unary, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { children, mapChildren } from '../../scalar/walk.ts';
import { codesBelow, quantisedFrom } from '../activation.ts';
import { type Frame, type Local, columnsOf, element, productOf } from '../frame.ts';
import type { Stmt } from '../kernel.ts';
import {
  type Linear, addIndex, constantIndex, indexExpr, loopIndex, opaqueIndex, scaleIndex, unflatten,
} from '../linear.ts'; // prettier-ignore
import { emitNodes, wholeShare } from '../nodes.ts';
import { floatingNodes } from '../rows.ts';
import { letStmt, loop, named, readRegister, registers, store, when } from '../statements.ts';
import { reduceAllLanes, vectorize } from '../vectorize.ts';
import type { SimtContext } from './context.ts';
import { type Places, type Shared, productThreads, rowsPerToken } from './product-shape.ts';
import { barrier, thread } from './reduce.ts';

/** The tokens that are computed together, from `first` on; those past `last` stand for it once more. */
export interface TokensAt {
  readonly first: Expr;
  readonly last: Expr;
}

/**
 * How often a loop runs that compilers are not to write out: they would a loop whose length they know, and
 * kernels grow many times over. Steps have a row at least.
 */
export const times = (count: number, { last }: TokensAt): Expr =>
  count === 1 ? int(1) : min(int(count), add(mul(last, int(count)), int(count)));

/** Where an operand comes from before it is laid out. */
export interface Source {
  /** Statements that stand before rounds over k. */
  readonly before: readonly Stmt[];
  /** Whether rows of several tokens can be read by turns. */
  readonly several: boolean;
  /** Element e of the row of a token, the m-th of those that are computed together. */
  at(token: Linear, m: Linear, slot: Linear, e: Linear): Expr;
}

export function sourceOf(ctx: SimtContext, s: Shared, tokens: number, at: TokensAt): Source {
  const { plan } = ctx;
  const x = quantisedFrom(plan, s.x)?.from ?? s.x;
  const { k } = s.contraction;
  const direct = bufferOf(plan, x);
  if (direct) {
    const tile = ctx.builder.param({ kind: 'buffer', buffer: direct.id }, direct.dtype, 'x');
    return {
      before: [],
      several: true,
      at: (token, _m, slot, e) => {
        const row = scaleIndex(token, direct.width);
        return load(tile, indexExpr([row, scaleIndex(slot, k), e].reduce(addIndex)));
      },
    };
  }
  const sizes = columnsOf(plan, x);
  const columns = (slot: Linear, e: Linear): Linear[] =>
    unflatten(addIndex(scaleIndex(slot, k), e), sizes);
  invariant(productOf(sizes) === k * rowsPerToken(s.contraction), 'an operand has rows of k');
  return tokens === 1 ? one() : many();

  function frameAt(row: Linear): Frame {
    return { plan, builder: ctx.builder, row, locals: new Map() };
  }

  function work(frame: Frame): Stmt[] {
    const nodes = floatingNodes(plan, [x]);
    return emitNodes({ frame, share: (v) => wholeShare(frame, v), stores: new Set(), nodes });
  }

  function one(): Source {
    const frame = frameAt(opaqueIndex(JSON.stringify(at.first), at.first));
    const before = work(frame);
    return {
      before,
      several: [...frame.locals.values()].every((l) => l.kind === 'named'),
      at: (_token, _m, slot, e) => element(frame, x, [frame.row, ...columns(slot, e)]),
    };
  }

  /** Single values of each token's row are kept, and its elements computed from them where they are read. */
  function many(): Source {
    const { builder: b } = ctx;
    const m = b.fresh('m');
    const token = named(b.fresh('token'), min(add(at.first, variable(m)), at.last));
    const frame = frameAt(opaqueIndex(JSON.stringify(token.ref), token.ref));
    const stmts = work(frame);
    const held = [...frame.locals.values()].every((l) => l.kind === 'named');
    invariant(held, 'rows that are held are those of single tokens');
    const read = namesIn(element(frame, x, [frame.row, ...columns(loopIndex('s', 2), loopIndex('e', k))])); // prettier-ignore
    const values = [...frame.locals].flatMap(([v, l]) =>
      l.kind === 'named' && namesIn(l.ref).some((n) => read.includes(n)) ? [{ v, ref: l.ref }] : [],
    );
    const kept = new Map<ValueId, Local>();
    const keep = values.map(({ v, ref }): Stmt => {
      const dtype = ref.dtype === 'i32' ? 'i32' : 'f32';
      const tile = b.scratch('kept', tokens, dtype);
      kept.set(v, { kind: 'tile', tile, dtype, place: (index) => present(index[0]) });
      return store(tile, variable(m), ref);
    });
    const first = compare('eq', thread, int(0));
    return {
      before:
        stmts.length + keep.length === 0
          ? []
          : [loop(m, 0, times(tokens, at), [token.stmt, ...stmts, when(first, keep), barrier])],
      several: true,
      at: (row, mAt, slot, e) => {
        const own = new Map([...kept].map(([v, l]) => [v, placedAt(l, mAt)]));
        return element({ ...frame, row, locals: own }, x, [row, ...columns(slot, e)]);
      },
    };
  }
}

const namesIn = (e: Expr): readonly string[] =>
  e.op === 'var' ? [e.name] : children(e).flatMap(namesIn);

const placedAt = (l: Local, m: Linear): Local => (l.kind === 'tile' ? { ...l, place: () => m } : l);

/** The buffer that holds v, or what v is a view of. */
function bufferOf(plan: Plan, x: ValueId) {
  for (let v = x; ;) {
    const buffer = plan.buffers.get(v);
    if (buffer) return buffer.dtype === 'f32' ? buffer : undefined;
    const facts = plan.producers.get(v);
    if (facts?.lowered.kind !== 'view') return undefined;
    v = present(facts.node.inputs[0]);
  }
}

/** What a round over k lays out: rows of `places` in `tile`. */
export interface Stage {
  readonly shared: Shared;
  readonly places: Places;
  readonly tile: string;
  readonly source: Source;
  readonly tokens: TokensAt;
}

const quotient = (a: Expr, by: number): Expr => (by === 1 ? a : div(a, int(by)));

/** Statements that stand before rounds over k: what scales of whole rows need of them. */
export function beforeRounds(ctx: SimtContext, g: Stage): { stmts: Stmt[]; most?: string } {
  const { shared: s, places: p, source, tile } = g;
  if (s.codes?.group !== 0) return { stmts: [...source.before] };
  const { builder: b } = ctx;
  const { k } = s.contraction;
  const most = b.scratch('most', p.rows);
  const r = b.fresh('row');
  const acc = b.fresh('most');
  const i = b.fresh('i');
  const row = rowAt(g, p.rows === 1 ? int(0) : variable(r));
  const token = named(b.fresh('token'), row.token);
  const at = (e: Linear): Expr => valueOf(source, token.ref, row, e);
  const four = fourAt(b.fresh, at, k, mul(variable(i), int(4)));
  const so = readRegister(acc, 0, four ? 4 : 1);
  const value = four ? four.value : at(loopIndex(i, k));
  const own = loop(i, 0, four ? k / 4 : k, [
    ...(four?.stmts ?? []),
    store(acc, 0, max(so, unary('abs', value))),
  ], 'thread'); // prettier-ignore
  const mine = four ? reduceAllLanes(so, max) : so;
  const all = b.fresh('most');
  const j = b.fresh('j');
  const allSo = readRegister(all, 0, 4);
  const theirs = bits(load(tile, add(mul(variable(j), int(4)), int(p.partials)), 'i32', 4), 'f32');
  const body = [
    token.stmt,
    registers(acc, 1, four ? 4 : 1),
    own,
    store(tile, add(thread, int(p.partials)), bits(mine, 'i32')),
    barrier,
    registers(all, 1, 4),
    loop(j, 0, productThreads / 4, [store(all, 0, max(allSo, theirs))]),
    when(compare('eq', thread, int(0)), [store(most, row.number, reduceAllLanes(allSo, max))]),
    barrier,
  ];
  return {
    stmts: [
      ...source.before,
      ...(p.rows === 1 ? body : [loop(r, 0, times(p.rows, g.tokens), body)]),
    ],
    most,
  };
}

interface RowAt {
  readonly number: Expr;
  readonly m: Expr;
  readonly slot: Expr;
  readonly token: Expr;
}

/** Of the row `number` among those that are laid out: its token, and which slot of it. */
function rowAt({ shared: s, places: p, tokens }: Stage, number: Expr): RowAt {
  const per = rowsPerToken(s.contraction);
  const m = p.form.tokens === 1 ? int(0) : quotient(number, per);
  const slot = per === 1 ? int(0) : p.form.tokens === 1 ? number : rem(number, int(per));
  const token = p.form.tokens === 1 ? tokens.first : min(add(tokens.first, m), tokens.last);
  return { number, m, slot, token };
}

function valueOf(source: Source, token: Expr, row: RowAt, e: Linear): Expr {
  const linear = (x: Expr): Linear =>
    x.op === 'const' ? constantIndex(x.value) : opaqueIndex(JSON.stringify(x), x);
  return source.at(linear(token), linear(row.m), linear(row.slot), e);
}

/** Four elements from `from` on at once, where they lie side by side. */
function fourAt(
  fresh: (hint: string) => string,
  at: (e: Linear) => Expr,
  k: number,
  from: Expr,
): { readonly stmts: readonly Stmt[]; readonly value: Expr } | undefined {
  if (k % 4 !== 0) return undefined;
  const name = fresh('e');
  const wide = vectorize(at(loopIndex(name, k)), name, fresh);
  if (!wide) return undefined;
  const put = (e: Expr): Expr => (e.op === 'var' && e.name === name ? from : mapChildren(e, put));
  return { stmts: wide.hoisted.map((h) => letStmt(h.name, h.value)), value: put(wide.value) };
}

/** Statements that lay out round `round` over k; all threads see it behind them. */
export function stageRound(ctx: SimtContext, g: Stage, round: Expr, most?: string): Stmt[] {
  const { shared: s, places: p } = g;
  if (!s.codes) return [...floatRows(ctx, g, round, 0, p.rows, p.x), barrier];
  const { builder: b } = ctx;
  const room = Math.floor((p.head - p.weights) / p.elements);
  const together = divisorBelow(p.rows, room);
  const r = b.fresh('rows');
  const from = p.rows === together ? 0 : mul(variable(r), int(together));
  const body = [
    ...floatRows(ctx, g, round, from, together, p.weights),
    barrier,
    ...codeRows(ctx, g, from, together, most),
    barrier,
  ];
  const rows = p.rows === together ? body : [loop(r, 0, times(p.rows / together, g.tokens), body)];
  const sums = p.sums.flatMap((sum) => sumsOf(ctx, g, sum));
  return [...rows, ...sums, ...(sums.length > 0 ? [barrier] : [])];
}

const divisorBelow = (n: number, most: number): number => {
  let d = Math.max(1, Math.min(n, most));
  while (n % d !== 0) d--;
  return d;
};

/** `count` rows from `from` on as floats, from word `to` of the tile on; zeros follow k. */
function floatRows(
  ctx: SimtContext,
  g: Stage,
  round: Expr,
  from: Expr | number,
  count: number,
  to: number,
): Stmt[] {
  const { builder: b } = ctx;
  const { shared: s, places: p, source, tile } = g;
  const { k } = s.contraction;
  const i = b.fresh('i');
  const lay = (lanes: 1 | 4): Stmt[] | undefined => {
    const perRow = p.elements / lanes;
    const inRow = count === 1 ? variable(i) : rem(variable(i), int(perRow));
    const local = count === 1 ? int(0) : div(variable(i), int(perRow));
    const first = typeof from === 'number' ? int(from) : from;
    const row = rowAt(g, add(first, local));
    const token = named(b.fresh('token'), row.token);
    const e = add(mul(inRow, int(lanes)), mul(round, int(p.elements)));
    const at = (x: Linear): Expr => valueOf(source, token.ref, row, x);
    const wide = lanes === 4 ? fourAt(b.fresh, at, k, e) : undefined;
    if (lanes === 4 && !wide) return undefined;
    const value = wide?.value ?? at(opaqueIndex(JSON.stringify(e), e, k));
    const place = add(mul(variable(i), int(lanes)), int(to));
    const put = store(tile, place, bits(value, 'i32'));
    const inside = [token.stmt, ...(wide?.stmts ?? []), put];
    const whole = k % p.elements === 0;
    const zero = store(tile, place, { ...int(0), lanes });
    const body = whole ? inside : [when(compare('lt', e, int(k)), inside, [zero])];
    return [loop(i, 0, count * perRow, body, 'thread')];
  };
  return lay(4) ?? present(lay(1));
}

/** The same rows as codes. */
function codeRows(
  ctx: SimtContext,
  g: Stage,
  from: Expr | number,
  count: number,
  mostOfRow: string | undefined,
): Stmt[] {
  const { builder: b, plan } = ctx;
  const { shared: s, places: p, tile } = g;
  const { activation } = present(quantisedFrom(plan, s.x));
  const { group } = activation;
  const words = p.elements / 4;
  const i = b.fresh('i');
  const q = named(b.fresh('word'), count === 1 ? variable(i) : rem(variable(i), int(words)));
  const local = count === 1 ? int(0) : div(variable(i), int(words));
  const row = named(b.fresh('row'), add(typeof from === 'number' ? int(from) : from, local));
  const floats = (index: Expr): Expr => bits(load(tile, index, 'i32', 4), 'f32');
  const most = b.fresh('most');
  const acc = readRegister(most, 0, 4);
  const j = b.fresh('j');
  const perGroup = group / 4;
  const groupStart = mul(div(variable(i), int(perGroup || 1)), int(group));
  const magnitude: Stmt[] =
    group === 0
      ? []
      : [
          registers(most, 1, 4),
          loop(j, 0, perGroup, [
            store(most, 0, max(acc, unary('abs', floats(add(add(groupStart, mul(variable(j), int(4))), int(p.weights)))))),
          ]),
        ]; // prettier-ignore
  const largest = group === 0 ? load(present(mostOfRow), row.ref, 'f32') : reduceAllLanes(acc, max);
  const quantised = codesBelow(b, largest, activation.largest);
  const codes = named(
    b.fresh('codes'),
    quantised.codeOf(floats(add(mul(variable(i), int(4)), int(p.weights)))),
  );
  const low = arithmetic('and', codes.ref, { ...int(255), lanes: 4 });
  const bytes = named(b.fresh('bytes'), low);
  const packed = [1, 2, 3].reduce<Expr>(
    (word, n) => arithmetic('or', word, arithmetic('shl', lane(bytes.ref, n), int(8 * n))),
    lane(bytes.ref, 0),
  );
  const begins = compare('eq', group === 0 ? q.ref : rem(q.ref, int(perGroup)), int(0));
  const scaleAt = add(
    add(mul(row.ref, int(p.scalesPerRow)), group === 0 ? int(0) : div(q.ref, int(perGroup))),
    int(p.scales),
  );
  return [
    loop(i, 0, count * words, [
      q.stmt,
      row.stmt,
      ...magnitude,
      ...quantised.stmts,
      codes.stmt,
      bytes.stmt,
      store(tile, add(add(mul(row.ref, int(p.perRow)), q.ref), int(p.x)), packed),
      when(begins, [store(tile, scaleAt, bits(quantised.scale, 'i32'))]),
    ], 'thread'),
  ]; // prettier-ignore
}

/** Sums of codes over parts of the rows: products of bytes with ones. */
function sumsOf(ctx: SimtContext, g: Stage, sum: Places['sums'][number]): Stmt[] {
  const { builder: b } = ctx;
  const { places: p, shared: s, tile } = g;
  const i = b.fresh('part');
  const total = b.fresh('total');
  const acc = readRegister(total, 0, 4, 'i32');
  const j = b.fresh('j');
  const first = mul(variable(i), int(sum.part / 4));
  const codes = load(tile, add(add(first, mul(variable(j), int(4))), int(p.x)), 'i32', 4);
  const ones = { ...int(0x01010101), lanes: 4 };
  const whole = reduceAllLanes(acc, add);
  const group = present(s.codes).group;
  const scale =
    group === 0 ? quotient(variable(i), sum.perRow) : quotient(variable(i), group / sum.part);
  const value =
    sum.factor === undefined
      ? bits(mul(cast(whole, 'f32'), bits(load(tile, add(scale, int(p.scales)), 'i32'), 'f32')), 'i32') // prettier-ignore
      : mul(whole, int(sum.factor));
  return [
    loop(i, 0, p.rows * sum.perRow, [
      registers(total, 1, 4, 'i32'),
      loop(j, 0, sum.part / 16, [store(total, 0, dot4('s8s8', codes, ones, acc))]),
      store(tile, add(variable(i), int(sum.at)), value),
    ], 'thread'),
  ]; // prettier-ignore
}
