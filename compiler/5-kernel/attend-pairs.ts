/**
 * Masks and scores that lanes have no instructions for, such as reads of other tensors: entry by
 * entry, and nothing more for a block in which a token sees nobody.
 */
import { invariant } from '../base/invariant.ts';
import {
  type Expr,
  type ScalarFn,
  add,
  arithmetic,
  cast,
  compare,
  div,
  int,
  load,
  num,
  sub,
  variable,
} from '../scalar/expr.ts';
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';
import { type KeyRefs, type PairScope, type PairValue, pairValue } from './pairs.ts';
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
  readonly start: readonly Stmt[];
  readonly perBlock: readonly Stmt[];
  readonly end: readonly Stmt[];
  /** Whether a visible entry of a block is chosen. */
  has(e: string, key: KeyRefs): PairValue;
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
    const chosen = choice.has(e, key);
    return [...chosen.stmts, when(chosen.value, show(e))];
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
 * The best `count` entries, or blocks of positions, by insertion into a sorted list of the thread's
 * own, in the order of the entries: an equal one does not displace an earlier.
 */
export function lowerChoice(
  ctx: LowerContext,
  b: Entries,
  { count, each, by }: { readonly count: number; readonly each: number; readonly by: ScalarFn },
): Choice {
  const { builder } = ctx;
  const best = builder.scratch('best', count);
  const chosen = builder.scratch('chosen', count, 'i32');
  const last = int(count - 1);
  const clear = builder.fresh('c');
  const start = loop(clear, 0, count, [
    store(best, variable(clear), num(-Infinity)),
    store(chosen, variable(clear), int(-1)),
  ]);
  const wanted = (key: KeyRefs) => {
    const { stmts, value } = pairValue(ctx, b.pairs, by, ['i', 'j', 'h'], key);
    const { stmt, ref } = named(builder.fresh('by'), value);
    return { stmts: [...stmts, stmt], ref };
  };
  return each === 1 ? ofEntries() : ofBlocks();

  function insert(value: Expr, id: Expr): Stmt {
    const at = builder.fresh('place');
    const scan = builder.fresh('c');
    const from = sub(last, variable(scan));
    const previous = add(from, int(-1));
    // Smaller ones move back by one; the first that is not smaller stays, and all before it.
    const move = when(compare('lt', load(best, previous), value), [
      store(best, from, load(best, previous)),
      store(chosen, from, load(chosen, previous, 'i32')),
      store(at, 0, previous),
    ]);
    const place = readRegister(at, 0, 1, 'i32');
    return when(compare('gt', value, load(best, last)), [
      registers(at, 1, 1, 'i32'),
      store(at, 0, last),
      loop(scan, 0, count - 1, [move]),
      store(best, place, value),
      store(chosen, place, id),
    ]);
  }

  /** An entry is chosen if it is no worse than the last one chosen. */
  function ofEntries(): Choice {
    const [worst, end] = [builder.fresh('worst'), builder.fresh('last_chosen')];
    const numberOf = (e: string): Expr => add(b.from, variable(e));
    return {
      start: [start],
      perBlock: [
        visible(ctx, b, (e, key) => {
          const { stmts, ref } = wanted(key);
          return [...stmts, insert(ref, numberOf(e))];
        }),
      ],
      end: [letStmt(worst, load(best, last)), letStmt(end, load(chosen, last, 'i32'))],
      has(e, key) {
        const { stmts, ref } = wanted(key);
        const tied = compare('eq', ref, variable(worst, 'f32'));
        const before = compare('le', numberOf(e), variable(end));
        const better = compare('gt', ref, variable(worst, 'f32'));
        return { stmts, value: arithmetic('or', better, arithmetic('and', tied, before)) };
      },
    };
  }

  /** Positions grow with the entries: a block's are next to each other. */
  function ofBlocks(): Choice {
    const [block, sum, size] = ['block', 'sum', 'size'].map((n) => builder.fresh(n));
    invariant(block && sum && size, 'names');
    const current = readRegister(block, 0, 1, 'i32');
    const total = readRegister(sum, 0, 1);
    const entries = readRegister(size, 0, 1, 'i32');
    const offer = (): Stmt => {
      const mean = named(builder.fresh('mean'), div(total, cast(entries, 'f32')));
      return when(compare('gt', entries, int(0)), [mean.stmt, insert(mean.ref, current)]);
    };
    const idOf = (key: KeyRefs) => named(builder.fresh('id'), div(key.j, int(each)));
    return {
      start: [
        start,
        registers(block, 1, 1, 'i32'),
        registers(sum, 1, 1),
        registers(size, 1, 1, 'i32'),
      ],
      perBlock: [
        visible(ctx, b, (_, key) => {
          const { stmts, ref } = wanted(key);
          const id = idOf(key);
          return [
            id.stmt,
            when(compare('ne', id.ref, current), [
              offer(),
              store(block, 0, id.ref),
              store(sum, 0, num(0)),
              store(size, 0, int(0)),
            ]),
            ...stmts,
            store(sum, 0, add(total, ref)),
            store(size, 0, add(entries, int(1))),
          ];
        }),
      ],
      end: [offer()],
      has(_, key) {
        const id = idOf(key);
        const found = builder.fresh('found');
        const c = builder.fresh('c');
        const same = compare('eq', load(chosen, variable(c), 'i32'), id.ref);
        return {
          stmts: [
            id.stmt,
            registers(found, 1, 1, 'i32'),
            loop(c, 0, count, [when(same, [store(found, 0, int(1))])]),
          ],
          value: compare('ne', readRegister(found, 0, 1, 'i32'), int(0)),
        };
      },
    };
  }
}
