/** Products of codes with codes: the sums, in whole numbers, and the scales that they are multiplied with. */
import { present } from '../base/invariant.ts';
import { type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';
import {
  type Dot4, type Expr, add, cast, div, dot2, dot4, dots, fma, int, load, mul, num, pairsOf, shuffle, splat, unary,
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
import type { SimdMachine } from './machine.ts';
import { type StagedCodes, type SumWanted, sumsOf } from './staging.ts';
import { named, store } from './statements.ts';

export const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

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
  machine: Pick<SimdMachine, 'bytes'>,
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
export const readsPairs = (scheme: QuantScheme, machine: SimdMachine): boolean =>
  isPairs(readingOf(scheme, machine).variant);

export type Sum = (s: number, m: number, chain?: number) => Expr;
export type SetSum = (s: number, m: number, value: Expr, chain?: number) => Stmt;

/** Statements that add what a chunk comes to. */
export function codesChunk(
  b: Builder,
  machine: SimdMachine,
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
  const first = present(rows[0]);
  const firstWord = let_('xw', add(mul(first, int(x.perRow)), perBlock(4)));
  const xWord = rows.map((_, m) => add(firstWord, int(m * x.perRow)));
  const parts = at.size / part;
  const sumsPerRow = (x.perRow * 4) / part;
  const firstSum = let_('xs', add(mul(first, int(sumsPerRow)), perBlock(part)));
  const sumsAt = rows.map((_, m) => add(firstSum, int(m * sumsPerRow)));
  const { variant } = reading;
  if (isPairs(variant)) pairSums(variant === 's16');
  else if (variant === 'i8i7' && machine.partSums) partSums();
  else byteSums(variant);
  return out;

  /** Products one by one, each added to the last. */
  function byteSums(variant: Dot4): void {
    const round = Math.max(...g.planes.map((plane) => plane.perWord));
    const totals = new Map<string, Expr>();
    for (let first = 0; first < at.size; first += round) {
      starts.forEach((start, s) => {
        const words = new Map<string, Expr>();
        for (let k = first; k < first + round; k += 4) {
          const code = let_('code', codeWord(p, at, start, k, lanes, words, let_, reading));
          rows.forEach((_, m) => {
            const i = Math.floor(k / part);
            const key = `${s} ${m} ${i}`;
            const had = totals.get(key) ?? startOf(m, i);
            const [a, c] = variant === 'i8i7' ? [wordAt(m, k), code] : [code, wordAt(m, k)];
            totals.set(key, let_('dot', dot4(variant, a, c, had)));
          });
        }
      });
    }
    for (let i = 0; i < parts; i++) {
      starts.forEach((start, s) => {
        const addUp = scaledBy(start, s, i);
        rows.forEach((_, m) => addUp(m, present(totals.get(`${s} ${m} ${i}`))));
      });
    }
  }

  /** Products of some of a part together, whose codes or whose operand stay in registers meanwhile. */
  function partSums(): void {
    const words = starts.map(() => new Map<string, Expr>());
    for (let i = 0; i < parts; i++) {
      const rounds = roundsOf(i, 4 * registerWords);
      const shared =
        starts.length > 1 && rounds.map((ks) => ks.map((k) => let_('x', wordAt(0, k))));
      starts.forEach((start, s) => {
        const addUp = scaledBy(start, s, i);
        const codes = rounds.map((ks) =>
          ks.map((k) => {
            const code = codeWord(p, at, start, k, lanes, present(words[s]), let_, reading);
            return shared ? code : let_('code', code);
          }),
        );
        rows.forEach((_, m) => {
          const total = rounds.reduce(
            (had, ks, r) => {
              const xs = shared ? present(shared[r]) : ks.map((k) => wordAt(m, k));
              return dots(xs, present(codes[r]), had, reading.most);
            },
            startOf(m, i),
          );
          addUp(m, total);
        });
      });
    }
  }

  /** First elements of the words of part i, `size` elements at a time. */
  function roundsOf(i: number, size: number): readonly (readonly number[])[] {
    const round = Math.min(part, size);
    return Array.from({ length: part / round }, (_, r) =>
      Array.from({ length: round / 4 }, (_n, n) => i * part + r * round + 4 * n),
    );
  }

  /** Four of the operand's codes in each lane. */
  function wordAt(m: number, k: number): Expr {
    return splat(load(x.words, add(present(xWord[m]), int(k / 4)), 'i32'), lanes);
  }

  /**
   * Lanes of two sums for each vector of columns: a column and which half of every four elements. They
   * are kept in memory where others come between, and meet at the end of a part.
   */
  function pairSums(signed: boolean): void {
    const loaded = g.planes.some((plane) => plane.perWord > 4);
    const words = starts.map(() => (loaded ? new Map<string, Expr>() : undefined));
    const kept = b.scratch('halves', starts.length * rows.length * 2 * lanes, 'i32');
    const place = (s: number, m: number, half: number): Expr =>
      int(((s * rows.length + m) * 2 + half) * lanes);
    const every = (first: number) => Array.from({ length: lanes }, (_, l) => 2 * l + first);
    for (let i = 0; i < parts; i++) {
      const rounds = roundsOf(i, 2 * registerWords);
      rounds.forEach((ks, r) => {
        const shared = starts.length > 1 && ks.map((k) => let_('x', pairAt(0, k)));
        starts.forEach((start, s) => {
          const last = r === rounds.length - 1;
          const addUp = last ? scaledBy(start, s, i) : undefined;
          const codes = ks.map((k) => {
            const word = codeWord(p, at, start, k, lanes, words[s], let_, reading);
            const pairs = pairsOf(loaded ? let_('code', word) : word, signed);
            return shared ? pairs : pairs.map((half) => let_('code', half));
          });
          rows.forEach((_, m) => {
            const xs = shared || ks.map((k) => let_('x', pairAt(m, k)));
            const [low, high] = [0, 1].map((half) => {
              const had = r === 0 ? wide(int(0), lanes) : load(kept, place(s, m, half), 'i32', lanes); // prettier-ignore
              const sum = xs.reduce((c, xPair, n) => dot2(present(present(codes[n])[half]), xPair, c), had); // prettier-ignore
              return let_('half', sum);
            });
            if (!low || !high) return;
            if (!addUp) {
              out.push(store(kept, place(s, m, 0), low), store(kept, place(s, m, 1), high));
              return;
            }
            const total = add(shuffle(low, high, every(0)), shuffle(low, high, every(1)));
            addUp(m, add(total, startOf(m, i)));
          });
        });
      });
    }
  }

  /** Four of the operand's codes as pairs, over and over. */
  function pairAt(m: number, k: number): Expr {
    const from = add(mul(present(xWord[m]), int(2)), int(k / 2));
    const two = load(present(x.pairs, 'codes as pairs'), from, 'i32', 2);
    const pick = Array.from({ length: lanes }, (_, l) => l % 2);
    return shuffle(two, two, pick);
  }

  /** Levels of part i for the columns from `start` on, and what adds a token's sum that they scale. */
  function scaledBy(start: number, s: number, i: number): (m: number, total: Expr) => void {
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
    return (m, total) => {
      const xScale = splat(load(x.scales, scaleAt(m, i)), lanes);
      const scaled = fma(cast(total, 'f32'), mul(factored, xScale), sum(s, m));
      if (!low) return void out.push(setSum(s, m, scaled));
      const xSum = load(sumsOf(x, part), add(present(sumsAt[m]), int(i)));
      out.push(setSum(s, m, fma(low, splat(xSum, lanes), scaled)));
    };
  }

  function startOf(m: number, i: number): Expr {
    if (reading.offset === 0) return { ...int(0), lanes };
    const sums = sumsOf(x, part, reading.offset);
    return splat(load(sums, add(present(sumsAt[m]), int(i)), 'i32'), lanes);
  }

  function scaleAt(m: number, i: number): Expr {
    const start = add(mul(first, int(x.scalesPerRow)), int(m * x.scalesPerRow));
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

/** Vectors that a pass over some of a part keeps in registers. */
const registerWords = 8;
