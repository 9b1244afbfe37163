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
import { present } from '../base/invariant.ts';
import type { Level } from '../base/scheme.ts';
import {
  type Expr, add, arithmetic, cast, fma, int, load, mul, num, splat, sub, variable,
} from '../scalar/expr.ts'; // prettier-ignore
import { type SetSum, type Sum, codesChunk, partOf } from './block-codes.ts';
import {
  type BlockProduct,
  type Chunk,
  byFactor,
  codeWord,
  heldLevels,
  levelNumber,
  wide,
} from './block-reading.ts';
import type { BlockGeometry } from './blocks.ts';
import type { Builder } from './builder.ts';
import { floatReading } from './code-reading.ts';
import type { Stmt } from './kernel.ts';
import { bandRows } from './layout.ts';
import type { SimdMachine } from './machine.ts';
import type { StagedCodes, StagedFloats } from './staging.ts';
import { loop, named, readRegister, registers, store } from './statements.ts';

const cacheLine = 64;

/** The products of bands of one matrix with the same rows, block by block side by side. */
export function blockProduct(
  b: Builder,
  machine: SimdMachine,
  bands: readonly BlockProduct[],
  x: StagedCodes | StagedFloats,
): Stmt[] {
  const groups = bandRows / machine.lanes;
  // One token's sums leave registers for all columns of the band.
  const together = present(bands[0]).rows.length === 1 ? groups : 1;
  const out: Stmt[] = [];
  for (let first = 0; first < groups; first += together) {
    const lanes = Array.from({ length: together }, (_, i) => (first + i) * machine.lanes);
    const block = b.fresh('block');
    const all = bands.map((p) => columns(b, machine, p, x, lanes, variable(block)));
    out.push(
      ...all.flatMap((c) => c.before),
      loop(
        block,
        0,
        present(bands[0]).geometry.blocks,
        all.flatMap((c) => c.body),
      ),
      ...all.flatMap((c) => c.after),
    );
  }
  return out;
}

/** Statements that stand before, in and behind the loop over a band's blocks. */
interface Columns {
  readonly before: readonly Stmt[];
  readonly body: readonly Stmt[];
  readonly after: readonly Stmt[];
}

/** The product for the columns from each of `starts` on. */
function columns(
  b: Builder,
  machine: SimdMachine,
  p: BlockProduct,
  x: StagedCodes | StagedFloats,
  starts: readonly number[],
  block: Expr,
): Columns {
  const { geometry: g } = p;
  const { lanes } = machine;
  const acc = b.fresh('acc');
  // Floats keep a chain for each byte of a word: the next sum need not wait for the last.
  const chains = x.kind === 'floats' ? 4 : 1;
  const register = (s: number, m: number, chain = 0): number =>
    (s * p.rows.length + m) * chains + chain;
  const inPlace = machine.partSums && x.kind === 'codes';
  const yAt = (s: number, m: number): Expr => add(p.out(m), int(present(starts[s])));
  const sum = (s: number, m: number, chain = 0): Expr =>
    inPlace ? load(p.y, yAt(s, m), 'f32', lanes) : readRegister(acc, register(s, m, chain), lanes);
  const setSum = (s: number, m: number, value: Expr, chain = 0): Stmt =>
    inPlace ? store(p.y, yAt(s, m), value) : store(acc, register(s, m, chain), value);
  const part = x.kind === 'codes' ? partOf(p.scheme, g, x.group) : partOf(p.scheme, g, 0);
  const size = chunkOf(g, part);
  const word = named(
    b.fresh('word'),
    add(add(p.band, int(g.headBytes / 4)), mul(block, int(g.blockBytes / 4))),
  );
  const c = b.fresh('chunk');
  const single = g.block === size;
  const place = { word: word.ref, block, chunk: single ? int(0) : variable(c), size };
  const shared: Stmt[] = [];
  const let_ = (hint: string, value: Expr): Expr => {
    const { stmt, ref } = named(b.fresh(hint), value);
    shared.push(stmt);
    return ref;
  };
  const at: Chunk = single ? place : { ...place, held: heldLevels(p, place, starts, lanes, let_) };
  const chunk =
    x.kind === 'codes'
      ? codesChunk(b, machine, p, x, starts, at, part, sum, setSum)
      : floatsChunk(b, machine, p, x, starts, at, part, sum, setSum);
  const inner = single ? chunk : [loop(c, 0, g.block / size, chunk)];
  const body = [word.stmt, ...askAhead(machine, p, word.ref), ...shared, ...inner];
  const each = <T>(f: (s: number, m: number) => T): T[] =>
    starts.flatMap((_, s) => p.rows.map((_row, m) => f(s, m)));
  if (inPlace) {
    return { before: each((s, m) => setSum(s, m, wide(num(0), lanes))), body, after: [] };
  }
  const total = (s: number, m: number): Expr =>
    Array.from({ length: chains }, (_, chain) => sum(s, m, chain)).reduce(add);
  return {
    before: [registers(acc, starts.length * p.rows.length * chains, lanes)],
    body,
    after: each((s, m) => store(p.y, yAt(s, m), total(s, m))),
  };
}

/** Asks for the same block of the next band, or for what lies `ahead` bytes behind this one. */
function askAhead(
  { ahead }: SimdMachine,
  { geometry: g, weight, rows, next, band }: BlockProduct,
  word: Expr,
): Stmt[] {
  if (ahead === 0 || (rows.length > 1 && next === undefined)) return [];
  const from = next === undefined ? add(word, int(ahead / 4)) : add(next, sub(word, band));
  const lines = Math.ceil(g.blockBytes / cacheLine);
  return Array.from({ length: lines }, (_, i) => ({
    kind: 'prefetch',
    tile: weight('u32'),
    index: add(from, int((i * cacheLine) / 4)),
  }));
}

/** Elements of k that are written out: parts of k in whole words, a small block at once. */
function chunkOf(g: BlockGeometry, part: number): number {
  const least = Math.max(part, ...g.planes.map((plane) => plane.perWord));
  return g.block <= 2 * least ? g.block : least;
}

function floatsChunk(
  b: Builder,
  machine: SimdMachine,
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
      const level = (l: Level): Expr => levelNumber(p, at, start, i * part, lanes, l);
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
