/**
 * A piece of k: what one thread multiplies at a time, of one row of a band for all tokens that are
 * computed together.
 */
import { invariant, present } from '../../base/invariant.ts';
import type { Level, QuantScheme } from '../../base/scheme.ts';
import {
  type Expr, add, arithmetic, bits, cast, div, dot4, fma, int, lane, load, mul, num, sub, unary,
} from '../../scalar/expr.ts'; // prettier-ignore
import { codeWord } from '../block-reading.ts';
import { type BlockGeometry, placeOfLevel } from '../blocks.ts';
import type { Builder } from '../builder.ts';
import { type CodeReading, floatReading, readingOf } from '../code-reading.ts';
import type { Stmt } from '../kernel.ts';
import { bandRows, perStep } from '../layout.ts';
import { numberOf, tileTypeOf, widenHalf } from '../numbers.ts';
import { loop, named, readRegister, registers, store } from '../statements.ts';
import { type Places, type Stream, bytes } from './product-shape.ts';

export interface Piece {
  readonly builder: Builder;
  readonly stream: Stream;
  readonly places: Places;
  /** The tile that threads share. */
  readonly tile: string;
  /** Row of the band that the thread works on. */
  readonly row: Expr;
  /** Number of the piece in its chunk. */
  readonly piece: Expr;
  /** Number of the chunk among those that are laid out; its elements of k and its words. */
  readonly chunk: Expr;
  readonly chunkElements: number;
  readonly chunkWords: number;
  /** For each token the row of the operand. */
  readonly rows: readonly Expr[];
  /** f32 registers, one for each token. */
  readonly acc: string;
}

/** Statements that add what the piece comes to. */
export function pieceProduct(p: Piece): Stmt[] {
  const { geometry, weight } = p.stream;
  if (!geometry || weight.layout.kind !== 'blocks') return plainPiece(p);
  const { scheme } = weight.layout;
  const lanes = blockAt(p, geometry);
  return p.places.scalesPerRow > 0
    ? [...lanes.stmts, ...codesPiece(p, scheme, geometry, lanes)]
    : [...lanes.stmts, ...floatsPiece(p, scheme, geometry, lanes)];
}

const sumOf = (p: Piece, m: number): Expr => readRegister(p.acc, m, 1);
const quotient = (a: Expr, by: number): Expr => (by === 1 ? a : div(a, int(by)));

/** a in units of `per`, where it is `times` the number n. */
function units(n: Expr, times: number, per: number): Expr {
  if (times % per === 0) return mul(n, int(times / per));
  return per % times === 0 ? quotient(n, per / times) : div(mul(n, int(times)), int(per));
}

/** Index of the operand's element (word, scale ..) for element `e` of the piece, of which one stands for `per`. */
function operandAt(
  p: Piece,
  m: number,
  from: number,
  perRow: number,
  per: number,
  e: number,
): Expr {
  const { stream, chunk, chunkElements } = p;
  const inChunk = stream.piece % per === 0 || e === 0
    ? add(units(p.piece, stream.piece, per), int(Math.floor(e / per)))
    : div(add(mul(p.piece, int(stream.piece)), int(e)), int(per)); // prettier-ignore
  const place = add(mul(chunk, int(chunkElements / per)), inChunk);
  return add(add(mul(present(p.rows[m]), int(perRow)), place), int(from));
}

interface BlockAt {
  readonly stmts: readonly Stmt[];
  /** Number of the piece in its block. */
  readonly inBlock: Expr;
  /** Word of the tile where the block begins, and where the thread's own words do. */
  readonly word: Expr;
  readonly own: Expr;
}

function blockAt(p: Piece, g: BlockGeometry): BlockAt {
  const { builder: b, stream } = p;
  const per = g.block / stream.piece;
  const block = named(b.fresh('block'), quotient(p.piece, per));
  const inBlock = named(b.fresh('in_block'), sub(p.piece, mul(block.ref, int(per))));
  const start = add(mul(p.chunk, int(p.chunkWords)), mul(block.ref, int(stream.blockWords)));
  const word = named(b.fresh('word'), add(start, int(p.places.weights)));
  const own = named(b.fresh('own'), add(word.ref, p.row));
  return {
    stmts: [block.stmt, ...(per === 1 ? [] : [inBlock.stmt]), word.stmt, own.stmt],
    inBlock: per === 1 ? int(0) : inBlock.ref,
    word: word.ref,
    own: own.ref,
  };
}

/** A level's number for the thread's row and element `e` of the piece. */
function levelNumber(p: Piece, g: BlockGeometry, at: BlockAt, e: number, level: Level): Expr {
  const { stream, row, places, tile } = p;
  const place = placeOfLevel(g, level);
  const per = 4 / place.bytes;
  const group =
    place.group === 0 || place.group === g.block
      ? int(0)
      : stream.piece % place.group === 0
        ? add(mul(at.inBlock, int(stream.piece / place.group)), int(Math.floor(e / place.group)))
        : place.group % stream.piece === 0
          ? div(at.inBlock, int(place.group / stream.piece))
          : div(add(mul(at.inBlock, int(stream.piece)), int(e)), int(place.group));
  const from = place.group === 0 ? int(places.head) : at.word;
  const index = add(add(from, mul(group, int(bandRows / per))), quotient(row, per));
  const word = load(tile, add(index, int(place.at / 4)), 'i32');
  const { format } = level;
  const type = tileTypeOf(format, place.bytes);
  if (per === 1) return numberOf(type === 'f32' ? bits(word, 'f32') : word, format);
  const width = 8 * place.bytes;
  const shift = mul(arithmetic('and', row, int(per - 1)), int(width));
  const raw = arithmetic('and', arithmetic('shr', word, shift), int(2 ** width - 1));
  return numberOf(type === 'i8' ? sub(arithmetic('xor', raw, int(128)), int(128)) : raw, format);
}

/** Elements that are written out: whole words of every plane, and of the operand's loads. */
const roundOf = (g: BlockGeometry): number => Math.max(16, ...g.planes.map((x) => x.perWord));

type Let = (hint: string, value: Expr) => Expr;

/**
 * `each` for every 16 elements of part i, a round of them written out: k counts from the round's start,
 * `first` is the round's first element as one of the piece, `shift` what a loop over rounds adds to it.
 */
function overPart(
  p: Piece,
  g: BlockGeometry,
  at: BlockAt,
  i: number,
  reading: CodeReading,
  out: Stmt[],
  each: (
    quads: readonly Expr[],
    x: (m: number, per: number) => Expr,
    out: Stmt[],
    let_: Let,
  ) => void,
): void {
  const { builder: b, stream, tile } = p;
  const { part, piece } = stream;
  const round = Math.min(roundOf(g), piece);
  const rounds = Math.max(1, part / round);
  invariant(Number.isInteger(rounds) && piece % round === 0, 'parts are of whole rounds');
  const r = b.fresh('round');
  const looped = rounds > 1;
  const body: Stmt[] = looped ? [] : out;
  const let_: Let = (hint, value) => {
    const { stmt, ref } = named(b.fresh(hint), value);
    body.push(stmt);
    return ref;
  };
  // The round that part i begins in, among those of the block.
  const first = add(units(at.inBlock, piece, round), int(Math.floor((i * part) / round)));
  const chunk = looped ? add(first, variableOf(r)) : first;
  const words = new Map<string, Expr>();
  const product = { scheme: present(schemeOf(stream)), geometry: g, weight: () => tile, band: int(0), rows: [], y: '', out: () => int(0) }; // prettier-ignore
  const blockPart = { word: at.own, block: int(0), chunk, size: round };
  const from = part < round ? (i * part) % round : 0;
  for (let k = from; k < from + Math.min(part, round); k += 16) {
    const quads = [0, 4, 8, 12].map((q) => {
      const code = codeWord(product, blockPart, 0, k + q, 1, words, let_, reading);
      return let_('code', code);
    });
    const e = Math.floor((i * part) / round) * round + k;
    const x = (m: number, per: number): Expr => {
      const places = p.places;
      const index = operandAt(p, m, places.x, places.perRow, per, e);
      return looped ? add(index, mul(variableOf(r), int(round / per))) : index;
    };
    each(quads, x, body, let_);
  }
  if (looped) out.push(loop(r, 0, rounds, body));
}

const variableOf = (name: string): Expr => ({ op: 'var', name, dtype: 'i32', lanes: 1 });
const schemeOf = (s: Stream): QuantScheme | undefined =>
  s.weight.layout.kind === 'blocks' ? s.weight.layout.scheme : undefined;

/** Codes times codes, in whole numbers below each scale. */
function codesPiece(p: Piece, scheme: QuantScheme, g: BlockGeometry, at: BlockAt): Stmt[] {
  const { builder: b, stream, places, tile } = p;
  const { part, piece } = stream;
  const group = places.elements / places.scalesPerRow;
  const reading = readingOf(scheme, bytes);
  const out: Stmt[] = [];
  const let_: Let = (hint, value) => {
    const { stmt, ref } = named(b.fresh(hint), value);
    out.push(stmt);
    return ref;
  };
  const total = b.fresh('total');
  const so = (m: number): Expr => readRegister(total, m, 1, 'i32');
  const sumAt = (m: number, i: number, factor: number | undefined): Expr => {
    const sum = present(places.sums.find((s) => s.part === part && s.factor === factor));
    return load(tile, operandAt(p, m, sum.at, sum.perRow, part, i * part), 'i32');
  };
  out.push(registers(total, p.rows.length, 1, 'i32'));
  for (let i = 0; i < piece / part; i++) {
    p.rows.forEach((_, m) => {
      const start = reading.offset === 0 ? int(0) : sumAt(m, i, reading.offset);
      out.push(store(total, m, start));
    });
    overPart(p, g, at, i, reading, out, (quads, x, body, hold) => {
      p.rows.forEach((_, m) => {
        const four = hold('x', load(tile, x(m, 4), 'i32', 4));
        const sum = quads.reduce((had, code, q) => dot4('s8s8', code, lane(four, q), had), so(m));
        body.push(store(total, m, sum));
      });
    });
    const level = (l: Level): Expr => levelNumber(p, g, at, i * part, l);
    const product = (levels: readonly Level[]): Expr => let_('level', levels.map(level).reduce(mul)); // prettier-ignore
    const scale = product(scheme.scales);
    const factored = reading.factor === 1 ? scale : let_('scaled', mul(scale, num(reading.factor)));
    const { zero } = scheme;
    const low =
      zero.kind === 'minimum'
        ? let_('low', unary('neg', product(zero.levels)))
        : zero.kind === 'integer'
          ? let_('low', unary('neg', mul(scale, add(level(zero.field), num(zero.add)))))
          : undefined;
    p.rows.forEach((row, m) => {
      const scaleAt =
        places.scalesPerRow === 1
          ? add(row, int(places.scales))
          : operandAt(p, m, places.scales, places.scalesPerRow, group, i * part);
      const xScale = bits(load(tile, scaleAt, 'i32'), 'f32');
      const scaled = fma(cast(so(m), 'f32'), mul(factored, xScale), sumOf(p, m));
      const value = low ? fma(low, bits(sumAt(m, i, undefined), 'f32'), scaled) : scaled;
      out.push(store(p.acc, m, value));
    });
  }
  return out;
}

/** Codes times floats: each code becomes a number. */
function floatsPiece(p: Piece, scheme: QuantScheme, g: BlockGeometry, at: BlockAt): Stmt[] {
  const { builder: b, stream, tile } = p;
  const { part, piece } = stream;
  const reading = floatReading(scheme);
  const out: Stmt[] = [];
  const let_: Let = (hint, value) => {
    const { stmt, ref } = named(b.fresh(hint), value);
    out.push(stmt);
    return ref;
  };
  for (let i = 0; i < piece / part; i++) {
    const level = (l: Level): Expr => levelNumber(p, g, at, i * part, l);
    const product = (levels: readonly Level[]): Expr => levels.map(level).reduce(mul);
    const { zero } = scheme;
    const scale = let_('scale', product(scheme.scales));
    const step = reading.factor === 1 ? scale : let_('step', mul(scale, num(reading.factor)));
    const offset = num(reading.offset * reading.factor);
    const shift =
      zero.kind === 'integer' ? sub(offset, add(level(zero.field), num(zero.add))) : offset;
    const shifted = mul(scale, shift);
    const low = let_('low', zero.kind === 'minimum' ? sub(shifted, product(zero.levels)) : shifted);
    overPart(p, g, at, i, reading, out, (quads, x, body, hold) => {
      quads.forEach((code, q) => {
        const ws = [0, 1, 2, 3].map((byte) => {
          const moved = byte === 0 ? code : arithmetic('shr', code, int(8 * byte));
          const own = byte === 3 ? moved : arithmetic('and', moved, int(255));
          return hold('w', fma(cast(own, 'f32'), step, low));
        });
        p.rows.forEach((_, m) => {
          const four = load(tile, add(x(m, 1), int(4 * q)), 'i32', 4);
          const xs = hold('x', bits(four, 'f32'));
          const sum = ws.reduce((had, w, byte) => fma(lane(xs, byte), w, had), sumOf(p, m));
          body.push(store(p.acc, m, sum));
        });
      });
    });
  }
  return out;
}

/** Floats times floats. */
function plainPiece(p: Piece): Stmt[] {
  const { builder: b, stream, places, tile } = p;
  const { piece, weight } = stream;
  const per = perStep(weight.dtype);
  const out: Stmt[] = [];
  const let_: Let = (hint, value) => {
    const { stmt, ref } = named(b.fresh(hint), value);
    out.push(stmt);
    return ref;
  };
  const start = add(mul(p.chunk, int(p.chunkWords)), mul(p.piece, int(stream.blockWords)));
  const own = let_('own', add(add(start, p.row), int(places.weights)));
  const ws = Array.from({ length: piece / per }, (_, step) => {
    const word = load(tile, add(own, int(step * bandRows)), 'i32');
    if (per === 1) return [let_('w', bits(word, 'f32'))];
    const both = let_('words', word);
    return (['low', 'high'] as const).map((half) => let_('w', widenHalf(both, weight.dtype, half)));
  }).flat();
  const wide = piece % 4 === 0;
  p.rows.forEach((_, m) => {
    const xAt = (e: number): Expr => operandAt(p, m, places.x, places.perRow, 1, e);
    const xs = wide
      ? Array.from({ length: piece / 4 }, (_q, q) => {
          const four = let_('x', bits(load(tile, xAt(4 * q), 'i32', 4), 'f32'));
          return [0, 1, 2, 3].map((l) => lane(four, l));
        }).flat()
      : ws.map((_w, e) => bits(load(tile, xAt(e), 'i32'), 'f32'));
    const sum = ws.reduce((had, w, e) => fma(present(xs[e]), w, had), sumOf(p, m));
    out.push(store(p.acc, m, sum));
  });
  return out;
}
