/** Schemes at work: stored bits to values, values to stored bits, for any scheme alike. */
import { bitsOf, codeOf, largestOf, roundEven, valueOf } from '../base/number-format.ts';
import { type Field, type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';
import { type MatrixSize, type Stores, bitAlong, gatherOf, stretchOf } from './gather.ts';

/** Bit in the store of the first bit of a piece, for element (n, k). */
function bitAt(piece: Field['pieces'][number], n: number, k: number, size: MatrixSize): number {
  return piece.offset + bitAlong(piece, 'n', n, size) + bitAlong(piece, 'k', k, size);
}

function writeCode(
  field: Field,
  stores: Stores,
  n: number,
  k: number,
  size: MatrixSize,
  code: number,
): void {
  // prettier-ignore
  const bytes = stores[field.store];
  if (!bytes) return;
  let rest = code;
  for (const piece of field.pieces) {
    const at = bitAt(piece, n, k, size);
    for (let b = 0; b < piece.bits; b++) {
      const byte = (at + b) >> 3;
      const mask = 1 << ((at + b) & 7);
      bytes[byte] = rest % 2 === 1 ? (bytes[byte] ?? 0) | mask : (bytes[byte] ?? 0) & ~mask;
      rest = Math.floor(rest / 2);
    }
  }
}

/** Calls back with each column of a row, columns rising, and the number there. */
type RowReader = (n: number, visit: (k: number, value: number) => void) => void;

/** Rows that are read together, and columns whose places are found once where they repeat. */
const together = 16;
const repeating = 256;

/** Numbers of a field that `group` columns share. */
function rowReader(field: Field, stores: Stores, size: MatrixSize, group: number): RowReader {
  const groups = Math.ceil(size.k / group);
  const unit = repeating % group === 0 ? repeating : groups * group;
  const stretch = stretchOf(field, size, unit);
  const bits = bitsOf(field.format);
  const cells = Array.from({ length: stretch / group }, (_, i) => ({
    at: i,
    parts: [{ k: i * group, from: 0, bits, to: 0 }],
  }));
  const gather = gatherOf(field, stores, size, stretch, cells);
  const codes = new Int32Array(together * groups);
  const { format } = field;
  const table = bits <= 8 ? Float64Array.from({ length: 2 ** bits }, (_, c) => valueOf(format, c)) : undefined; // prettier-ignore
  let held = -1;
  return (n, visit) => {
    const first = n - (n % together);
    if (held !== first) {
      held = first;
      codes.fill(0);
      const rows = { first, count: Math.min(together, size.n - first), step: groups };
      for (let s = 0; s * stretch < size.k; s++) gather.run(codes, (s * stretch) / group, rows, s);
    }
    const own = (n - first) * groups;
    for (let i = 0; i < groups; i++) {
      const code = codes[own + i] ?? 0;
      const value = table ? (table[code] ?? 0) : valueOf(format, code >>> 0);
      const end = Math.min((i + 1) * group, size.k);
      for (let k = i * group; k < end; k++) visit(k, value);
    }
  };
}

const levelReader = (level: Level, stores: Stores, size: MatrixSize): RowReader =>
  rowReader(level, stores, size, level.group.k === 0 ? size.k : level.group.k);

/** The matrix [n, k] that the stores hold, row by row, in double precision. */
export function decodeMatrix(scheme: QuantScheme, stores: Stores, size: MatrixSize): Float64Array {
  const out = new Float64Array(size.n * size.k);
  const { zero } = scheme;
  const all = (levels: readonly Level[]) => levels.map((l) => levelReader(l, stores, size));
  const codes = rowReader(scheme.codes, stores, size, 1);
  const scales = all(scheme.scales);
  const shifts = zero.kind === 'integer' ? all([zero.field]) : [];
  const added = zero.kind === 'integer' ? zero.add : 0;
  const minima = zero.kind === 'minimum' ? all(zero.levels) : [];
  const [scale, low] = [new Float64Array(size.k), new Float64Array(size.k)];
  for (let n = 0; n < size.n; n++) {
    const row = out.subarray(n * size.k, (n + 1) * size.k);
    codes(n, (k, code) => void (row[k] = code + scheme.offset));
    for (const shift of shifts) shift(n, (k, z) => void (row[k] = (row[k] ?? 0) - (z + added)));
    scale.fill(1);
    for (const level of scales) level(n, (k, s) => void (scale[k] = (scale[k] ?? 0) * s));
    low.fill(minima.length > 0 ? 1 : 0);
    for (const level of minima) level(n, (k, m) => void (low[k] = (low[k] ?? 0) * m));
    for (let k = 0; k < size.k; k++) row[k] = (scale[k] ?? 0) * (row[k] ?? 0) - (low[k] ?? 0);
  }
  return out;
}
/** What a scheme makes of a matrix: codes and scales, kept by group. */
export interface Quantised {
  /** One code an element, row by row, as the codes' format numbers them. */
  readonly codes: Int32Array;
  /** Value of each scale level, zero level and minimum level for the group of element (n, k). */
  level(level: Level, n: number, k: number): number;
}

/** Writes a quantised matrix into stores of the given sizes in bytes. */
export function packMatrix(
  scheme: QuantScheme,
  q: Quantised,
  sizes: Readonly<Record<string, number>>,
  size: MatrixSize,
): Stores {
  // prettier-ignore
  const stores = Object.fromEntries(Object.entries(sizes).map(([s, n]) => [s, new Uint8Array(n)]));
  const levels = levelsOf(scheme);
  for (let n = 0; n < size.n; n++) {
    for (let k = 0; k < size.k; k++) {
      writeCode(scheme.codes, stores, n, k, size, q.codes[n * size.k + k] ?? 0);
      for (const l of levels) writeCode(l, stores, n, k, size, codeOf(l.format, q.level(l, n, k)));
    }
  }
  return stores;
}

/**
 * Round to nearest: each scale from the elements that share it, hierarchies from the inside out
 * (a level's codes are the ratios of its groups' scales to the one around them). The result of a
 * matrix is a function of its elements and the scheme alone.
 */
export function quantiseMatrix(scheme: QuantScheme, x: Float64Array, size: MatrixSize): Quantised {
  const inner = scheme.scales.at(-1);
  const { zero } = scheme;
  const highest = largestOf(scheme.codes.format);
  const lowest = leastOf(scheme);
  const low = zero.kind === 'minimum';
  const shifted = zero.kind === 'integer';
  const found = new Map<string, GroupRange>();
  const key = (l: Level | undefined, n: number, k: number): string =>
    `${l && l.group.n > 0 ? Math.floor(n / l.group.n) : 0} ${l && l.group.k > 0 ? Math.floor(k / l.group.k) : 0}`;
  each(size, (n, k, i) => {
    const own = key(inner, n, k);
    const v = x[i] ?? 0;
    const had = found.get(own) ?? { least: Infinity, most: -Infinity, signed: 0 };
    found.set(own, {
      least: Math.min(had.least, v),
      most: Math.max(had.most, v),
      signed: Math.abs(v) > Math.abs(had.signed) ? v : had.signed,
    });
  });
  const ranged = low || shifted;
  const wanted = new Map<string, number>();
  const minima = new Map<string, number>();
  for (const [own, g] of found) {
    const bottom = Math.min(0, g.least);
    const top = Math.max(0, g.most);
    wanted.set(own, ranged ? (top - bottom) / (highest - lowest) : scaleOf(scheme, g));
    minima.set(own, -bottom);
  }
  const scale = hierarchy(scheme.scales, wanted, key, size);
  const minimum = low ? hierarchy(zero.levels, minima, key, size) : undefined;
  const zeros = new Map<string, number>();
  const total = (levels: readonly Level[], values: Hierarchy, n: number, k: number): number =>
    levels.reduce((p, l) => p * values(l, n, k), 1);
  const codes = new Int32Array(size.n * size.k);
  each(size, (n, k, i) => {
    const s =
      scheme.against === 'found'
        ? (wanted.get(key(inner, n, k)) ?? 0)
        : total(scheme.scales, scale, n, k);
    const m = low && minimum ? total(zero.levels, minimum, n, k) : 0;
    let z = 0;
    if (shifted) {
      const own = key(inner, n, k);
      z = zeros.get(own) ?? (s === 0 ? 0 : roundEven((minima.get(own) ?? 0) / s) + lowest);
      zeros.set(own, z);
    }
    const real = s === 0 ? 0 : ((x[i] ?? 0) + m) / s + z - scheme.offset;
    codes[i] = roundedCode(scheme, real);
  });
  return {
    codes,
    level(l, n, k) {
      if (zero.kind === 'integer' && l === zero.field) {
        return (zeros.get(key(inner, n, k)) ?? 0) - zero.add;
      }
      return zero.kind === 'minimum' && minimum && zero.levels.includes(l)
        ? minimum(l, n, k)
        : scale(l, n, k);
    },
  };
}

interface GroupRange {
  readonly least: number;
  readonly most: number;
  /** The element of the largest magnitude. */
  readonly signed: number;
}

type Hierarchy = (level: Level, n: number, k: number) => number;

/** The lowest value of code + offset. */
const leastOf = ({ codes, offset }: QuantScheme): number => {
  const f = codes.format;
  if (f.kind === 'uint') return offset;
  return f.kind === 'int' ? offset - 2 ** (f.bits - 1) : offset - largestOf(f);
};

function scaleOf(scheme: QuantScheme, g: GroupRange): number {
  const most = largestOf(scheme.codes.format) + scheme.offset;
  const largest = Math.abs(g.signed);
  switch (scheme.fit) {
    case 'largest':
      return largest / most;
    case 'signed':
      return g.signed / leastOf(scheme);
    case 'power':
      return largest === 0
        ? 0
        : 2 ** (Math.floor(Math.log2(largest)) - Math.floor(Math.log2(most)));
  }
}

/** Scales of all levels whose product comes near the wanted one of each innermost group. */
function hierarchy(
  levels: readonly Level[],
  wanted: ReadonlyMap<string, number>,
  key: (l: Level | undefined, n: number, k: number) => string,
  size: MatrixSize,
): Hierarchy {
  const inner = levels.at(-1);
  const stored = new Map<Level, Map<string, number>>();
  const left = new Map(wanted);
  for (const l of levels) {
    const own = new Map<string, number>();
    if (l !== inner) {
      const [steps, outer] = [
        largestOf(levels[levels.indexOf(l) + 1]?.format ?? l.format),
        new Map<string, number>(),
      ];
      each(size, (n, k) => {
        const at = key(l, n, k);
        outer.set(at, Math.max(outer.get(at) ?? 0, Math.abs(left.get(key(inner, n, k)) ?? 0)));
      });
      for (const [at, most] of outer) own.set(at, stays(l, most / steps));
      const divided = new Map<string, number>();
      each(size, (n, k) => {
        const [at, by] = [key(inner, n, k), own.get(key(l, n, k)) ?? 0];
        divided.set(at, by === 0 ? 0 : (left.get(at) ?? 0) / by);
      });
      divided.forEach((v, at) => left.set(at, v));
    } else {
      for (const [at, v] of left) own.set(at, stays(l, v));
    }
    stored.set(l, own);
  }
  return (l, n, k) => stored.get(l)?.get(key(l, n, k)) ?? 0;
}

/** The value as the level's format keeps it. */
const stays = (l: Level, v: number): number => valueOf(l.format, codeOf(l.format, v));

function roundedCode({ codes: { format }, rounding }: QuantScheme, real: number): number {
  if (format.kind !== 'uint' && format.kind !== 'int') return codeOf(format, real);
  if (rounding === 'even') return codeOf(format, real);
  const whole = rounding === 'up' ? Math.floor(real + 0.5) : Math.sign(real) * Math.floor(Math.abs(real) + 0.5); // prettier-ignore
  return codeOf(format, whole);
}

function each(
  { n: rows, k: columns }: MatrixSize,
  visit: (n: number, k: number, i: number) => void,
): void {
  // prettier-ignore
  for (let n = 0; n < rows; n++) for (let k = 0; k < columns; k++) visit(n, k, n * columns + k);
}

/** The matrix that is left of `x` when it was stored in the scheme: what quantising means. */
export function throughScheme(
  scheme: QuantScheme,
  x: Float64Array,
  size: MatrixSize,
): Float64Array {
  const q = quantiseMatrix(scheme, x, size);
  const { zero, codes, offset, scales } = scheme;
  const out = new Float64Array(x.length);
  each(size, (n, k, i) => {
    const scale = scales.reduce((p, l) => p * q.level(l, n, k), 1);
    const shift = zero.kind === 'integer' ? q.level(zero.field, n, k) + zero.add : 0;
    const low = zero.kind === 'minimum' ? zero.levels.reduce((p, l) => p * q.level(l, n, k), 1) : 0;
    out[i] = scale * (valueOf(codes.format, q.codes[i] ?? 0) + offset - shift) - low;
  });
  return out;
}
