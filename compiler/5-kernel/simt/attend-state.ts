/** What the parts of an attention kernel of workgroups hand each other. */
import { blockKeys } from '../../4-partition/key-parts.ts';
import type { NodeFacts } from '../../4-partition/plan.ts';
import type { Lowered } from '../../ops/op.ts';
import { type Expr, add, arithmetic, compare, div, int, load, min, mul, rem, variable } from '../../scalar/expr.ts'; // prettier-ignore
import type { Stmt } from '../kernel.ts';
import { blockEntries } from '../state-rows.ts';
import { named, readRegister, registers, when } from '../statements.ts';
import { type AttendShape, attendThreads, rowState } from './attend-shape.ts';
import type { SimtContext } from './context.ts';
import type { StateWords } from './state-words.ts';

export interface Attention {
  readonly ctx: SimtContext;
  readonly facts: NodeFacts;
  readonly lowered: Extract<Lowered, { kind: 'attend' }>;
  readonly shape: AttendShape;
  /** Query heads, and those of a key head. */
  readonly heads: number;
  readonly group: number;
  readonly keys: StateWords;
  readonly values: StateWords;
  readonly q: string;
  readonly out: string;
  /** Step arrays: the sequences' blocks of the cache, the position of each slot, and of each token: */
  readonly table: string;
  readonly positions: string;
  readonly position: string;
  readonly sequence: string;
  readonly length: string;
  /**
   * Shared: queries of all rows for one element together; scores and then weights, those of a row for all
   * keys of a block together; sums of threads; first maxima of each row; what each row's thread leaves for
   * all; pages of two blocks by turns.
   */
  readonly queries: string;
  readonly scores: string;
  readonly sums: string;
  readonly most: string;
  readonly state: string;
  readonly pages: string;
  /** Which keys and elements a thread has: names of values that stand before all. */
  readonly own: Own;
}

export interface Own {
  readonly stmts: readonly Stmt[];
  /** Where the thread's keys begin among those side by side, and its share of the elements. */
  readonly keyPlace: Expr;
  readonly keyPhase: Expr;
  /** Where its own key's sums lie among those that meet. */
  readonly meets: Expr;
  readonly column: Expr;
  readonly valuePhase: Expr;
}

/** Rows at hand: tokens that follow each other and the query heads of the workgroup for each of them. */
export interface Rows {
  /** Rows that registers are there for. */
  readonly count: number;
  readonly first: Expr;
  readonly tokens: Expr;
  readonly kvHead: Expr;
  /** The first query head among those of the key head. */
  readonly head: Expr;
  /** Registers of every thread: sums of the weights of its own keys, and weighted sums of values. */
  readonly l: string;
  readonly o: string;
  /** Registers of the thread with a row's number: `row`, three of them. */
  readonly row: string;
}

/** Of a row, by its thread: the running maximum of a part; maximum and sum over the parts so far. */
export const rowRegister = (r: Rows, of: 'm' | 'totalM' | 'totalL') => {
  const n = { m: 0, totalM: 1, totalL: 2 }[of];
  return { number: n, value: readRegister(r.row, n, 1) };
};

/** What a row's thread leaves for all: in a block, then after a part. */
const leftBy = { by: 0, carry: 1, partM: 0, partL: 1, totalM: 2, inverse: 3 } as const;
export const leftAt = (row: Expr, of: keyof typeof leftBy): Expr =>
  add(mul(row, int(rowState)), int(leftBy[of]));
export const leftOf = (a: Attention, row: Expr, of: keyof typeof leftBy): Expr =>
  load(a.state, leftAt(row, of));

/** Statements for the rows of each token, where there are as many tokens. */
export function byTokens(a: Attention, r: Rows, of: (row: number) => readonly Stmt[]): Stmt[] {
  const { heads } = a.shape;
  return range(r.count / heads).flatMap((n): Stmt[] => {
    const stmts = range(heads).flatMap((x) => of(n * heads + x));
    return n === 0 ? stmts : [when(compare('lt', int(n), r.tokens), stmts)];
  });
}

/** A block of keys, as far as any row sees it. */
export interface KeyBlock {
  readonly from: Expr;
  readonly count: Expr;
  /** Where its pages lie in the shared tile. */
  readonly pages: Expr;
}

export const thread = variable('thread');
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const barrier: Stmt = { kind: 'barrier', owner: 'workgroup' };

export const ownOf = (ctx: SimtContext, { keys, values }: AttendShape, perWord: number): Own => {
  const { builder: b } = ctx;
  // The threads of a page have neighbouring elements of its slots, which lie one after the other.
  const pages = int(attendThreads / (blockKeys / blockEntries));
  const quads = int(blockEntries / (keys?.together ?? blockEntries));
  const quad = add(mul(div(thread, pages), quads), rem(thread, quads));
  const keyPlace = named(b.fresh('key_place'), quad);
  const keyPhase = named(b.fresh('key_phase'), div(rem(thread, pages), quads));
  const together = int(keys?.together ?? 1);
  const inWords = rem(thread, together);
  const place = add(
    mul(rem(inWords, int(perWord)), int(keys?.lanes ?? 1)),
    div(inWords, int(perWord)),
  );
  const meets = named(b.fresh('meets'), add(mul(div(thread, together), together), place));
  const column = named(b.fresh('column'), rem(thread, int(values.columns)));
  const valuePhase = named(b.fresh('value_phase'), div(thread, int(values.columns)));
  return {
    stmts: [
      ...(keys ? [keyPlace.stmt, keyPhase.stmt, meets.stmt] : []),
      ...(values.rounds === 1 ? [column.stmt, valuePhase.stmt] : []),
    ],
    keyPlace: keyPlace.ref,
    keyPhase: keyPhase.ref,
    meets: meets.ref,
    column: values.rounds === 1 ? column.ref : thread,
    valuePhase: values.rounds === 1 ? valuePhase.ref : int(0),
  };
};

/** A row's token and query head, and whether it is there: rows past the last repeat it and see nothing. */
export function rowOf(
  a: Attention,
  r: Rows,
  row: Expr,
): {
  readonly stmts: readonly Stmt[];
  readonly token: string;
  readonly head: Expr;
  readonly there: Expr | undefined;
} {
  const { ctx, shape } = a;
  const { builder: b } = ctx;
  const single = r.count === shape.heads;
  const n = single ? int(0) : div(row, int(shape.heads));
  const inChunk = single ? row : rem(row, int(shape.heads));
  const last = a.group % shape.heads !== 0;
  const inGroup = named(b.fresh('in_group'), add(r.head, inChunk));
  const token = named(
    b.fresh('token'),
    single ? r.first : add(r.first, min(n, add(r.tokens, int(-1)))),
  );
  const own = last ? min(inGroup.ref, int(a.group - 1)) : inGroup.ref;
  const head = named(b.fresh('head'), add(mul(r.kvHead, int(a.group)), own));
  const tests = [
    ...(single ? [] : [compare('lt', n, r.tokens)]),
    ...(last ? [compare('lt', inGroup.ref, int(a.group))] : []),
  ];
  const [first, second] = tests;
  return {
    stmts: [inGroup.stmt, token.stmt, head.stmt],
    token: token.stmt.kind === 'let' ? token.stmt.name : '',
    head: head.ref,
    there: first && second ? arithmetic('and', first, second) : first,
  };
}

/** Registers of a thread: `count` of f32 vectors, by number. */
export interface Registers {
  readonly stmt: Stmt;
  at(n: number): Expr;
}
export const registersOf = (name: string, count: number, lanes = 1): Registers => ({
  stmt: registers(name, count, lanes),
  at: (n) => readRegister(name, n, lanes),
});

export const pageAt = (a: Attention, k: KeyBlock, page: Expr): Expr =>
  load(a.pages, add(k.pages, page), 'i32');
