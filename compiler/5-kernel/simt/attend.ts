/**
 * Attention over the paged cache in workgroups: one for a token, a key head and a part of the keys in small
 * steps, whose parts another kernel combines; in larger ones one for some tokens of a sequence and a key head
 * with all their keys. The query heads of the key head are rows that read each key and value once. Blocks and
 * parts are those of the entries' own numbering and of how many a token sees, and what a sum is made by hangs
 * on the model alone: neither chunks nor neighbours change a result.
 *
 * In a block of keys a thread has a key; maxima and weights of the keys are shared, and then threads have
 * elements of the values. Milakov and Gimelshein 2018; Dao et al. 2023, section 3.1.
 */
import { invariant, present } from '../../base/invariant.ts';
import type { ValueId } from '../../3-graph/graph.ts';
import { blockKeys, mostParts, splitTokens } from '../../4-partition/key-parts.ts';
import type { Region } from '../../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, compare, div, int, load, max, min, mul, rem, select, sub, variable,
} from '../../scalar/expr.ts'; // prettier-ignore
import { type KeySpan, endPart as endOfParts, firstPart, keySpan } from '../attend-merge.ts';
import { columnsOf } from '../frame.ts';
import type { Stmt } from '../kernel.ts';
import { blockEntries } from '../state-rows.ts';
import { loop, named, store, when } from '../statements.ts';
import { maskedScores, products, weights } from './attend-scores.ts';
import { attendShape, sharedTiles } from './attend-shape.ts';
import {
  type Attention, type KeyBlock, type Rows, barrier, ownOf, range, rowOf,
} from './attend-state.ts'; // prettier-ignore
import { type PartPlace, beginRows, endPart } from './attend-parts.ts';
import { clearPart, stateRegisters, sumOfValues } from './attend-values.ts';
import type { SimtContext } from './context.ts';
import { refusal } from './refusal.ts';
import { wordsOf } from './state-words.ts';

/** Parts of a token that workgroups have, at most as many as a sequence can have keys for. */
const partsOfToken: Expr = min(
  int(mostParts),
  div(add(variable('blocks'), int(blockKeys / blockEntries - 1)), int(blockKeys / blockEntries)),
);
/** Whether parts of tokens' keys go to workgroups of their own. */
const isSplit: Expr = compare('le', variable('t'), int(splitTokens));
/** The same as 1 or 0: hosts compute sizes of grids by arithmetic alone. */
const ifSplit: Expr = max(int(0), min(int(1), sub(int(splitTokens + 1), variable('t'))));
/** Tokens whose keys are split: all of the step, or none. */
export const tokensSplit: Expr = mul(variable('t'), ifSplit);

export function lowerAttend(ctx: SimtContext, region: Extract<Region, { kind: 'attend' }>): Stmt[] {
  const a = attentionOf(ctx, region);
  const { builder: b } = ctx;
  const { shape } = a;
  const parts = region.parts === undefined ? undefined : bufferOf(ctx, region.parts, 'parts');
  const [unit, place] = [b.fresh('unit'), b.fresh('place')];
  const kvHead = named(b.fresh('group'), div(variable(place), int(shape.chunks)));
  const first = mul(rem(variable(place), int(shape.chunks)), int(shape.heads));
  const head = named(b.fresh('first_head'), first);
  const side = named(b.fresh('parts_of_token'), partsOfToken);
  const tiles = div(add(variable('t'), int(shape.tokens - 1)), int(shape.tokens));
  const unsplit = mul(sub(int(1), ifSplit), tiles);
  const units = parts ? add(mul(tokensSplit, partsOfToken), unsplit) : tiles;
  const at = { kvHead: kvHead.ref, head: head.ref };
  const split = named(b.fresh('is_split'), isSplit);
  const left = parts === undefined ? undefined : { is: split.ref, side: side.ref, parts };
  const body = rowsOfUnit(a, at, variable(unit), left);
  const places = a.keys.state.heads * shape.chunks;
  return [
    ...(parts ? [split.stmt, side.stmt] : []),
    loop(
      unit,
      0,
      units,
      [loop(place, 0, places, [kvHead.stmt, head.stmt, ...a.own.stmts, ...body], 'block')],
      'block',
    ),
  ];
}

const bufferOf = ({ plan, builder }: SimtContext, v: ValueId, hint: string): string => {
  const { id } = present(plan.buffers.get(v), hint);
  return builder.param({ kind: 'buffer', buffer: id }, 'f32', hint);
};

function attentionOf(ctx: SimtContext, region: Extract<Region, { kind: 'attend' }>): Attention {
  const { builder: b, plan, machine } = ctx;
  const { facts } = region;
  const { node, lowered } = facts;
  invariant(lowered.kind === 'attend', 'an attention');
  const [q, k, v] = node.inputs;
  invariant(q !== undefined && k !== undefined && v !== undefined, 'q, k and v');
  const [heads = 1, width = 1] = columnsOf(plan, q);
  const [keys, values] = [wordsOf(ctx, k), wordsOf(ctx, v)];
  invariant(width === keys.state.width, 'queries and keys of one size');
  const group = heads / keys.state.heads;
  if (lowered.select) throw refusal(region, 'chooses keys, which no kernel for GPUs does');
  const shape = attendShape(lowered, group, keys, values, machine.sharedBytes);
  if (!shape) {
    const what = `has heads of ${width} and ${values.state.width}`;
    throw refusal(region, `${what}, for which ${machine.sharedBytes} shared bytes are too few`);
  }
  const tiles = sharedTiles(shape.heads * shape.tokens, width, shape.meeting);
  const step = (field: 'position' | 'sequence' | 'length' | 'table' | 'keys'): string =>
    b.param({ kind: 'step', field }, 'i32', field);
  return {
    ctx,
    facts,
    lowered,
    shape,
    heads,
    group,
    keys,
    values,
    q: bufferOf(ctx, q, 'q'),
    out: bufferOf(ctx, present(node.results[0]), 'out'),
    table: step('table'),
    positions: step('keys'),
    position: step('position'),
    sequence: step('sequence'),
    length: step('length'),
    queries: b.scratch('queries', tiles.queries),
    scores: b.scratch('scores', tiles.scores),
    sums: b.scratch('sums', tiles.sums),
    most: b.scratch('most', tiles.most),
    state: b.scratch('state', tiles.state),
    pages: b.scratch('pages', tiles.pages, 'i32'),
    own: ownOf(ctx, shape, keys.perWord),
  };
}

const pagesOfBlock = blockKeys / blockEntries;

type Place = Pick<Rows, 'kvHead' | 'head'>;

/** Parts that are left for another kernel: whether they are, how many units a token has, and where they go. */
interface Split {
  readonly is: Expr;
  readonly side: Expr;
  readonly parts: string;
}

/**
 * One part of one token's keys, if it has as many; or all keys of some tokens, part by part. Tokens of one
 * sequence that have parts of one length are read for together, others one after the other.
 */
function rowsOfUnit(a: Attention, at: Place, unit: Expr, split: Split | undefined): Stmt[] {
  const { builder: b } = a.ctx;
  const { tokens, heads } = a.shape;
  const either = (x: Expr, y: Expr): Expr => (split ? select(split.is, x, y) : y);
  const side = split?.side ?? int(1);
  const from = named(b.fresh('from'), either(div(unit, side), mul(unit, int(tokens))));
  const rest = min(int(tokens), sub(variable('t'), from.ref));
  const count = named(b.fresh('tokens'), either(int(1), rest));
  const number = named(b.fresh('number'), either(rem(unit, side), int(0)));
  const own = tokens === 1 ? undefined : spansOf(a, from.ref, count.ref);
  const passes = named(b.fresh('passes'), own ? select(own.alike, int(1), count.ref) : int(1));
  const pass = b.fresh('pass');
  const first = named(b.fresh('first'), own ? add(from.ref, variable(pass)) : from.ref);
  const beside = named(b.fresh('beside'), own ? select(own.alike, count.ref, int(1)) : int(1));
  const { span, length, stmts } = spansOf(a, first.ref, beside.ref);
  const r: Rows = {
    count: heads * tokens,
    first: first.ref,
    tokens: beside.ref,
    ...at,
    l: b.fresh('l'),
    o: b.fresh('o'),
    row: b.fresh('own_row'),
  };
  const begins = named(b.fresh('from_part'), add(firstPart(span), number.ref));
  const end = named(b.fresh('end_part'), endOfParts(span));
  const until = either(min(add(begins.ref, int(1)), end.ref), end.ref);
  const ends = named(b.fresh('to_part'), until);
  const part = b.fresh('part');
  const place: PartPlace = {
    first: compare('eq', variable(part), begins.ref),
    last: compare('eq', variable(part), sub(ends.ref, int(1))),
    ...(split ? { split: { ...split, number: number.ref } } : {}),
  };
  const body: Stmt[] = [
    ...[first, beside].map((x) => x.stmt),
    ...stmts,
    ...[begins, end, ends].map((x) => x.stmt),
    when(compare('lt', begins.ref, ends.ref), [
      ...queries(a, r),
      ...stateRegisters(a, r),
      ...beginRows(a, r),
      loop(part, begins.ref, ends.ref, [
        ...clearPart(a, r),
        ...blocksOfPart(a, r, variable(part), span, length),
        ...endPart(a, r, place),
      ]),
    ]),
  ];
  return [
    ...[from, count, number].map((x) => x.stmt),
    ...(own ? [...own.stmts, passes.stmt, loop(pass, 0, passes.ref, body)] : body),
  ];
}

/** Blocks that any of some tokens sees, how many keys at most, and whether parts are the same for all. */
function spansOf(a: Attention, first: Expr, count: Expr) {
  const { builder: b } = a.ctx;
  const { tokens } = a.shape;
  const each = range(tokens).map((n) => {
    const at = n === 0 ? first : add(first, min(int(n), sub(count, int(1))));
    const token = named(b.fresh('token'), at);
    const length = named(b.fresh('length'), load(a.length, token.ref, 'i32'));
    const span = keySpan(b, a.lowered.mask, length.ref);
    const sequence = load(a.sequence, token.ref, 'i32');
    return { span, length: length.ref, sequence, stmts: [token.stmt, length.stmt, ...span.stmts] };
  });
  const own = present(each[0]);
  const over = (hint: string, of: (x: (typeof each)[number]) => Expr, by: typeof max) =>
    named(b.fresh(hint), each.map(of).reduce(by));
  const from = over('from_block', (x) => x.span.first, min);
  const end = over('end_block', (x) => x.span.end, max);
  const most = over('most_keys', (x) => x.length, max);
  const same = each
    .slice(1)
    .flatMap((x) => [
      compare('eq', x.span.shift, own.span.shift),
      compare('eq', x.sequence, own.sequence),
    ])
    .reduce((x, y) => arithmetic('and', x, y), compare('le', int(0), int(0)));
  const span: KeySpan = { stmts: [], first: from.ref, end: end.ref, shift: own.span.shift };
  return {
    stmts: [...each.flatMap((x) => x.stmts), from.stmt, end.stmt, most.stmt],
    span,
    length: most.ref,
    alike: same,
  };
}

/** The queries of the rows into shared memory, those of all rows for one element together. */
function queries(a: Attention, r: Rows): Stmt[] {
  const { builder: b } = a.ctx;
  const { width } = a.keys.state;
  const x = b.fresh('x');
  const row = named(b.fresh('row'), div(variable(x), int(width)));
  const element = named(b.fresh('i'), rem(variable(x), int(width)));
  const of = rowOf(a, r, row.ref);
  const item = add(mul(variable(of.token), int(a.heads)), of.head);
  return [
    loop(
      x,
      0,
      r.count * width,
      [
        row.stmt,
        element.stmt,
        ...of.stmts,
        store(
          a.queries,
          add(mul(element.ref, int(r.count)), row.ref),
          load(a.q, add(mul(item, int(width)), element.ref)),
        ),
      ],
      'thread',
    ),
  ];
}

/** The rows' state through the blocks of a part, as far as the span goes. */
function blocksOfPart(a: Attention, r: Rows, part: Expr, span: KeySpan, length: Expr): Stmt[] {
  const { builder: b } = a.ctx;
  const block = b.fresh('block');
  const number = variable(block);
  const from = named(b.fresh('entry'), mul(number, int(blockKeys)));
  const count = named(b.fresh('count'), min(int(blockKeys), sub(length, from.ref)));
  const last = div(sub(count.ref, int(1)), int(blockEntries));
  const sequence = load(a.sequence, r.first, 'i32');
  const row = add(mul(sequence, variable('blocks')), mul(number, int(pagesOfBlock)));
  const table = named(b.fresh('in_table'), row);
  const turn = mul(arithmetic('and', number, int(1)), int(pagesOfBlock));
  const pages = named(b.fresh('pages_at'), turn);
  const page = b.fresh('page');
  const toPages = store(
    a.pages,
    add(pages.ref, variable(page)),
    load(a.table, add(table.ref, min(variable(page), last)), 'i32'),
  );
  const k: KeyBlock = { from: from.ref, count: count.ref, pages: pages.ref };
  const startOf = (p: Expr): Expr => arithmetic('shl', p, span.shift);
  return [
    loop(block, max(span.first, startOf(part)), min(span.end, startOf(add(part, int(1)))), [
      ...[from, count, table, pages].map((x) => x.stmt),
      loop(page, 0, pagesOfBlock, [toPages], 'thread'),
      barrier,
      ...products(a, r, k),
      ...maskedScores(a, r, k),
      ...weights(a, r, k),
      ...sumOfValues(a, r, k),
    ]),
  ];
}
