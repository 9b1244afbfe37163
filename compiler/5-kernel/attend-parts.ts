/**
 * Attention over the paged cache in tiles: consecutive tokens of one sequence and the query heads of one
 * key head are rows that read each key and value once. Where tokens and key heads are too few for the
 * threads, each part of a token's keys is a piece of work of its own, whose state another kernel combines
 * with the others'. Blocks and parts are those of the entries' own numbering and of how many a token
 * sees: neither chunks nor neighbours nor threads change a result.
 */
import { invariant, present } from '../base/invariant.ts';
import type { ValueId } from '../3-graph/graph.ts';
import { blockKeys } from '../4-partition/key-parts.ts';
import type { Region } from '../4-partition/plan.ts';
import {
  type Expr, add, arithmetic, compare, div, int, load, max, min, mul, rem, select, sub, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { type KeySpan, endPart, firstPart, keySpan, threadsShareTokens } from './attend-merge.ts';
import { panelBlock } from './attend-panel.ts';
import {
  type Rows, type Tile, addPart, clearPart, enter, leavePart, leaveResult, numberKeys, panelsFor,
} from './attend-rows.ts'; // prettier-ignore
import { type Attention, type KeyBlock, range } from './attend-state.ts';
import type { LowerContext } from './context.ts';
import { columnsOf } from './frame.ts';
import type { Stmt } from './kernel.ts';
import { blockEntries, stateOf } from './state-rows.ts';
import { loop, named, readRegister, registers, store, when } from './statements.ts';

/** Rows of a tile, about: what each block of keys is read from memory for. */
const tileRows = 32;
/**
 * Vectors of sums that registers hold beside what is loaded: so many of 16 lanes fit with AVX-512, and as
 * halves in AVX2 with some of them in memory, which measures no slower than fewer.
 */
const accumulators = 8;

export function lowerParts(
  ctx: LowerContext,
  region: Extract<Region, { kind: 'attend' }>,
  parts: ValueId,
): Stmt[] {
  const { plan, builder: b } = ctx;
  const { node, lowered } = region.facts;
  invariant(lowered.kind === 'attend', 'an attention region');
  const { mask } = lowered;
  const [q, k, v] = node.inputs;
  invariant(q !== undefined && k !== undefined && v !== undefined, 'q, k and v');
  const [heads = 1, width = 1] = columnsOf(plan, q);
  const buffer = (value: ValueId, hint: string): string => {
    const { id } = present(plan.buffers.get(value), hint);
    return b.param({ kind: 'buffer', buffer: id }, 'f32', hint);
  };
  const step = (field: 'position' | 'sequence' | 'length' | 'table' | 'keys'): string =>
    b.param({ kind: 'step', field }, 'i32', field);
  const keys = stateOf(ctx, k);
  const values = stateOf(ctx, v);
  invariant(width === keys.width, 'queries and keys of one size');
  const a: Attention = {
    builder: b,
    lowered,
    lanes: ctx.machine.lanes,
    accumulators,
    q: buffer(q, 'q'),
    keys,
    values,
    table: step('table'),
    positions: step('keys'),
    scores: b.scratch('scores', blockKeys * 4),
  };
  const kvHeads = keys.heads;
  const group = heads / kvHeads;
  const tokens = Math.max(1, Math.floor(tileRows / group));
  const t = variable('t');

  const split = named(b.fresh('split'), threadsShareTokens(kvHeads));
  const tile = named(b.fresh('tile_tokens'), select(split.ref, int(1), int(tokens)));
  const tiles = named(b.fresh('tiles'), div(add(t, sub(tile.ref, int(1))), tile.ref));
  const most = b.fresh('parts');
  const partsOfToken = readRegister(most, 0, 1, 'i32');
  const each = b.fresh('token');
  const own = keySpan(b, mask, load(step('length'), variable(each), 'i32'));
  const countParts: Stmt[] = [
    registers(most, 1, 1, 'i32'),
    store(most, 0, int(1)),
    when(split.ref, [
      loop(each, 0, t, [
        ...own.stmts,
        store(most, 0, max(partsOfToken, sub(endPart(own), firstPart(own)))),
      ]),
    ]),
  ];
  const perHead = named(b.fresh('per_head'), partsOfToken);

  const unit = b.fresh('unit');
  const inHead = named(b.fresh('rest'), div(variable(unit), tiles.ref));
  const from = named(b.fresh('from'), mul(rem(variable(unit), tiles.ref), tile.ref));
  const to = named(b.fresh('to'), min(t, add(from.ref, tile.ref)));
  const part = named(b.fresh('part'), rem(inHead.ref, perHead.ref));
  const kvHead = named(b.fresh('group'), div(inHead.ref, perHead.ref));

  const start = b.fresh('start');
  const next = b.fresh('next');
  const nextStart = readRegister(next, 0, 1, 'i32');
  const sequence = named(b.fresh('sequence'), load(step('sequence'), variable(start), 'i32'));
  const run = tokensAlike();
  const rows = named(b.fresh('rows'), mul(sub(run.until, variable(start)), int(group)));
  const at: Tile = {
    ctx,
    facts: region.facts,
    attention: a,
    heads,
    group,
    kvHead: kvHead.ref,
    token: variable(start),
    rows: rows.ref,
    out: buffer(present(node.results[0]), 'out'),
    position: step('position'),
    length: step('length'),
  };
  const all = panelsFor(a, group, tokens * group, rows.ref);
  const overPanels = (body: (r: Rows, panel: Expr) => readonly Stmt[]): Stmt[] =>
    all.map((r) => {
      const panel = b.fresh('panel');
      return loop(panel, 0, r.count, body(r, variable(panel)));
    });
  const partName = b.fresh('part');
  const begins = named(b.fresh('first_part'), firstPart(run.span));
  const ends = named(b.fresh('end_part'), endPart(run.span));
  const mine = named(b.fresh('from_part'), add(begins.ref, select(split.ref, part.ref, int(0))));
  const last = select(split.ref, min(add(mine.ref, int(1)), ends.ref), ends.ref);
  const until = named(b.fresh('to_part'), last);
  const left = buffer(parts, 'parts');
  const number = sub(variable(partName), begins.ref);
  const overParts = loop(partName, mine.ref, until.ref, [
    ...overPanels((r, panel) => clearPart(at, r, panel)),
    blocksOfPart(),
    when(
      split.ref,
      overPanels((r, panel) => leavePart(at, r, panel, left, number)),
      overPanels((r, panel) => addPart(at, r, panel)),
    ),
  ]);
  const runBody: Stmt[] = [
    sequence.stmt,
    ...run.stmts,
    store(next, 0, run.until),
    ...[rows, begins, ends, mine, until].map((x) => x.stmt),
    ...overPanels((r, panel) => enter(at, r, panel)),
    overParts,
    when(
      split.ref,
      [],
      overPanels((r, panel) => leaveResult(at, r, panel)),
    ),
  ];
  const units = mul(mul(tiles.ref, int(kvHeads)), perHead.ref);
  const unitBody: Stmt[] = [
    ...[inHead, from, to, part, kvHead].map((x) => x.stmt),
    registers(next, 1, 1, 'i32'),
    store(next, 0, from.ref),
    loop(start, from.ref, to.ref, [when(compare('eq', variable(start), nextStart), runBody)]),
  ];
  return [
    ...all.map((r) => numberKeys(r, a)),
    ...[split, tile, tiles].map((x) => x.stmt),
    ...countParts,
    perHead.stmt,
    loop(unit, 0, units, unitBody, 'thread'),
  ];

  /** The tokens from `start` on that are of one sequence and have parts of one length. */
  function tokensAlike() {
    const first = keySpan(b, mask, load(step('length'), variable(start), 'i32'));
    const other = b.fresh('other');
    const size = named(b.fresh('length'), load(step('length'), variable(other), 'i32'));
    const span = keySpan(b, mask, size.ref);
    const held = b.fresh('alike');
    const [untilAt, fromAt, endAt, lengthAt] = range(4).map((n) => readRegister(held, n, 1, 'i32'));
    invariant(untilAt && fromAt && endAt && lengthAt, 'four registers');
    const same = arithmetic(
      'and',
      compare('eq', untilAt, variable(other)),
      compare('eq', load(step('sequence'), variable(other), 'i32'), sequence.ref),
    );
    const ownLength = load(step('length'), variable(start), 'i32');
    const ends = range(4).map((n) => named(b.fresh('run'), readRegister(held, n, 1, 'i32')));
    const [until, from, end, length] = ends;
    invariant(until && from && end && length, 'four names');
    return {
      stmts: [
        ...first.stmts,
        registers(held, 4, 1, 'i32'),
        ...[add(variable(start), int(1)), first.first, first.end, ownLength].map((x, n) =>
          store(held, n, x),
        ),
        loop(other, add(variable(start), int(1)), to.ref, [
          when(same, [
            size.stmt,
            ...span.stmts,
            when(compare('eq', span.shift, first.shift), [
              store(held, 0, add(variable(other), int(1))),
              store(held, 1, min(fromAt, span.first)),
              store(held, 2, max(endAt, span.end)),
              store(held, 3, max(lengthAt, size.ref)),
            ]),
          ]),
        ]),
        ...ends.map((x) => x.stmt),
      ],
      until: until.ref,
      length: length.ref,
      span: { stmts: [], first: from.ref, end: end.ref, shift: first.shift } satisfies KeySpan,
    };
  }

  /** Every block of the part takes all panels along before the next is read. */
  function blocksOfPart(): Stmt {
    const block = b.fresh('block');
    const number = variable(block);
    const entry = named(b.fresh('entry'), mul(number, int(blockKeys)));
    const count = named(b.fresh('count'), min(int(blockKeys), sub(run.length, entry.ref)));
    const pages = named(
      b.fresh('pages'),
      div(add(count.ref, int(blockEntries - 1)), int(blockEntries)),
    );
    const row = mul(sequence.ref, variable('blocks'));
    const table = named(b.fresh('in_table'), add(row, mul(number, int(blockKeys / blockEntries))));
    const keyBlock: KeyBlock = {
      from: entry.ref,
      count: count.ref,
      pages: pages.ref,
      table: table.ref,
      group: kvHead.ref,
    };
    const startOf = (p: Expr): Expr => arithmetic('shl', p, run.span.shift);
    return loop(
      block,
      max(run.span.first, startOf(variable(partName))),
      min(run.span.end, startOf(add(variable(partName), int(1)))),
      [
        ...[entry, count, pages, table].map((x) => x.stmt),
        ...overPanels(({ panels }, panel) => panelBlock(a, panels, panel, keyBlock)),
      ],
    );
  }
}
