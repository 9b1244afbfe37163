/** Schemes at work: stored bits to values, values to stored bits, for any scheme alike. */
import { codeOf, largestOf, roundEven, valueOf } from '../base/number-format.ts';
import { type Field, type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';

/** Bytes by the name of the store. */
export type Stores = Readonly<Record<string, Uint8Array>>;

export interface MatrixSize {
  readonly n: number;
  readonly k: number;
}

/** Bit in the store of the first bit of a piece, for element (n, k). */
function bitAt(piece: Field['pieces'][number], n: number, k: number, size: MatrixSize): number {
  return piece.offset + bitAlong(piece, 'n', n, size) + bitAlong(piece, 'k', k, size);
}

/** What an index of one axis adds: the axes do not meet. */
function bitAlong(
  piece: Field['pieces'][number],
  axis: 'n' | 'k',
  index: number,
  size: MatrixSize,
): number {
  let rest = index;
  let bit = 0;
  for (const d of piece.digits) {
    if (d.axis !== axis) continue;
    const digit = d.size === undefined ? rest : rest % d.size;
    rest = d.size === undefined ? 0 : Math.floor(rest / d.size);
    const times = d.times ? Math.ceil(size[d.times.axis] / d.times.per) : 1;
    bit += digit * d.step * times;
  }
  return bit;
}

/** Reads codes of a field, elements in any order; what each index of an axis adds is found once. */
export function codesOf(
  field: Field,
  stores: Stores,
  size: MatrixSize,
): (n: number, k: number) => number {
  const bytes = stores[field.store] ?? new Uint8Array(0);
  const along = (piece: Field['pieces'][number], axis: 'n' | 'k'): Float64Array =>
    Float64Array.from({ length: size[axis] }, (_, i) => bitAlong(piece, axis, i, size));
  const pieces = field.pieces.map((piece) => ({
    bits: piece.bits,
    offset: piece.offset,
    rows: along(piece, 'n'),
    columns: along(piece, 'k'),
  }));
  return (n, k) => {
    let code = 0;
    let weight = 1;
    for (const p of pieces) {
      const at = p.offset + (p.rows[n] ?? 0) + (p.columns[k] ?? 0);
      code += weight * bitsAt(bytes, at, p.bits);
      weight *= 2 ** p.bits;
    }
    return code;
  };
}

/** `count` bits, at most 32, from bit `at` on. */
function bitsAt(bytes: Uint8Array, at: number, count: number): number {
  let byte = Math.floor(at / 8);
  let value = 0;
  let weight = 1;
  let left = count;
  for (let skip = at % 8; left > 0; skip = 0) {
    const taken = Math.min(8 - skip, left);
    const part = ((bytes[byte++] ?? 0) >> skip) & (2 ** taken - 1);
    value += part * weight;
    weight *= 2 ** taken;
    left -= taken;
  }
  return value;
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

/** The matrix [n, k] that the stores hold, row by row, in double precision. */
export function decodeMatrix(scheme: QuantScheme, stores: Stores, size: MatrixSize): Float64Array {
  const out = new Float64Array(size.n * size.k);
  type Read = (n: number, k: number) => number;
  const reader = (f: Field): Read => {
    const code = codesOf(f, stores, size);
    return (n, k) => valueOf(f.format, code(n, k));
  };
  const product = (readers: readonly Read[], n: number, k: number): number =>
    readers.reduce((x, read) => x * read(n, k), 1);
  const { zero } = scheme;
  const codes = reader(scheme.codes);
  const scales = scheme.scales.map(reader);
  const shifts = zero.kind === 'integer' ? reader(zero.field) : undefined;
  const added = zero.kind === 'integer' ? zero.add : 0;
  const minima = zero.kind === 'minimum' ? zero.levels.map(reader) : undefined;
  for (let n = 0; n < size.n; n++) {
    for (let k = 0; k < size.k; k++) {
      const code = codes(n, k) + scheme.offset;
      const shift = shifts ? shifts(n, k) + added : 0;
      const low = minima ? product(minima, n, k) : 0;
      out[n * size.k + k] = product(scales, n, k) * (code - shift) - low;
    }
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
