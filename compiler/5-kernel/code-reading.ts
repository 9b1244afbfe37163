/** How products with quantised matrices read codes as bytes, and what makes the bytes the scheme's. */
import { invariant } from '../base/invariant.ts';
import { type NumberFormat, bitsOf, valueOf } from '../base/number-format.ts';
import type { QuantScheme } from '../base/scheme.ts';
import type { Dot4 } from '../scalar/expr.ts';
import type { SimdMachine } from './machine.ts';

/**
 * What is done to the bits of four codes in a word, and how the bytes that it leaves stand for what
 * the scheme multiplies with its scale: (byte + offset) * factor, bytes signed in `s8s8` and `s16`
 * alone.
 */
export interface CodeReading {
  /** Flips bits of each byte: those of two's complement that carry the sign. */
  readonly flip: number;
  /** The byte that stands for each code, where codes number the entries of a table. */
  readonly table?: readonly number[];
  /** What multiplies the bytes: a `dot4`, or a `dot2` of them as pairs of 16 bits, signed or not. */
  readonly variant: Dot4 | 's16' | 'u16';
  /** The largest byte where all are from 0 on. */
  readonly most: number;
  readonly offset: number;
  /** A power of two. */
  readonly factor: number;
}

/** Why products have no kernel for a scheme, or undefined where they have one. */
export function codesRefusal({ name, codes, offset }: QuantScheme): string | undefined {
  const { kind } = codes.format;
  if (kind === 'uint' || kind === 'int') return undefined;
  if (bitsOf(codes.format) > tableBits) return `${name}: its codes are no whole numbers`;
  return tableOf(codes.format, offset)
    ? undefined
    : `${name}: its codes are no small whole numbers below a power of two`;
}

/** How a product of codes with codes reads them. */
export function readingOf(
  { codes, offset }: QuantScheme,
  machine: Pick<SimdMachine, 'bytes'>,
): CodeReading {
  const { format } = codes;
  const signed = format.kind === 'int';
  const half = 2 ** (bitsOf(format) - 1);
  if (format.kind !== 'uint' && !signed) return tableReading(format, offset, machine.bytes);
  // Two's complement of few bits as a number from 0 on.
  if (half < 128) return unsignedReading(signed, half, offset, 'i8i7');
  if (machine.bytes === 'u8s8') return unsignedReading(signed, half, offset, 'u8s8');
  if (machine.bytes === 'pairs') {
    return { flip: 0, variant: signed ? 's16' : 'u16', most: 255, offset, factor: 1 };
  }
  return {
    flip: signed ? 0 : bytesOf(128),
    variant: 's8s8',
    most: 127,
    offset: offset + (signed ? 0 : 128),
    factor: 1,
  };
}

/** How a product of codes with floats reads them: as bytes from 0 on. */
export function floatReading({ codes, offset }: QuantScheme): CodeReading {
  const { format } = codes;
  const signed = format.kind === 'int';
  if (format.kind !== 'uint' && !signed) return tableReading(format, offset, 'u8s8');
  return unsignedReading(signed, 2 ** (bitsOf(format) - 1), offset, 'u8s8');
}

const unsignedReading = (
  signed: boolean,
  half: number,
  offset: number,
  variant: CodeReading['variant'],
): CodeReading => ({
  flip: signed ? bytesOf(half) : 0,
  variant,
  most: 2 * half - 1,
  offset: offset - (signed ? half : 0),
  factor: 1,
});

export const bytesOf = (byte: number): number => Math.imul(byte, 0x01010101);

/** Instructions look 16 entries up. */
const tableBits = 4;

interface Table {
  /** Whole numbers of one byte, negative ones too, one for each code and zeros behind them. */
  readonly entries: readonly number[];
  /** A value is an entry times this. */
  readonly factor: number;
}

/** The values of codes, the scheme's offset added; undefined where no bytes say them. */
function tableOf(format: NumberFormat, offset: number): Table | undefined {
  const values = Array.from({ length: 2 ** bitsOf(format) }, (_, code) => valueOf(format, code) + offset); // prettier-ignore
  for (let factor = 1; factor >= 1 / 128; factor /= 2) {
    const entries = values.map((v) => v / factor);
    if (!entries.every((e) => Number.isInteger(e) && Math.abs(e) <= 127)) continue;
    return {
      entries: [...entries, ...Array.from({ length: 16 - entries.length }, () => 0)],
      factor,
    };
  }
  return undefined;
}

function tableReading(
  format: NumberFormat,
  offset: number,
  bytes: SimdMachine['bytes'],
): CodeReading {
  const table = tableOf(format, offset);
  invariant(table !== undefined, 'schemes are checked before');
  const { entries, factor } = table;
  const least = Math.min(...entries);
  const narrow = Math.max(...entries) - least <= 127;
  if (!narrow && bytes !== 'u8s8') {
    const variant = bytes === 'pairs' ? 's16' : 's8s8';
    return { flip: 0, table: entries, variant, most: 127, offset: 0, factor };
  }
  return {
    flip: 0,
    table: entries.map((e) => e - least),
    variant: narrow ? 'i8i7' : 'u8s8',
    most: Math.max(...entries) - least,
    offset: least,
    factor,
  };
}
