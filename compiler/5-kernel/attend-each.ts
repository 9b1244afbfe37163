/**
 * Attention over the paged cache whose functions lanes cannot compute, or that chooses keys: one token and
 * query head at a time, in blocks of 16 entries: scores of a block, then the online-softmax merge of the
 * block into the running state. Blocks are those of the entries' own numbering, so that neither chunks nor
 * neighbours change a result.
 */
import { invariant, present } from '../base/invariant.ts';
import {
  add,
  compare,
  div,
  int,
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
import type { Region } from '../4-partition/plan.ts';
import type { LowerContext } from './context.ts';
import { columnsOf, rowCount } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { type Entries, lowerChoice, scoresOneByOne } from './attend-pairs.ts';
import { fourDots, overWidth, spread, weighted } from './attend-block.ts';
import { loopIndex } from './linear.ts';
import { maskReach } from './mask.ts';
import { type PairScope, pairValue } from './pairs.ts';
import { blockEntries, stateOf } from './state-rows.ts';
import { loop, named, readRegister, registers, store, when } from './statements.ts';
import { reduceLanes, simdLanes } from './vectorize.ts';

export function lowerEach(ctx: LowerContext, region: Extract<Region, { kind: 'attend' }>): Stmt[] {
  const { plan, builder: b } = ctx;
  const { node, lowered } = region.facts;
  invariant(lowered.kind === 'attend', 'an attention region');
  const { mask, score, sink, normalise, select: selected } = lowered;
  const [q, k, v] = node.inputs;
  invariant(q !== undefined && k !== undefined && v !== undefined, 'q, k and v');
  const [heads = 1, width = 1] = columnsOf(plan, q);
  const keys = stateOf(ctx, k);
  const values = stateOf(ctx, v);
  const kvHeads = keys.heads;
  const valueWidth = values.width;
  invariant(width === keys.width, 'queries and keys of one size');
  const result = present(node.results[0]);
  const out = present(plan.buffers.get(result), 'result of attention in memory');
  const qBuffer = present(plan.buffers.get(q), 'queries in memory');
  const qTile = b.param({ kind: 'buffer', buffer: qBuffer.id }, 'f32', 'q');
  const outTile = b.param({ kind: 'buffer', buffer: out.id }, 'f32', 'out');
  const step = (field: 'position' | 'sequence' | 'length' | 'table' | 'keys'): string =>
    b.param({ kind: 'step', field }, 'i32', field);

  const item = b.fresh('item');
  const tokenName = b.fresh('token');
  const token = named(tokenName, div(variable(item), int(heads)));
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
  const reach = maskReach(mask);
  const firstEntry =
    reach === undefined ? int(0) : max(int(0), sub(length.ref, int(Math.min(reach, 2 ** 30))));
  const first = named(b.fresh('first'), div(firstEntry, int(blockEntries)));
  const end = named(b.fresh('end'), div(add(length.ref, int(blockEntries - 1)), int(blockEntries)));

  const before: Stmt[] = [];
  const pairs: PairScope = {
    facts: region.facts,
    frame: { plan, builder: b, row: loopIndex(tokenName, Infinity), locals: new Map() },
    i: position.ref,
    h: head.ref,
    heads,
    before,
    held: new Map(),
  };
  const scores = b.scratch('scores', blockEntries);
  const o = b.scratch('o', valueWidth);
  const state = b.fresh('state'); // m, l
  const m = readRegister(state, 0, 1);
  const l = readRegister(state, 1, 1);
  const block = b.fresh('block');
  const page = named(
    b.fresh('page'),
    load(step('table'), add(tableRow.ref, variable(block)), 'i32'),
  );
  const slot = named(b.fresh('slot'), mul(page.ref, int(blockEntries)));
  const count = named(
    b.fresh('count'),
    min(int(blockEntries), sub(length.ref, mul(variable(block), int(blockEntries)))),
  );
  const j = b.fresh('j');
  const dots = fourDots(ctx, {
    q: qTile,
    qRow: qRow.ref,
    keys,
    block: page.ref,
    head: group.ref,
    entry: variable(j),
  });
  const scaled = mul(dots.value, { ...num(lowered.scale), lanes: simdLanes });
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
      values,
      block: page.ref,
      head: group.ref,
    }),
  ];
  const mergeBlock: Stmt[] = [
    maxima.stmt,
    blockMax.stmt,
    when(compare('gt', blockMax.ref, num(-Infinity)), merge),
  ];
  // Entries past the token's own are other tokens' or nobody's.
  const blank = loop(fill, count.ref, blockEntries, [
    store(scores, variable(fill), num(-Infinity)),
  ]);
  const entries: Entries = {
    pairs,
    mask,
    score,
    keys: step('keys'),
    slot: slot.ref,
    count: count.ref,
    from: mul(variable(block), int(blockEntries)),
    scores,
  };
  const choice = selected && lowerChoice(ctx, entries, selected);
  const overBlocks = (body: readonly Stmt[]): Stmt =>
    loop(block, first.ref, end.ref, [page.stmt, slot.stmt, count.stmt, ...body]);
  const perBlock = scoresOneByOne(
    ctx,
    entries,
    choice,
    [blank],
    (products) => [
      loop(
        j,
        0,
        blockEntries,
        [...dots.stmts, store(products, variable(j), scaled)],
        'vector',
        simdLanes,
      ),
    ],
    mergeBlock,
  );
  const sunk = sink && pairValue(ctx, pairs, sink, ['h', 'i']);
  const over = normalise ? div(num(1), l) : unary('exp', m);
  // A token that sees nothing attends to nothing.
  const seen = select(compare('gt', l, num(0)), over, num(0));
  const inverse = named(b.fresh('inverse'), seen);
  const outRow = named(
    b.fresh('out_row'),
    add(mul(token.ref, int(heads * valueWidth)), mul(head.ref, int(valueWidth))),
  );
  const body: Stmt[] = [
    token.stmt, head.stmt, group.stmt, position.stmt, length.stmt, tableRow.stmt, qRow.stmt,
    first.stmt, end.stmt,
    ...before,
    ...(sunk?.stmts ?? []),
    ...(choice ? [...choice.start, overBlocks(choice.perBlock), ...choice.end] : []),
    registers(state, 2, 1),
    store(state, 0, sunk?.value ?? num(-Infinity)),
    store(state, 1, num(sunk ? 1 : 0)),
    ...overWidth(ctx, valueWidth, (at, lanes) => [store(o, at, { ...num(0), lanes })]),
    overBlocks(perBlock),
    inverse.stmt,
    outRow.stmt,
    ...overWidth(ctx, valueWidth, (at, lanes) => [
      store(outTile, add(outRow.ref, at), mul(load(o, at, 'f32', lanes), spread(inverse.ref, lanes))),
    ]),
  ]; // prettier-ignore
  return [loop(item, 0, mul(rowCount(region.axis), int(heads)), body, 'thread')];
}
