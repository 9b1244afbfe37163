/**
 * How a quantised matrix [n, k] lies in a bundle: the layout `blocks`, made from the scheme's data
 * whatever the checkpoint's own order of bits is.
 *
 * Rows are cut into units and bands of 16 rows as in `tiles`. A band begins with the levels that a
 * whole row shares, 16 numbers each; then come its blocks along k. A block holds `block` elements of
 * each row: first its levels, outermost first, one after the other - for every group of the level in
 * the block 16 numbers, row by row -, then its codes in planes. A plane takes `bits` bits (8, 4, 2 or
 * 1) of each code, the lowest first; it is a sequence of 16 words of 4 bytes, a word of a row after
 * the other. Byte j of a word holds, from its lowest bit on, elements j, j + 4, j + 8 .. of the
 * `32 / bits` that the word covers: a shift and a mask leave four codes in four bytes.
 */
import { invariant, present } from '../base/invariant.ts';
import { bitsOf } from '../base/number-format.ts';
import { type Level, type QuantScheme, bytesOfLevel, levelsOf } from '../base/scheme.ts';
import { bandRows } from './layout.ts';

export interface Plane {
  readonly bits: 1 | 2 | 4 | 8;
  /** Lowest bit of the code that the plane holds. */
  readonly from: number;
  /** Byte of the block where the plane begins. */
  readonly at: number;
  /** Elements of k in a word of the plane. */
  readonly perWord: number;
}

export interface LevelPlace {
  readonly level: Level;
  /** Byte of the band (row levels) or of the block where the numbers of the level begin. */
  readonly at: number;
  readonly bytes: 1 | 2 | 4;
  /** Elements of k that share a number; 0: the whole row. */
  readonly group: number;
}

export interface BlockGeometry {
  /** Elements of k in a block, blocks in a row. */
  readonly block: number;
  readonly blocks: number;
  readonly blockBytes: number;
  /** Levels of a whole row, and their bytes at the head of a band. */
  readonly rowLevels: readonly LevelPlace[];
  readonly headBytes: number;
  readonly levels: readonly LevelPlace[];
  readonly planes: readonly Plane[];
  readonly bandBytes: number;
  readonly paddedUnit: number;
  readonly units: number;
  readonly unitBytes: number;
  readonly matrixBytes: number;
}

/** Elements of a block where no level has groups along k. */
const plainBlock = 32;
/** Blocks are not made wider than that for the sake of lines: rows are filled up to whole ones. */
const widest = 128;
/** Bytes of a line of the cache. */
const line = 64;
const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/**
 * Elements of k in a block: those that the largest group shares, or as many such groups as make
 * whole lines of the cache, so that no vector of codes lies across two.
 */
function blockOf(levels: readonly Level[], bits: number): number {
  const sizes = levels.map((l) => l.group.k).filter((g) => g > 0);
  const block = Math.max(plainBlock, ...sizes);
  const bytes = (elements: number): number =>
    levels.reduce(
      (n, l) => n + (l.group.k > 0 ? (elements / l.group.k) * bytesOfLevel(l) * bandRows : 0),
      (elements * bits * bandRows) / 8,
    );
  const times = [1, 2, 4].find((n) => n * block <= widest && bytes(n * block) % line === 0);
  return block * (times ?? 1);
}

/** Widths of the planes that make up a code. */
function planeBits(bits: number): readonly Plane['bits'][] {
  const out: Plane['bits'][] = [];
  let left = bits;
  for (const b of [8, 4, 2, 1] as const) {
    if (left >= b) {
      out.push(b);
      left -= b;
    }
  }
  return out;
}

/** Why a scheme has no layout `blocks`, or undefined where it has one. */
export function blocksRefusal(scheme: QuantScheme): string | undefined {
  const codes = bitsOf(scheme.codes.format);
  if (codes > 8) return `codes of ${codes} bits`;
  const groups = levelsOf(scheme).map((l) => l.group);
  if (groups.some((g) => g.n !== 1)) return 'scales that rows share';
  const sizes = groups.map((g) => g.k).filter((g) => g > 0);
  const block = Math.max(plainBlock, ...sizes);
  if (sizes.some((g) => g % 16 !== 0 || block % g !== 0)) {
    return `groups of ${sizes.join(' and ')} along k`;
  }
  return undefined;
}

export function blockGeometry(
  n: number,
  k: number,
  scheme: QuantScheme,
  unit: number,
): BlockGeometry {
  const refusal = blocksRefusal(scheme);
  invariant(refusal === undefined, () => `${scheme.name} has ${refusal}`);
  const all = levelsOf(scheme);
  const block = blockOf(all, bitsOf(scheme.codes.format));
  let head = 0;
  const rowLevels = all
    .filter((l) => l.group.k === 0)
    .map((level): LevelPlace => {
      const bytes = bytesOfLevel(level);
      const at = head;
      head += bytes * bandRows;
      return { level, at, bytes, group: 0 };
    });
  let at = 0;
  const levels = all
    .filter((l) => l.group.k > 0)
    .map((level): LevelPlace => {
      const bytes = bytesOfLevel(level);
      const place = { level, at, bytes, group: level.group.k };
      at += (block / level.group.k) * bytes * bandRows;
      return place;
    });
  let from = 0;
  const planes = planeBits(bitsOf(scheme.codes.format)).map((bits): Plane => {
    const plane = { bits, from, at, perWord: 32 / bits };
    from += bits;
    at += (block / plane.perWord) * bandRows * 4;
    return plane;
  });
  const blocks = Math.ceil(k / block);
  const headBytes = roundUp(head, 64);
  const bandBytes = headBytes + blocks * at;
  const paddedUnit = roundUp(unit, bandRows);
  const units = Math.ceil(n / unit);
  const unitBytes = (paddedUnit / bandRows) * bandBytes;
  return {
    block,
    blocks,
    blockBytes: at,
    rowLevels,
    headBytes,
    levels,
    planes,
    bandBytes,
    paddedUnit,
    units,
    unitBytes,
    matrixBytes: units * unitBytes,
  };
}

/** Byte inside one matrix where the band of `row` begins, and the row's number in the band. */
export function bandOf(
  g: BlockGeometry,
  unit: number,
  row: number,
): { readonly at: number; readonly lane: number } {
  const inUnit = row % unit;
  const band = Math.floor(inUnit / bandRows);
  return {
    at: Math.floor(row / unit) * g.unitBytes + band * g.bandBytes,
    lane: inUnit % bandRows,
  };
}

/** Byte in a band of a level's number for the element at `k`. */
export function levelAt(g: BlockGeometry, place: LevelPlace, lane: number, k: number): number {
  if (place.group === 0) return place.at + lane * place.bytes;
  const inBlock = Math.floor((k % g.block) / place.group);
  return (
    g.headBytes +
    Math.floor(k / g.block) * g.blockBytes +
    place.at +
    (inBlock * bandRows + lane) * place.bytes
  );
}

/** Byte in a band, and lowest bit in that byte, of a plane's part of the code at `k`. */
export function planeAt(
  g: BlockGeometry,
  plane: Plane,
  lane: number,
  k: number,
): { readonly byte: number; readonly shift: number } {
  const inBlock = k % g.block;
  const word = Math.floor(inBlock / plane.perWord);
  const inWord = inBlock % plane.perWord;
  return {
    byte:
      g.headBytes +
      Math.floor(k / g.block) * g.blockBytes +
      plane.at +
      (word * bandRows + lane) * 4 +
      (inWord % 4),
    shift: Math.floor(inWord / 4) * plane.bits,
  };
}

/** The level that a scheme names, in its place. */
export const placeOfLevel = (g: BlockGeometry, level: Level): LevelPlace =>
  present(
    [...g.rowLevels, ...g.levels].find((p) => p.level === level),
    'a level of the scheme',
  );
