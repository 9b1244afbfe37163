/** What the parts of an attention kernel hand each other. */
import type { Lowered } from '../ops/op.ts';
import { type Expr, add, load, splat, variable } from '../scalar/expr.ts';
import type { Builder } from './builder.ts';
import type { StateTile } from './state-rows.ts';

/** What all panels of a kernel share. */
export interface Attention {
  readonly builder: Builder;
  readonly lowered: Extract<Lowered, { kind: 'attend' }>;
  /** Lanes of a vector, and how many of them registers hold as accumulators. */
  readonly lanes: number;
  readonly accumulators: number;
  readonly q: string;
  readonly keys: StateTile;
  readonly values: StateTile;
  /** Step arrays: the sequences' blocks of the cache, and the position of each slot. */
  readonly table: string;
  readonly positions: string;
  /** Scores of a block of keys, those of a panel's rows for one key together. */
  readonly scores: string;
}

/** Panels of so many rows each. Their state is the thread's own. */
export interface Panels {
  readonly rows: 1 | 2 | 4;
  /** Queries of a panel, those of its rows for one element together. */
  readonly q: string;
  /** Four numbers a panel, by rows: positions, heads, entries seen, running maxima. */
  readonly i: string;
  readonly h: string;
  readonly length: string;
  readonly m: string;
  /** Four sums of weights for each row, those of all rows for one key together. */
  readonly l: string;
  /** The weighted sum of the values for each row. */
  readonly o: string;
  /** For the scores of some keys, in their order: the number of the key among them. */
  readonly numbers: string;
}

/** A block of keys, as far as any row sees it. */
export interface KeyBlock {
  /** Its first entry and how many there are. */
  readonly from: Expr;
  readonly count: Expr;
  /** Blocks of the cache that hold them, and where the table names the first. */
  readonly pages: Expr;
  readonly table: Expr;
  /** The key head. */
  readonly group: Expr;
}

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const spread = (e: Expr, lanes: number): Expr => (lanes === 1 ? e : splat(e, lanes));

/** The lanes of vectors that a row of this size divides into: four where nothing divides it. */
export function lanesFor(width: number, most: number): number {
  for (let n = most; n > 4; n /= 2) if (width % n === 0) return n;
  return 4;
}

/** Keys whose scores fill whole vectors, at least four. */
export const keysAtOnce = (a: Attention, p: Pick<Panels, 'rows'>): number =>
  Math.max(4, a.lanes / p.rows);

/** The block of the cache that holds page `page` of a block of keys. */
export const pageOf = (a: Attention, k: KeyBlock, page: string): Expr =>
  load(a.table, add(k.table, variable(page)), 'i32');
