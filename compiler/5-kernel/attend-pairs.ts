/**
 * Masks and scores that lanes have no instructions for, such as reads of other tensors: entry by
 * entry, and nothing more for a block in which a token sees nobody.
 */
import {
  type Expr,
  type ScalarFn,
  add,
  arithmetic,
  compare,
  int,
  load,
  num,
  variable,
} from '../scalar/expr.ts';
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';
import { type KeyRefs, type PairScope, pairValue } from './pairs.ts';
import { letStmt, loop, named, readRegister, registers, store, when } from './statements.ts';

/** The entries of a block, in the loop over blocks. */
export interface Entries {
  readonly pairs: PairScope;
  readonly mask: ScalarFn;
  readonly score: ScalarFn;
  /** The tile of positions by cache slot. */
  readonly keys: string;
  /** Slot of the block's first entry, how many the token has of it, and the first one's number. */
  readonly slot: Expr;
  readonly count: Expr;
  readonly from: Expr;
  /** The block's scores, of -Infinity where an entry is not seen. */
  readonly scores: string;
}

/** The entries that are chosen of those that the mask shows. */
export interface Choice {
  readonly by: ScalarFn;
  readonly start: readonly Stmt[];
  readonly perBlock: readonly Stmt[];
  readonly end: readonly Stmt[];
  /** The last one chosen. */
  readonly worst: Expr;
  readonly last: Expr;
}

/** An entry of the block as a key, named. */
function keyAt(
  ctx: LowerContext,
  b: Entries,
  e: string,
  s: Expr = num(0),
): { readonly stmts: readonly Stmt[]; readonly key: KeyRefs } {
  const slot = named(ctx.builder.fresh('key_slot'), add(b.slot, variable(e)));
  const j = named(ctx.builder.fresh('j'), load(b.keys, slot.ref, 'i32'));
  return { stmts: [slot.stmt, j.stmt], key: { slot: slot.ref, j: j.ref, s } };
}

/** `body` for every entry that the mask shows. */
function visible(
  ctx: LowerContext,
  b: Entries,
  body: (e: string, key: KeyRefs) => readonly Stmt[],
): Stmt {
  const e = ctx.builder.fresh('e');
  const { stmts, key } = keyAt(ctx, b, e);
  const seen = pairValue(ctx, b.pairs, b.mask, ['i', 'j', 'h'], key);
  return loop(e, 0, b.count, [...stmts, ...seen.stmts, when(seen.value, body(e, key))]);
}

export function scoresOneByOne(
  ctx: LowerContext,
  b: Entries,
  choice: Choice | undefined,
  blank: readonly Stmt[],
  products: (tile: string) => readonly Stmt[],
  merge: readonly Stmt[],
): Stmt[] {
  const { builder } = ctx;
  const some = builder.fresh('shown');
  const dots = builder.scratch('products', 16);
  const clear = builder.fresh('e');
  const show = (e: string): Stmt[] => [
    store(b.scores, variable(e), num(0)),
    store(some, 0, int(1)),
  ];
  const mark = visible(ctx, b, (e, key) => {
    if (!choice) return show(e);
    const by = pairValue(ctx, b.pairs, choice.by, ['i', 'j', 'h'], key);
    const value = named(builder.fresh('by'), by.value);
    const tied = arithmetic(
      'and',
      compare('eq', value.ref, choice.worst),
      compare('le', add(b.from, variable(e)), choice.last),
    );
    const chosen = arithmetic('or', compare('gt', value.ref, choice.worst), tied);
    return [...by.stmts, value.stmt, when(chosen, show(e))];
  });
  const e = builder.fresh('e');
  const { stmts, key } = keyAt(ctx, b, e, load(dots, variable(e)));
  const score = pairValue(ctx, b.pairs, b.score, ['s', 'i', 'j', 'h'], key);
  const shown = compare('eq', load(b.scores, variable(e)), num(0));
  return [
    registers(some, 1, 1, 'i32'),
    loop(clear, 0, b.count, [store(b.scores, variable(clear), num(-Infinity))]),
    mark,
    ...blank,
    when(compare('ne', readRegister(some, 0, 1, 'i32'), int(0)), [
      ...products(dots),
      loop(e, 0, b.count, [
        when(shown, [...stmts, ...score.stmts, store(b.scores, variable(e), score.value)]),
      ]),
      ...merge,
    ]),
  ];
}

/**
 * The best `count` entries by insertion into a sorted list of the thread's own, in the order of the
 * entries: an equal one does not displace an earlier.
 */
export function lowerChoice(
  ctx: LowerContext,
  b: Entries,
  { count, by }: { readonly count: number; readonly by: ScalarFn },
): Choice {
  const { builder } = ctx;
  const best = builder.scratch('best', count);
  const entries = builder.scratch('chosen', count, 'i32');
  const clear = builder.fresh('c');
  const at = builder.fresh('place');
  const scan = builder.fresh('c');
  const place = readRegister(at, 0, 1, 'i32');
  const last = int(count - 1);
  const perBlock = visible(ctx, b, (e, key) => {
    const wanted = pairValue(ctx, b.pairs, by, ['i', 'j', 'h'], key);
    const value = named(builder.fresh('by'), wanted.value);
    const from = add(last, arithmetic('mul', int(-1), variable(scan)));
    const previous = add(from, int(-1));
    // Smaller ones move back by one; the first that is not smaller stays, and all before it.
    const move = when(compare('lt', load(best, previous), value.ref), [
      store(best, from, load(best, previous)),
      store(entries, from, load(entries, previous, 'i32')),
      store(at, 0, previous),
    ]);
    return [
      ...wanted.stmts,
      value.stmt,
      when(compare('gt', value.ref, load(best, last)), [
        registers(at, 1, 1, 'i32'),
        store(at, 0, last),
        loop(scan, 0, count - 1, [move]),
        store(best, place, value.ref),
        store(entries, place, add(b.from, variable(e))),
      ]),
    ];
  });
  const worst = builder.fresh('worst');
  const end = builder.fresh('last_chosen');
  return {
    by,
    start: [
      loop(clear, 0, count, [
        store(best, variable(clear), num(-Infinity)),
        store(entries, variable(clear), int(-1)),
      ]),
    ],
    perBlock: [perBlock],
    end: [letStmt(worst, load(best, last)), letStmt(end, load(entries, last, 'i32'))],
    worst: variable(worst, 'f32'),
    last: variable(end),
  };
}
