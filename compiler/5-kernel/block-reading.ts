/** What products read of a block of a matrix in the layout `blocks`: codes and levels, in lanes. */
import { invariant } from '../base/invariant.ts';
import type { Level, QuantScheme } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import { type Expr, add, arithmetic, div, int, load, lookup, mul, num } from '../scalar/expr.ts';
import { type BlockGeometry, type LevelPlace, placeOfLevel } from './blocks.ts';
import { type CodeReading, bytesOf } from './code-reading.ts';
import { scalarOf } from './kernel.ts';
import { bandRows } from './layout.ts';
import { numberOf, tileTypeOf } from './numbers.ts';

export interface BlockProduct {
  readonly scheme: QuantScheme;
  readonly geometry: BlockGeometry;
  /** The weight as a tile of elements of a type. */
  readonly weight: (dtype: DType) => string;
  /** Word (of 4 bytes) where the band begins. */
  readonly band: Expr;
  /** Word where the band begins that comes after this one, if it lies elsewhere. */
  readonly next?: Expr;
  /** For each token the element (floats) or the number of its row (codes: the first and what follows it). */
  readonly rows: readonly Expr[];
  /** Where column c of token m goes: y[out(m) + c]. */
  readonly y: string;
  readonly out: (m: number) => Expr;
}

/** What of a block is being worked on: its first word, and the first element of a chunk in it. */
export interface Chunk {
  readonly word: Expr;
  /** Block number along k, and number of the chunk in the block. */
  readonly block: Expr;
  readonly chunk: Expr;
  readonly size: number;
  /** Numbers of levels that all chunks of the block have in common, for columns from an element on. */
  readonly held?: HeldLevels;
}

export type HeldLevels = ReadonlyMap<Level, ReadonlyMap<number, Expr>>;

export const wide = (e: Expr, lanes: number): Expr => ({ ...e, lanes });

/** What bytes are multiplied with to be what the scale makes of codes. */
export const byFactor = (scale: Expr, { factor }: CodeReading): Expr =>
  factor === 1 ? scale : mul(scale, wide(num(factor), scale.lanes));

/**
 * Four codes from element k of the chunk on, in the bytes of a word of each lane. `words`: those of the
 * planes that are named already; without it what covers just these four stays part of the expression.
 */
export function codeWord(
  { geometry: g, weight }: BlockProduct,
  at: Chunk,
  start: number,
  k: number,
  lanes: number,
  words: Map<string, Expr> | undefined,
  let_: (hint: string, value: Expr) => Expr,
  { flip, table }: CodeReading,
): Expr {
  const parts = g.planes.map((plane) => {
    const word = Math.floor(k / plane.perWord);
    const shift = Math.floor((k % plane.perWord) / 4) * plane.bits;
    const key = `${plane.from} ${word}`;
    const chunkWords = (at.size / plane.perWord) * bandRows;
    const index = add(
      add(at.word, mul(at.chunk, int(chunkWords))),
      int(plane.at / 4 + word * bandRows + start),
    );
    const loaded = load(weight('u32'), index, 'i32', lanes);
    const held = words ? (words.get(key) ?? let_('words', loaded)) : loaded;
    words?.set(key, held);
    const last = plane.bits === 8;
    const moved = shift === 0 ? held : arithmetic('shr', held, int(shift));
    const own = last ? moved : arithmetic('and', moved, wide(int(bytesOf(2 ** plane.bits - 1)), lanes)); // prettier-ignore
    return plane.from === 0 ? own : arithmetic('shl', own, int(plane.from));
  });
  const code = parts.reduce((a, c) => arithmetic('or', a, c));
  const flipped = flip === 0 ? code : arithmetic('xor', code, wide(int(flip), lanes));
  return table ? lookup(flipped, table) : flipped;
}

/** A level's number for element k of the chunk, for `lanes` rows of the band from `start` on. */
export function levelNumber(
  { geometry: g, weight, band }: BlockProduct,
  at: Chunk,
  start: number,
  k: number,
  lanes: number,
  level: Level,
): Expr {
  const held = at.held?.get(level)?.get(start);
  if (held) return held;
  const place: LevelPlace = placeOfLevel(g, level);
  const dtype = tileTypeOf(place.level.format, place.bytes);
  const per = 4 / place.bytes;
  const from = place.group === 0 ? band : at.word;
  const element = add(mul(from, int(per)), int(place.at / place.bytes + start));
  const index = place.group === 0 ? element : add(element, mul(groupInBlock(), int(bandRows)));
  return numberOf(load(weight(dtype), index, scalarOf(dtype), lanes), place.level.format);

  function groupInBlock(): Expr {
    if (place.group === g.block) return int(0);
    if (at.size % place.group === 0) {
      return add(mul(at.chunk, int(at.size / place.group)), int(Math.floor(k / place.group)));
    }
    invariant(place.group % at.size === 0, 'groups and chunks fit into each other');
    return div(at.chunk, int(place.group / at.size));
  }
}

/** The levels that change from block to block at most, as numbers: each is read and converted once. */
export function heldLevels(
  p: BlockProduct,
  at: Chunk,
  starts: readonly number[],
  lanes: number,
  let_: (hint: string, value: Expr) => Expr,
): HeldLevels {
  const { geometry: g } = p;
  const whole = [...g.rowLevels, ...g.levels.filter((l) => l.group === g.block)];
  const number = (level: Level, start: number): Expr =>
    let_('held', levelNumber(p, at, start, 0, lanes, level));
  return new Map(
    whole.map(({ level }) => [level, new Map(starts.map((s) => [s, number(level, s)]))]),
  );
}
