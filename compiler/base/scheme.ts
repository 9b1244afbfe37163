/**
 * How numbers are quantised and where their bits lie, as data. One type says all the formats that
 * checkpoints come in and those that users make up: what is stored (`Field`s of bits in named
 * stores), where (affine maps of mixed-radix digits), and what it means:
 *
 *   x[n, k] = scale[0] * scale[1] * .. * (code + offset - zero) - minimum
 */
import { SchemeError } from './failure.ts';
import { type NumberFormat, bitsOf } from './number-format.ts';

/** A digit of an index: it takes `size` values of the axis, each `step` bits further. */
export interface Digit {
  readonly axis: 'n' | 'k';
  /** Absent for the last digit of an axis: it takes what is left. */
  readonly size?: number;
  /** Bits; multiplied by the extent of an axis in units of `per`, where given. */
  readonly step: number;
  readonly times?: { readonly axis: 'n' | 'k'; readonly per: number };
}

/** Some bits of a field, its lowest first, and where they are for each index. */
export interface Piece {
  readonly bits: number;
  /** Bit in the store for index 0. */
  readonly offset: number;
  /** Lowest digit of each axis first; digits of a size with step 0 say that neighbours share. */
  readonly digits: readonly Digit[];
}

export interface Field {
  readonly format: NumberFormat;
  /** Name of the tensor that holds the bits: `blocks`, `qweight`, `scales`. */
  readonly store: string;
  readonly pieces: readonly Piece[];
}

/** One factor of the scale, shared by a group of elements. */
export interface Level extends Field {
  /** Elements of each axis that share it. */
  readonly group: Group;
}

export interface Group {
  /** 0: the whole axis. */
  readonly n: number;
  readonly k: number;
}

export type Zero =
  | { readonly kind: 'none' }
  /** Subtracted from the code before scaling: (q - z) * s. `add`: what the stored number lacks. */
  | { readonly kind: 'integer'; readonly field: Level; readonly add: number }
  /** Subtracted after scaling: q * s - m, a product of levels (Q4_K). */
  | { readonly kind: 'minimum'; readonly levels: readonly Level[] };

/** How a scale is found from the elements that share it. */
export type Fit =
  /** Largest magnitude over the largest code. */
  | 'largest'
  /** The signed element of the largest magnitude over the lowest code (Q4_0). */
  | 'signed'
  /** The power of two below the largest magnitude, over that of the largest code (MX). */
  | 'power';

export interface QuantScheme {
  readonly kind: 'scheme';
  readonly name: string;
  readonly codes: Field;
  /** Added to the code: -8 for Q4_0. */
  readonly offset: number;
  /** Factors of the scale, outermost first. */
  readonly scales: readonly Level[];
  readonly zero: Zero;
  readonly fit: Fit;
  /** Codes round half to even, or up from half as `trunc(x + offset + 0.5)` does. */
  readonly rounding: 'even' | 'up' | 'away';
  /** The scale that codes are found with: as it is stored, or as it was before (GGUF). */
  readonly against: 'stored' | 'found';
}

type Optional = 'fit' | 'rounding' | 'offset' | 'zero' | 'against';

export type SchemeSpec = Omit<QuantScheme, 'kind' | Optional> &
  Partial<Pick<QuantScheme, Optional>>;

/**
 * A scheme from its parts; absent ones say: no offset, no zero, scales by the largest magnitude,
 * codes rounded half to even. Throws SchemeError where the parts do not make one.
 */
export function defineScheme(spec: SchemeSpec): QuantScheme {
  const scheme: QuantScheme = {
    offset: 0,
    zero: { kind: 'none' },
    fit: 'largest',
    rounding: 'even',
    against: 'stored',
    ...spec,
    kind: 'scheme',
  };
  const fail = (what: string): never => {
    throw new SchemeError('scheme/invalid', `scheme ${spec.name}: ${what}`);
  };
  if (!/^[A-Za-z_]\w*$/.test(spec.name)) fail('its name is a word of letters, digits and _');
  for (const field of fieldsOf(scheme)) {
    const wanted = bitsOf(field.format);
    const found = field.pieces.reduce((n, p) => n + p.bits, 0);
    if (found !== wanted)
      fail(`${field.store} has pieces of ${found} bits for a format of ${wanted}`);
    if (wanted < 1 || wanted > 32) fail(`a field has 1 to 32 bits, found ${wanted}`);
    if (field.pieces.some((p) => p.bits < 1 || p.bits > 32 || p.offset < 0 || !Number.isInteger(p.offset))) fail('pieces begin at whole bits from 0 on'); // prettier-ignore
    for (const d of field.pieces.flatMap((p) => p.digits)) {
      if (d.size !== undefined && (!Number.isInteger(d.size) || d.size < 1))
        fail(`a digit of size ${d.size}`);
      if (!Number.isInteger(d.step) || d.step < 0) fail(`a digit of ${d.step} bits`);
    }
    if (field.format.kind === 'table' && field.format.values.length !== 2 ** wanted) {
      fail(`a table of ${field.format.values.length} values for ${wanted} bits`);
    }
  }
  for (const { group } of levelsOf(scheme)) {
    if (![group.n, group.k].every((g) => Number.isInteger(g) && g >= 0)) fail('groups are whole numbers of elements'); // prettier-ignore
  }
  return scheme;
}

export const levelsOf = (s: QuantScheme): readonly Level[] => [
  ...s.scales,
  ...(s.zero.kind === 'integer' ? [s.zero.field] : []),
  ...(s.zero.kind === 'minimum' ? s.zero.levels : []),
];

const fieldsOf = (s: QuantScheme): readonly Field[] => [s.codes, ...levelsOf(s)];

/** Bits of storage for an element of a large matrix [rows, columns], scales and zeros included. */
export const bitsPerElement = (s: QuantScheme, rows: number, columns: number): number =>
  bitsWith(s, rows, columns, (l) => bitsOf(l.format));

/** The same in a bundle, where scales and zeros take whole bytes: 4.625 for Q4_K's 4.5. */
export const bundleBitsPerElement = (s: QuantScheme, rows: number, columns: number): number =>
  bitsWith(s, rows, columns, (l) => 8 * bytesOfLevel(l));

/** Bytes that a bundle keeps a number of a level in: its bits, rounded up to what can be loaded. */
export function bytesOfLevel({ format }: Level): 1 | 2 | 4 {
  const bits = bitsOf(format);
  return bits <= 8 ? 1 : bits <= 16 ? 2 : 4;
}

function bitsWith(
  s: QuantScheme,
  rows: number,
  columns: number,
  bitsOfLevel: (l: Level) => number,
): number {
  const shared = levelsOf(s).reduce((sum, l) => {
    const groups = Math.ceil(rows / (l.group.n || rows)) * Math.ceil(columns / (l.group.k || columns)); // prettier-ignore
    return sum + groups * bitsOfLevel(l);
  }, 0);
  return bitsOf(s.codes.format) + shared / (rows * columns);
}

export const isScheme = (v: unknown): v is QuantScheme =>
  typeof v === 'object' && v !== null && 'kind' in v && v.kind === 'scheme' && 'codes' in v;

/** A scheme as text, for graphs: JSON of the whole. */
export const printScheme = (s: QuantScheme): string => JSON.stringify(s);

/** The scheme that `printScheme` wrote. Throws SchemeError. */
export function readScheme(text: string): QuantScheme {
  let value: unknown;
  try {
    value = JSON.parse(text);
    if (isScheme(value)) return defineScheme(value);
  } catch (e) {
    if (e instanceof SchemeError) throw e;
  }
  throw new SchemeError('scheme/invalid', `no scheme is written as ${text.slice(0, 40)}`);
}

/** Whether each row is quantised by itself, as what tokens bring must be. */
export const isByRow = (s: QuantScheme): boolean => levelsOf(s).every((l) => l.group.n === 1);
