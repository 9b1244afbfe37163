/** Schemes at work: stored bits to values, values to stored bits, for any scheme alike. */
import { present } from '../base/invariant.ts';
import {
  type NumberFormat,
  bitsOf,
  codeOf,
  largestOf,
  roundEven,
  valueOf,
} from '../base/number-format.ts';
import { type Field, type Group, type Level, type QuantScheme, levelsOf } from '../base/scheme.ts';
import { type MatrixSize, type Stores, bitAlong, gatherOf, stretchOf } from './gather.ts';
import {
  type Ranges,
  type Spread,
  at,
  eachPair,
  productRow,
  rangesOf,
  spreadOf,
} from './spread.ts';

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

/** Values of codes; those of few bits are looked up. */
function valuesOf(format: NumberFormat): (code: number) => number {
  const bits = bitsOf(format);
  if (bits > 8) return (code) => valueOf(format, code >>> 0);
  const table = Float64Array.from({ length: 2 ** bits }, (_, code) => valueOf(format, code));
  return (code) => table[code] ?? 0;
}

/** The numbers of one row, until the next is read. */
type RowReader = (n: number) => Spread;

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
    at: i * together,
    parts: [{ k: i * group, from: 0, bits, to: 0 }],
  }));
  const gather = gatherOf(field, stores, size, stretch, cells);
  const codes = new Int32Array(together * groups);
  const row = spreadOf({ n: 1, k: group }, { n: 1, k: size.k });
  const valueAt = valuesOf(field.format);
  let held = -1;
  return (n) => {
    const first = n - (n % together);
    if (held !== first) {
      held = first;
      codes.fill(0);
      // The rows' codes lie side by side: rows far apart would share the lines of a cache.
      const rows = { first, count: Math.min(together, size.n - first), step: 1 };
      const perStretch = (stretch / group) * together;
      for (let s = 0; s * stretch < size.k; s++) gather.run(codes, s * perStretch, rows, s);
    }
    for (let i = 0; i < groups; i++) row.values[i] = valueAt(codes[i * together + n - first] ?? 0);
    return row;
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
  const zeros = zero.kind === 'integer' ? all([zero.field]) : [];
  const added = zero.kind === 'integer' ? zero.add : 0;
  const minima = zero.kind === 'minimum' ? all(zero.levels) : [];
  const row = (): Float64Array => new Float64Array(size.k);
  const [scale, shift, low] = [row(), row(), row()];
  const read = (readers: readonly RowReader[], n: number) => readers.map((reader) => reader(n));
  for (let n = 0; n < size.n; n++) {
    const { values } = codes(n);
    productRow(scale, read(scales, n), 0);
    if (zeros.length > 0) productRow(shift, read(zeros, n), 0);
    if (minima.length > 0) productRow(low, read(minima, n), 0);
    const to = n * size.k;
    for (let k = 0; k < size.k; k++) {
      const code = (values[k] ?? 0) + scheme.offset - ((shift[k] ?? 0) + added);
      out[to + k] = (scale[k] ?? 0) * code - (low[k] ?? 0);
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
      for (const l of levels) {
        const begins = n % (l.group.n || size.n) === 0 && k % (l.group.k || size.k) === 0;
        if (begins) writeCode(l, stores, n, k, size, codeOf(l.format, q.level(l, n, k)));
      }
    }
  }
  return stores;
}

/** Codes, and each level's numbers; those of an integer zero are what is subtracted. */
interface Nearest {
  readonly codes: Int32Array;
  readonly levels: ReadonlyMap<Level, Spread>;
}

/**
 * Round to nearest: each scale from the elements that share it, hierarchies from the inside out
 * (a level's codes are the ratios of its groups' scales to the one around them). The result of a
 * matrix is a function of its elements and the scheme alone.
 */
export function quantiseMatrix(scheme: QuantScheme, x: Float64Array, size: MatrixSize): Quantised {
  const { codes, levels } = nearest(scheme, x, size);
  const { zero } = scheme;
  return {
    codes,
    level(l, n, k) {
      const spread = levels.get(l);
      const value = spread ? at(spread, n, k) : 0;
      return zero.kind === 'integer' && l === zero.field ? value - zero.add : value;
    },
  };
}

function nearest(scheme: QuantScheme, x: Float64Array, size: MatrixSize): Nearest {
  const { zero, against, offset } = scheme;
  const group = scheme.scales.at(-1)?.group ?? { n: 0, k: 0 };
  const ranges = rangesOf(group, x, size);
  const wanted = wantedScales(scheme, ranges);
  const levels = new Map(hierarchy(scheme.scales, wanted, size));
  if (zero.kind === 'minimum') {
    const own = zero.levels.at(-1)?.group ?? { n: 0, k: 0 };
    const { least } = same(own, group) ? ranges : rangesOf(own, x, size);
    const minima = { ...least, values: least.values.map((v) => -v) };
    for (const [l, spread] of hierarchy(zero.levels, minima, size)) levels.set(l, spread);
  }
  const scales = against === 'found' ? [wanted] : spreadsOf(levels, scheme.scales);
  if (zero.kind === 'integer') levels.set(zero.field, zerosOf(scheme, ranges.least, scales));
  const code = coderOf(scheme);
  const codes = new Int32Array(size.n * size.k);
  eachRow(zero, levels, scales, size, (n, scale, low, shift) => {
    for (let k = 0; k < size.k; k++) {
      const i = n * size.k + k;
      const s = scale[k] ?? 0;
      codes[i] = code(s === 0 ? 0 : ((x[i] ?? 0) + (low[k] ?? 0)) / s + (shift[k] ?? 0) - offset);
    }
  });
  return { codes, levels };
}

const spreadsOf = (levels: ReadonlyMap<Level, Spread>, of: readonly Level[]): readonly Spread[] =>
  of.map((l) => present(levels.get(l)));

/** For each row its scales, minima and zeros, one of each for every column, until the next row. */
function eachRow(
  zero: QuantScheme['zero'],
  levels: ReadonlyMap<Level, Spread>,
  scales: readonly Spread[],
  size: MatrixSize,
  visit: (n: number, scale: Float64Array, low: Float64Array, shift: Float64Array) => void,
): void {
  const minima = zero.kind === 'minimum' ? spreadsOf(levels, zero.levels) : undefined;
  const zeros = zero.kind === 'integer' ? spreadsOf(levels, [zero.field]) : undefined;
  const row = (): Float64Array => new Float64Array(size.k);
  const [scale, low, shift] = [row(), row(), row()];
  for (let n = 0; n < size.n; n++) {
    productRow(scale, scales, n);
    if (minima) productRow(low, minima, n);
    if (zeros) productRow(shift, zeros, n);
    visit(n, scale, low, shift);
  }
}

const same = (a: Group, b: Group): boolean => a.n === b.n && a.k === b.k;

/** The lowest value of code + offset. */
const leastOf = ({ codes, offset }: QuantScheme): number => {
  const f = codes.format;
  if (f.kind === 'uint') return offset;
  return f.kind === 'int' ? offset - 2 ** (f.bits - 1) : offset - largestOf(f);
};

/** The scales that fit best, before any is rounded to what its format keeps. */
function wantedScales(scheme: QuantScheme, { least, most, signed }: Ranges): Spread {
  const steps = largestOf(scheme.codes.format) - leastOf(scheme);
  const values =
    scheme.zero.kind === 'none'
      ? signed.values.map((v) => scaleOf(scheme, v))
      : least.values.map((low, i) => ((most.values[i] ?? 0) - low) / steps);
  return { ...signed, values };
}

/** `signed`: the element of the largest magnitude. */
function scaleOf(scheme: QuantScheme, signed: number): number {
  const most = largestOf(scheme.codes.format) + scheme.offset;
  const largest = Math.abs(signed);
  switch (scheme.fit) {
    case 'largest':
      return largest / most;
    case 'signed':
      return signed / leastOf(scheme);
    case 'power':
      return largest === 0
        ? 0
        : 2 ** (Math.floor(Math.log2(largest)) - Math.floor(Math.log2(most)));
  }
}

/** What an integer zero subtracts, for the groups of the innermost scale. */
function zerosOf(scheme: QuantScheme, least: Spread, scales: readonly Spread[]): Spread {
  const lowest = leastOf(scheme);
  const values = least.values.map((v, i) => {
    const [n, k] = [Math.floor(i / least.columns) * least.group.n, (i % least.columns) * least.group.k]; // prettier-ignore
    const s = scales.reduce((p, spread) => p * at(spread, n, k), 1);
    return s === 0 ? 0 : roundEven(-v / s) + lowest;
  });
  return { ...least, values };
}

/**
 * Scales of all levels whose product comes near the wanted one of each group of the innermost level.
 */
function hierarchy(
  levels: readonly Level[],
  wanted: Spread,
  size: MatrixSize,
): readonly (readonly [Level, Spread])[] {
  const left = Float64Array.from(wanted.values);
  return levels.map((l, i) => {
    const next = levels[i + 1];
    if (!next) return [l, { ...wanted, values: left.map((v) => stays(l, v)) }];
    const own = spreadOf(l.group, size);
    eachPair(own, wanted, size, (to, from) => {
      own.values[to] = Math.max(own.values[to] ?? 0, Math.abs(left[from] ?? 0));
    });
    const steps = largestOf(next.format);
    own.values.forEach((most, g) => (own.values[g] = stays(l, most / steps)));
    const divided = new Float64Array(left.length);
    eachPair(own, wanted, size, (by, from) => {
      const outer = own.values[by] ?? 0;
      divided[from] = outer === 0 ? 0 : (left[from] ?? 0) / outer;
    });
    left.set(divided);
    return [l, own];
  });
}

/** The value as the level's format keeps it. */
const stays = (l: Level, v: number): number => valueOf(l.format, codeOf(l.format, v));

/** Codes of numbers, rounded as the scheme says. */
function coderOf({ codes: { format }, rounding }: QuantScheme): (real: number) => number {
  if (format.kind !== 'uint' && format.kind !== 'int') return (real) => codeOf(format, real);
  const below = format.kind === 'int' ? 2 ** (format.bits - 1) : 0;
  const most = largestOf(format);
  const all = 2 ** format.bits;
  const coded = (whole: number): number => {
    if (Number.isNaN(whole)) return 0;
    const inside = Math.min(most, Math.max(-below, whole));
    return inside < 0 ? inside + all : inside;
  };
  switch (rounding) {
    case 'even':
      return (real) => coded(roundEven(real));
    case 'up':
      return (real) => coded(Math.floor(real + 0.5));
    case 'away':
      return (real) => coded(Math.sign(real) * Math.floor(Math.abs(real) + 0.5));
  }
}

/** The matrix that is left of `x` when it was stored in the scheme: what quantising means. */
export function throughScheme(
  scheme: QuantScheme,
  x: Float64Array,
  size: MatrixSize,
): Float64Array {
  const { codes, levels } = nearest(scheme, x, size);
  const { zero, offset } = scheme;
  const value = valuesOf(scheme.codes.format);
  const out = new Float64Array(x.length);
  eachRow(zero, levels, spreadsOf(levels, scheme.scales), size, (n, scale, low, shift) => {
    for (let k = 0; k < size.k; k++) {
      const i = n * size.k + k;
      const code = value(codes[i] ?? 0) + offset - (shift[k] ?? 0);
      out[i] = (scale[k] ?? 0) * code - (low[k] ?? 0);
    }
  });
  return out;
}
