/**
 * Products with matrices in the layout `blocks`. Lanes are columns of the result (rows of the band).
 *
 * With an operand in codes, four of the matrix's codes and four of the operand's are multiplied at a
 * time; the scales that change within a row are applied once for each part of k that shares them:
 *
 *   y += scale * x_scale * (sum of code * x + offset * sum of x) - minimum * x_scale * sum of x
 *
 * With an operand in floats, each code becomes a number in a register. Either way y is summed part
 * after part, an order that depends on k and the scheme alone.
 */
import { invariant, present } from '../base/invariant.ts';
import { type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';
import type { DType } from '../base/type.ts';
import {
  type Expr, add, arithmetic, cast, div, dot4, fma, int, load, lookup, mul, num, splat, sub, unary, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { type BlockGeometry, type LevelPlace, placeOfLevel } from './blocks.ts';
import type { Builder } from './builder.ts';
import { type CodeReading, bytesOf, floatReading, readingOf } from './code-reading.ts';
import { type Stmt, scalarOf } from './kernel.ts';
import { bandRows } from './layout.ts';
import type { Machine } from './machine.ts';
import { numberOf, tileTypeOf } from './numbers.ts';
import type { StagedCodes, StagedFloats, SumWanted } from './staging.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';

const cacheLine = 64;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Elements of k over which no scale changes; `group`: those that share one of the operand's. */
export function partOf(scheme: QuantScheme, g: BlockGeometry, group: number): number {
  const own = levelsOf(scheme).flatMap((l) => (l.group.k > 0 ? [l.group.k] : []));
  return own.reduce(gcd, gcd(g.block, group));
}

/** Sums of the operand's codes that a product with the scheme reads. */
export function sumsFor(
  scheme: QuantScheme,
  g: BlockGeometry,
  group: number,
  machine: Machine,
): readonly SumWanted[] {
  const part = partOf(scheme, g, group);
  const { offset } = readingOf(scheme, machine);
  return [
    ...(offset === 0 ? [] : [{ part, factor: offset }]),
    ...(scheme.zero.kind === 'none' ? [] : [{ part }]),
  ];
}

export interface BlockProduct {
  readonly scheme: QuantScheme;
  readonly geometry: BlockGeometry;
  /** The weight as a tile of elements of a type. */
  readonly weight: (dtype: DType) => string;
  /** Word (of 4 bytes) where the band begins. */
  readonly band: Expr;
  /** For each token the element (floats) or the number (codes) of its row. */
  readonly rows: readonly Expr[];
  /** Where column c of token m goes: y[out(m) + c]. */
  readonly y: string;
  readonly out: (m: number) => Expr;
}

export function blockProduct(
  b: Builder,
  machine: Machine,
  p: BlockProduct,
  x: StagedCodes | StagedFloats,
): Stmt[] {
  const groups = bandRows / machine.lanes;
  // One token's sums leave registers for all columns of the band.
  const together = p.rows.length === 1 ? groups : 1;
  const out: Stmt[] = [];
  for (let first = 0; first < groups; first += together) {
    const lanes = Array.from({ length: together }, (_, i) => (first + i) * machine.lanes);
    out.push(...columns(b, machine, p, x, lanes));
  }
  return out;
}

/** What of a block is being worked on: its first word, and the first element of a chunk in it. */
interface Chunk {
  readonly word: Expr;
  /** Block number along k, and number of the chunk in the block. */
  readonly block: Expr;
  readonly chunk: Expr;
  readonly size: number;
}

/** The product for the columns from each of `starts` on. */
function columns(
  b: Builder,
  machine: Machine,
  p: BlockProduct,
  x: StagedCodes | StagedFloats,
  starts: readonly number[],
): Stmt[] {
  const { geometry: g } = p;
  const { lanes } = machine;
  const acc = b.fresh('acc');
  // Floats keep a chain for each byte of a word: the next sum need not wait for the last.
  const chains = x.kind === 'floats' ? 4 : 1;
  const register = (s: number, m: number, chain = 0): number =>
    (s * p.rows.length + m) * chains + chain;
  const sum = (s: number, m: number, chain = 0): Expr =>
    readRegister(acc, register(s, m, chain), lanes);
  const setSum = (s: number, m: number, value: Expr, chain = 0): Stmt =>
    store(acc, register(s, m, chain), value);
  const part = x.kind === 'codes' ? partOf(p.scheme, g, x.group) : partOf(p.scheme, g, 0);
  const size = chunkOf(g, part);
  const block = b.fresh('block');
  const word = named(
    b.fresh('word'),
    add(add(p.band, int(g.headBytes / 4)), mul(variable(block), int(g.blockBytes / 4))),
  );
  const c = b.fresh('chunk');
  const single = g.block === size;
  const at: Chunk = {
    word: word.ref,
    block: variable(block),
    chunk: single ? int(0) : variable(c),
    size,
  };
  const body =
    x.kind === 'codes'
      ? codesChunk(b, machine, p, x, starts, at, part, sum, setSum)
      : floatsChunk(b, machine, p, x, starts, at, part, sum, setSum);
  const inner = single ? body : [loop(c, 0, g.block / size, body)];
  const stmts: Stmt[] = [
    registers(acc, starts.length * p.rows.length * chains, lanes),
    loop(block, 0, g.blocks, [word.stmt, ...askAhead(machine, p, word.ref), ...inner]),
  ];
  starts.forEach((start, s) =>
    p.rows.forEach((_, m) => {
      const total = Array.from({ length: chains }, (_, chain) => sum(s, m, chain)).reduce(add);
      stmts.push(store(p.y, add(p.out(m), int(start)), total));
    }),
  );
  return stmts;
}

/** Asks for the block that lies `ahead` bytes behind this one. */
function askAhead(
  { ahead }: Machine,
  { geometry: g, weight, rows }: BlockProduct,
  word: Expr,
): Stmt[] {
  if (ahead === 0 || rows.length > 1) return [];
  const lines = Math.ceil(g.blockBytes / cacheLine);
  return Array.from({ length: lines }, (_, i) => ({
    kind: 'prefetch',
    tile: weight('u32'),
    index: add(word, int((ahead + i * cacheLine) / 4)),
  }));
}

/** Elements of k that are written out: parts of k in whole words, a small block at once. */
function chunkOf(g: BlockGeometry, part: number): number {
  const least = Math.max(part, ...g.planes.map((plane) => plane.perWord));
  return g.block <= 2 * least ? g.block : least;
}

type Sum = (s: number, m: number, chain?: number) => Expr;
type SetSum = (s: number, m: number, value: Expr, chain?: number) => Stmt;

function codesChunk(
  b: Builder,
  machine: Machine,
  p: BlockProduct,
  x: StagedCodes,
  starts: readonly number[],
  at: Chunk,
  part: number,
  sum: Sum,
  setSum: SetSum,
): Stmt[] {
  const { scheme, geometry: g, rows } = p;
  const { lanes } = machine;
  const reading = readingOf(scheme, machine);
  const out: Stmt[] = [];
  const let_ = (hint: string, value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh(hint), value);
    out.push(stmt);
    return ref;
  };
  const perBlock = (per: number): Expr => add(mul(at.block, int(g.block / per)), mul(at.chunk, int(at.size / per))); // prettier-ignore
  const xWord = rows.map((row) => let_('xw', add(mul(row, int(x.perRow)), perBlock(4))));
  const parts = at.size / part;
  const sumsAt = rows.map((row) =>
    parts * part === 0
      ? row
      : let_('xs', add(mul(row, int((x.perRow * 4) / part)), perBlock(part))),
  );
  const round = Math.max(...g.planes.map((plane) => plane.perWord));
  const totals = new Map<string, Expr>();
  for (let first = 0; first < at.size; first += round) {
    starts.forEach((start, s) => {
      const words = new Map<string, Expr>();
      for (let k = first; k < first + round; k += 4) {
        const code = let_('code', codeWord(p, at, start, k, lanes, words, let_, reading));
        rows.forEach((_, m) => {
          const key = `${s} ${m} ${Math.floor(k / part)}`;
          const had = totals.get(key) ?? startOf(m, Math.floor(k / part));
          const xs = splat(load(x.words, add(present(xWord[m]), int(k / 4)), 'i32'), lanes);
          const [a, c] = reading.variant === 'i8i7' ? [xs, code] : [code, xs];
          totals.set(key, let_('dot', dot4(reading.variant, a, c, had)));
        });
      }
    });
  }
  for (let i = 0; i < parts; i++) {
    starts.forEach((start, s) => {
      const level = (l: Level): Expr => levelNumber(b, p, at, start, i * part, lanes, l);
      const product = (levels: readonly Level[]): Expr => let_('level', levels.map(level).reduce(mul)); // prettier-ignore
      const scale = product(scheme.scales);
      const { zero } = scheme;
      const factored = reading.factor === 1 ? scale : let_('scaled', byFactor(scale, reading));
      const low =
        zero.kind === 'minimum'
          ? let_('low', unary('neg', product(zero.levels)))
          : zero.kind === 'integer'
            ? let_(
                'low',
                unary('neg', mul(scale, add(level(zero.field), wide(num(zero.add), lanes)))),
              )
            : undefined;
      rows.forEach((row, m) => {
        const total = cast(present(totals.get(`${s} ${m} ${i}`)), 'f32');
        const xScale = splat(load(x.scales, scaleAt(row, i)), lanes);
        const scaled = fma(total, mul(factored, xScale), sum(s, m));
        if (!low) return void out.push(setSum(s, m, scaled));
        const xSum = load(x.values(part), add(present(sumsAt[m]), int(i)));
        out.push(setSum(s, m, fma(low, splat(xSum, lanes), scaled)));
      });
    });
  }
  return out;

  function startOf(m: number, i: number): Expr {
    if (reading.offset === 0) return { ...int(0), lanes };
    const sums = x.sums(part, reading.offset);
    return splat(load(sums, add(present(sumsAt[m]), int(i)), 'i32'), lanes);
  }

  function scaleAt(row: Expr, i: number): Expr {
    const start = mul(row, int(x.scalesPerRow));
    if (x.scalesPerRow === 1) return start;
    const k = add(mul(at.block, int(g.block)), add(mul(at.chunk, int(at.size)), int(i * part)));
    return add(start, x.group % at.size === 0 || at.size % x.group === 0 ? groupOf(i) : div(k, int(x.group))); // prettier-ignore
  }

  /** Number of the operand's group that part i of the chunk belongs to. */
  function groupOf(i: number): Expr {
    if (at.size % x.group === 0) {
      return add(perBlock(x.group), int(Math.floor((i * part) / x.group)));
    }
    return div(perBlock(at.size), int(x.group / at.size));
  }
}

const wide = (e: Expr, lanes: number): Expr => ({ ...e, lanes });

/** What bytes are multiplied with to be what the scale makes of codes. */
const byFactor = (scale: Expr, { factor }: CodeReading): Expr =>
  factor === 1 ? scale : mul(scale, wide(num(factor), scale.lanes));

/** Four codes from element k of the chunk on, in the bytes of a word of each lane. */
function codeWord(
  { geometry: g, weight }: BlockProduct,
  at: Chunk,
  start: number,
  k: number,
  lanes: number,
  words: Map<string, Expr>,
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
    const held = words.get(key) ?? let_('words', load(weight('u32'), index, 'i32', lanes));
    words.set(key, held);
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
function levelNumber(
  _b: Builder,
  { geometry: g, weight, band }: BlockProduct,
  at: Chunk,
  start: number,
  k: number,
  lanes: number,
  level: Level,
): Expr {
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

function floatsChunk(
  b: Builder,
  machine: Machine,
  p: BlockProduct,
  x: StagedFloats,
  starts: readonly number[],
  at: Chunk,
  part: number,
  sum: Sum,
  setSum: SetSum,
): Stmt[] {
  const { scheme, geometry: g, rows } = p;
  const { lanes } = machine;
  const reading = floatReading(scheme);
  const out: Stmt[] = [];
  const let_ = (hint: string, value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh(hint), value);
    out.push(stmt);
    return ref;
  };
  const first = rows.map((row) =>
    let_('xk', add(row, add(mul(at.block, int(g.block)), mul(at.chunk, int(at.size))))),
  );
  starts.forEach((start, s) => {
    const words = new Map<string, Expr>();
    for (let i = 0; i < at.size / part; i++) {
      const level = (l: Level): Expr => levelNumber(b, p, at, start, i * part, lanes, l);
      const product = (levels: readonly Level[]): Expr => levels.map(level).reduce(mul);
      const { zero } = scheme;
      const scale = let_('scale', product(scheme.scales));
      const step = byFactor(scale, reading);
      const offset = wide(num(reading.offset * reading.factor), lanes);
      const shift =
        zero.kind === 'integer'
          ? sub(offset, add(level(zero.field), wide(num(zero.add), lanes)))
          : offset;
      const shifted = mul(scale, shift);
      const low = let_(
        'low',
        zero.kind === 'minimum' ? sub(shifted, product(zero.levels)) : shifted,
      );
      for (let k = i * part; k < (i + 1) * part; k += 4) {
        const code = let_('code', codeWord(p, at, start, k, lanes, words, let_, reading));
        for (let byte = 0; byte < 4; byte++) {
          const moved = byte === 0 ? code : arithmetic('shr', code, int(8 * byte));
          const own = byte === 3 ? moved : arithmetic('and', moved, wide(int(255), lanes));
          const w = let_('w', fma(cast(own, 'f32'), step, low));
          rows.forEach((_, m) => {
            const xk = splat(load(x.tile, add(present(first[m]), int(k + byte))), lanes);
            out.push(setSum(s, m, fma(xk, w, sum(s, m, byte)), byte));
          });
        }
      }
    }
  });
  return out;
}
