/** The block formats of GGUF files (ggml-common.h, ggml-quants.c): one store, `blocks`. */
import {
  type BlockTypes,
  type Digit,
  type Field,
  type Level,
  type NumberFormat,
  type QuantScheme,
  defineScheme,
  e8m0Format,
  f16Format,
} from '../../compiler/index.ts';

/** `elements` of a row in `bytes` bytes; rows one after the other. */
interface Block {
  readonly elements: number;
  readonly bytes: number;
}

/** Digits of the element inside its block, then the block, then the row. */
const digits = (block: Block, inside: readonly (readonly [size: number, step: number])[]): readonly Digit[] => [
  ...inside.map(([size, step]): Digit => ({ axis: 'k', size, step })),
  { axis: 'k', step: 8 * block.bytes },
  { axis: 'n', step: 8 * block.bytes, times: { axis: 'k', per: block.elements } },
]; // prettier-ignore

const field = (
  block: Block,
  format: NumberFormat,
  pieces: readonly { bits: number; offset: number; inside: readonly (readonly [number, number])[] }[],
): Field => ({
  format,
  store: 'blocks',
  pieces: pieces.map(({ bits, offset, inside }) => ({ bits, offset, digits: digits(block, inside) })),
}); // prettier-ignore

/** A number of the whole block, `offset` bytes into it. */
const whole = (block: Block, format: NumberFormat, bits: number, offset: number): Level => ({
  ...field(block, format, [{ bits, offset: 8 * offset, inside: [[block.elements, 0]] }]),
  group: { n: 1, k: block.elements },
});

const uint = (bits: number): NumberFormat => ({ kind: 'uint', bits });

const q40Block: Block = { elements: 32, bytes: 18 };

/** 4 bits in blocks of 32, one f16 scale, 4.5 bits a weight; byte j holds elements j and j + 16. */
export const q4_0: QuantScheme = defineScheme({
  name: 'q4_0',
  codes: field(q40Block, uint(4), [{ bits: 4, offset: 16, inside: [[16, 8], [2, 4]] }]), // prettier-ignore
  offset: -8,
  scales: [whole(q40Block, f16Format, 16, 0)],
  fit: 'signed',
  rounding: 'up',
  against: 'found',
});

/**
 * Turns a minimum, which is subtracted, into a number that is added: -1 for each row. No file stores
 * it; a store that is not there reads as zeros.
 */
const minusOne: Level = {
  format: { kind: 'table', bits: 1, values: [-1, -1] },
  store: 'none',
  pieces: [{ bits: 1, offset: 0, digits: [{ axis: 'k', step: 0 }, { axis: 'n', step: 1 }] }],
  group: { n: 1, k: 0 },
}; // prettier-ignore

/** x = d * q + m, `m` two bytes into the block. */
const added = (block: Block) =>
  ({ kind: 'minimum', levels: [minusOne, whole(block, f16Format, 16, 2)] }) as const;

const q41Block: Block = { elements: 32, bytes: 20 };

/** 4 bits in blocks of 32, f16 scale and lowest value, 5 bits a weight. */
export const q4_1: QuantScheme = defineScheme({
  name: 'q4_1',
  codes: field(q41Block, uint(4), [{ bits: 4, offset: 32, inside: [[16, 8], [2, 4]] }]), // prettier-ignore
  scales: [whole(q41Block, f16Format, 16, 0)],
  zero: added(q41Block),
  rounding: 'up',
  against: 'found',
});

/** Codes of 5 bits: the fifth bits are four bytes in order, the others lie as in Q4_0. */
const fiveBits = (block: Block, high: number): Field =>
  field(block, uint(5), [
    { bits: 4, offset: 8 * (high + 4), inside: [[16, 8], [2, 4]] },
    { bits: 1, offset: 8 * high, inside: [[32, 1]] },
  ]); // prettier-ignore

const q50Block: Block = { elements: 32, bytes: 22 };

/** 5 bits in blocks of 32, one f16 scale, 5.5 bits a weight. */
export const q5_0: QuantScheme = defineScheme({
  name: 'q5_0',
  codes: fiveBits(q50Block, 2),
  offset: -16,
  scales: [whole(q50Block, f16Format, 16, 0)],
  fit: 'signed',
  rounding: 'up',
  against: 'found',
});

const q51Block: Block = { elements: 32, bytes: 24 };

/** 5 bits in blocks of 32, f16 scale and lowest value, 6 bits a weight. */
export const q5_1: QuantScheme = defineScheme({
  name: 'q5_1',
  codes: fiveBits(q51Block, 4),
  scales: [whole(q51Block, f16Format, 16, 0)],
  zero: added(q51Block),
  rounding: 'up',
  against: 'found',
});

const q80Block: Block = { elements: 32, bytes: 34 };

/** 8 bits in blocks of 32, one f16 scale, 8.5 bits a weight. */
export const q8_0: QuantScheme = defineScheme({
  name: 'q8_0',
  codes: field(q80Block, { kind: 'int', bits: 8 }, [{ bits: 8, offset: 16, inside: [[32, 8]] }]),
  scales: [whole(q80Block, f16Format, 16, 0)],
  rounding: 'away',
  against: 'found',
});

const q2kBlock: Block = { elements: 256, bytes: 84 };

/** A 4-bit number of each group of 16, in the low or the high half of a byte. */
const fourBits = (shift: number): Level => ({
  ...field(q2kBlock, uint(4), [{ bits: 4, offset: shift, inside: [[16, 0], [16, 8]] }]),
  group: { n: 1, k: 16 },
}); // prettier-ignore

/** Codes of 2 bits, `at` bytes into a block of 256: a byte has the elements l, l + 32, l + 64, l + 96. */
const twoBits = (at: number) =>
  ({ bits: 2, offset: 8 * at, inside: [[32, 8], [4, 2], [2, 256]] }) as const; // prettier-ignore

/** 2 bits in blocks of 256: groups of 16 with a 4-bit scale and minimum below two f16 numbers. */
export const q2_k: QuantScheme = defineScheme({
  name: 'q2_k',
  codes: field(q2kBlock, uint(2), [twoBits(16)]),
  scales: [whole(q2kBlock, f16Format, 16, 80), fourBits(0)],
  zero: { kind: 'minimum', levels: [whole(q2kBlock, f16Format, 16, 82), fourBits(4)] },
});

/** A 6-bit number that is 32 too large. */
const around32: NumberFormat = {
  kind: 'table',
  bits: 6,
  values: Array.from({ length: 64 }, (_, code) => code - 32),
};

const q3kBlock: Block = { elements: 256, bytes: 110 };

/** 3 bits in blocks of 256: groups of 16 with a 6-bit scale below one f16 number. */
export const q3_k: QuantScheme = defineScheme({
  name: 'q3_k',
  codes: field(q3kBlock, uint(3), [
    twoBits(32),
    { bits: 1, offset: 0, inside: [[32, 8], [8, 1]] },
  ]), // prettier-ignore
  offset: -4,
  scales: [
    whole(q3kBlock, f16Format, 16, 108),
    {
      ...field(q3kBlock, around32, [
        { bits: 4, offset: 768, inside: [[16, 0], [8, 8], [2, 4]] },
        { bits: 2, offset: 832, inside: [[16, 0], [4, 8], [4, 2]] },
      ]), // prettier-ignore
      group: { n: 1, k: 16 },
    },
  ],
});

/** The 6-bit numbers of eight groups of 32 lie in twelve bytes from byte 4 on. */
const sixBits = (block: Block, offsets: readonly [number, number], steps: readonly [number, number]): Level => ({
  ...field(block, uint(6), [
    { bits: 4, offset: offsets[0], inside: [[32, 0], [4, 8], [2, steps[0]]] },
    { bits: 2, offset: offsets[1], inside: [[32, 0], [4, 8], [2, steps[1]]] },
  ]),
  group: { n: 1, k: 32 },
}); // prettier-ignore

/** The scales and minima of Q4_K and Q5_K. */
const sixBitLevels = (block: Block) => ({
  scales: [whole(block, f16Format, 16, 0), sixBits(block, [32, 36], [64, 2])],
  zero: { kind: 'minimum', levels: [whole(block, f16Format, 16, 2), sixBits(block, [64, 68], [36, 2])] },
}) as const; // prettier-ignore

const q4kBlock: Block = { elements: 256, bytes: 144 };

/** 4 bits in blocks of 256: groups of 32 with a 6-bit scale and minimum below two f16 numbers. */
export const q4_k: QuantScheme = defineScheme({
  name: 'q4_k',
  codes: field(q4kBlock, uint(4), [{ bits: 4, offset: 128, inside: [[32, 8], [2, 4], [4, 256]] }]), // prettier-ignore
  ...sixBitLevels(q4kBlock),
});

const q5kBlock: Block = { elements: 256, bytes: 176 };

/** 5 bits in blocks of 256: groups of 32 with a 6-bit scale and minimum below two f16 numbers. */
export const q5_k: QuantScheme = defineScheme({
  name: 'q5_k',
  codes: field(q5kBlock, uint(5), [
    { bits: 4, offset: 384, inside: [[32, 8], [2, 4], [4, 256]] },
    { bits: 1, offset: 128, inside: [[32, 8], [8, 1]] },
  ]), // prettier-ignore
  ...sixBitLevels(q5kBlock),
});

const q6kBlock: Block = { elements: 256, bytes: 210 };

/** 6 bits in blocks of 256: groups of 16 with an int8 scale below one f16 number. */
export const q6_k: QuantScheme = defineScheme({
  name: 'q6_k',
  codes: field(q6kBlock, uint(6), [
    { bits: 4, offset: 0, inside: [[32, 8], [2, 256], [2, 4], [2, 512]] },
    { bits: 2, offset: 1024, inside: [[32, 8], [4, 2], [2, 256]] },
  ]), // prettier-ignore
  offset: -32,
  scales: [
    whole(q6kBlock, f16Format, 16, 208),
    {
      ...field(q6kBlock, { kind: 'int', bits: 8 }, [
        { bits: 8, offset: 1536, inside: [[16, 0], [16, 8]] },
      ]), // prettier-ignore
      group: { n: 1, k: 16 },
    },
  ],
});

const mxBlock: Block = { elements: 32, bytes: 17 };

/** The values of a 4-bit float with two bits of exponent (OCP MX 1.0, section 5.3.3). */
export const e2m1: readonly number[] = [
  0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6,
]; // prettier-ignore

/** 4-bit floats in blocks of 32 below a power of two: 4.25 bits a weight. */
export const mxfp4: QuantScheme = defineScheme({
  name: 'mxfp4',
  codes: field(mxBlock, { kind: 'table', bits: 4, values: e2m1 }, [
    { bits: 4, offset: 8, inside: [[16, 8], [2, 4]] },
  ]), // prettier-ignore
  scales: [whole(mxBlock, e8m0Format, 8, 0)],
  fit: 'power',
});

/** The values of IQ4_NL's codes: more of them near zero. */
const nonLinear: NumberFormat = {
  kind: 'table',
  bits: 4,
  values: [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113],
};

const iq4nlBlock: Block = { elements: 32, bytes: 18 };

/** 4-bit codes of unequal steps in blocks of 32, one f16 scale, 4.5 bits a weight. */
export const iq4_nl: QuantScheme = defineScheme({
  name: 'iq4_nl',
  codes: field(iq4nlBlock, nonLinear, [{ bits: 4, offset: 16, inside: [[16, 8], [2, 4]] }]), // prettier-ignore
  scales: [whole(iq4nlBlock, f16Format, 16, 0)],
  against: 'found',
});

const iq4xsBlock: Block = { elements: 256, bytes: 136 };

/** The same codes in blocks of 256: groups of 32 with a 6-bit scale below one f16 number. */
export const iq4_xs: QuantScheme = defineScheme({
  name: 'iq4_xs',
  codes: field(iq4xsBlock, nonLinear, [
    { bits: 4, offset: 64, inside: [[16, 8], [2, 4], [8, 128]] },
  ]), // prettier-ignore
  scales: [
    whole(iq4xsBlock, f16Format, 16, 0),
    {
      ...field(iq4xsBlock, around32, [
        { bits: 4, offset: 32, inside: [[32, 0], [8, 4]] },
        { bits: 2, offset: 16, inside: [[32, 0], [8, 2]] },
      ]), // prettier-ignore
      group: { n: 1, k: 32 },
    },
  ],
});

const plain = (name: string, bytes: number) => ({ name, dtype: name, elements: 1, bytes });
const packed = (name: string, block: Block, scheme: QuantScheme) => ({
  name,
  dtype: 'F32',
  ...block,
  scheme,
});

/** Tensor types of GGUF files by their number (enum ggml_type). */
export const ggmlTypes: BlockTypes = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, packed('Q4_0', q40Block, q4_0)],
  [3, packed('Q4_1', q41Block, q4_1)],
  [6, packed('Q5_0', q50Block, q5_0)],
  [7, packed('Q5_1', q51Block, q5_1)],
  [8, packed('Q8_0', q80Block, q8_0)],
  [10, packed('Q2_K', q2kBlock, q2_k)],
  [11, packed('Q3_K', q3kBlock, q3_k)],
  [12, packed('Q4_K', q4kBlock, q4_k)],
  [13, packed('Q5_K', q5kBlock, q5_k)],
  [14, packed('Q6_K', q6kBlock, q6_k)],
  [20, packed('IQ4_NL', iq4nlBlock, iq4_nl)],
  [23, packed('IQ4_XS', iq4xsBlock, iq4_xs)],
  [30, plain('BF16', 2)],
  [39, packed('MXFP4', mxBlock, mxfp4)],
]);
