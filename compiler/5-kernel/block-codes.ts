/** Products of codes with codes: the sums, in whole numbers, and the scales that they are multiplied with. */
import { present } from '../base/invariant.ts';
import { type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';
import {
  type Dot4, type Expr, add, cast, div, dot2, dot4, fma, int, load, mul, num, pairsOf, shuffle, splat, unary,
} from '../scalar/expr.ts'; // prettier-ignore
import {
  type BlockProduct,
  type Chunk,
  byFactor,
  codeWord,
  levelNumber,
  wide,
} from './block-reading.ts';
import type { BlockGeometry } from './blocks.ts';
import type { Builder } from './builder.ts';
import { type CodeReading, readingOf } from './code-reading.ts';
import type { Stmt } from './kernel.ts';
import type { Machine } from './machine.ts';
import type { StagedCodes, SumWanted } from './staging.ts';
import { named } from './statements.ts';

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

const isPairs = (v: CodeReading['variant']): v is 's16' | 'u16' => v === 's16' || v === 'u16';

/** Whether a product with the scheme reads the operand's codes as pairs of 16 bits. */
export const readsPairs = (scheme: QuantScheme, machine: Machine): boolean =>
  isPairs(readingOf(scheme, machine).variant);

export type Sum = (s: number, m: number, chain?: number) => Expr;
export type SetSum = (s: number, m: number, value: Expr, chain?: number) => Stmt;

/** Statements that add what a chunk comes to. */
export function codesChunk(
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
  const totals = isPairs(reading.variant)
    ? pairTotals(reading.variant === 's16')
    : byteTotals(reading.variant);
  for (let i = 0; i < parts; i++) {
    starts.forEach((start, s) => {
      const level = (l: Level): Expr => levelNumber(p, at, start, i * part, lanes, l);
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
        const total = cast(present(totals.get(key(s, m, i))), 'f32');
        const xScale = splat(load(x.scales, scaleAt(row, i)), lanes);
        const scaled = fma(total, mul(factored, xScale), sum(s, m));
        if (!low) return void out.push(setSum(s, m, scaled));
        const xSum = load(x.values(part), add(present(sumsAt[m]), int(i)));
        out.push(setSum(s, m, fma(low, splat(xSum, lanes), scaled)));
      });
    });
  }
  return out;

  function byteTotals(variant: Dot4): ReadonlyMap<string, Expr> {
    const round = Math.max(...g.planes.map((plane) => plane.perWord));
    const found = new Map<string, Expr>();
    for (let first = 0; first < at.size; first += round) {
      starts.forEach((start, s) => {
        const words = new Map<string, Expr>();
        for (let k = first; k < first + round; k += 4) {
          const code = let_('code', codeWord(p, at, start, k, lanes, words, let_, reading));
          rows.forEach((_, m) => {
            const i = Math.floor(k / part);
            const had = found.get(key(s, m, i)) ?? startOf(m, i);
            const xs = splat(load(x.words, add(present(xWord[m]), int(k / 4)), 'i32'), lanes);
            const [a, c] = variant === 'i8i7' ? [xs, code] : [code, xs];
            found.set(key(s, m, i), let_('dot', dot4(variant, a, c, had)));
          });
        }
      });
    }
    return found;
  }

  /**
   * Lanes of two sums for each vector of columns: a column and which half of every four elements. They
   * meet at the end of a part.
   */
  function pairTotals(signed: boolean): ReadonlyMap<string, Expr> {
    const xPairs = present(x.pairs, 'codes as pairs');
    const zero: Expr = { ...int(0), lanes };
    const found = new Map<string, Expr>();
    const loaded = g.planes.some((plane) => plane.perWord > 4);
    const words = starts.map(() => (loaded ? new Map<string, Expr>() : undefined));
    const halves = new Map<string, readonly [Expr, Expr]>();
    for (let k = 0; k < at.size; k += 4) {
      const shared = starts.length > 1 ? rows.map((_, m) => xAt(m, k)) : undefined;
      starts.forEach((start, s) => {
        const word = codeWord(p, at, start, k, lanes, words[s], let_, reading);
        const code = loaded ? let_('code', word) : word;
        const codes = pairsOf(code, signed).map((half) => let_('code', half));
        const [low, high] = [present(codes[0]), present(codes[1])];
        rows.forEach((_, m) => {
          const own = key(s, m, Math.floor(k / part));
          const [a, c] = halves.get(own) ?? [zero, zero];
          const xs = shared?.[m] ?? xAt(m, k);
          halves.set(own, [let_('dot', dot2(low, xs, a)), let_('dot', dot2(high, xs, c))]);
        });
      });
      if ((k + 4) % part === 0) meet(Math.floor(k / part));
    }
    return found;

    /** Four of the operand's codes as pairs, over and over. */
    function xAt(m: number, k: number): Expr {
      const two = load(xPairs, add(mul(present(xWord[m]), int(2)), int(k / 2)), 'i32', 2);
      const pick = Array.from({ length: lanes }, (_, l) => l % 2);
      return let_('x', shuffle(two, two, pick));
    }

    function meet(i: number): void {
      const every = (first: number) => Array.from({ length: lanes }, (_, l) => 2 * l + first);
      starts.forEach((_, s) =>
        rows.forEach((_row, m) => {
          const [a, c] = present(halves.get(key(s, m, i)));
          const total = add(shuffle(a, c, every(0)), shuffle(a, c, every(1)));
          found.set(key(s, m, i), add(total, startOf(m, i)));
        }),
      );
    }
  }

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

const key = (s: number, m: number, part: number): string => `${s} ${m} ${part}`;
