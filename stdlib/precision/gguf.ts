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

const q80Block: Block = { elements: 32, bytes: 34 };

/** 8 bits in blocks of 32, one f16 scale, 8.5 bits a weight. */
export const q8_0: QuantScheme = defineScheme({
  name: 'q8_0',
  codes: field(q80Block, { kind: 'int', bits: 8 }, [{ bits: 8, offset: 16, inside: [[32, 8]] }]),
  scales: [whole(q80Block, f16Format, 16, 0)],
  rounding: 'away',
  against: 'found',
});

const q4kBlock: Block = { elements: 256, bytes: 144 };
/** The 6-bit numbers of eight groups of 32 lie in twelve bytes from byte 4 on. */
const sixBits = (offsets: readonly [number, number], steps: readonly [number, number]): Level => ({
  ...field(q4kBlock, uint(6), [
    { bits: 4, offset: offsets[0], inside: [[32, 0], [4, 8], [2, steps[0]]] },
    { bits: 2, offset: offsets[1], inside: [[32, 0], [4, 8], [2, steps[1]]] },
  ]),
  group: { n: 1, k: 32 },
}); // prettier-ignore

/** 4 bits in blocks of 256: groups of 32 with a 6-bit scale and minimum below two f16 numbers. */
export const q4_k: QuantScheme = defineScheme({
  name: 'q4_k',
  codes: field(q4kBlock, uint(4), [{ bits: 4, offset: 128, inside: [[32, 8], [2, 4], [4, 256]] }]), // prettier-ignore
  scales: [whole(q4kBlock, f16Format, 16, 0), sixBits([32, 36], [64, 2])],
  zero: { kind: 'minimum', levels: [whole(q4kBlock, f16Format, 16, 2), sixBits([64, 68], [36, 2])] },
}); // prettier-ignore

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
  [8, packed('Q8_0', q80Block, q8_0)],
  [12, packed('Q4_K', q4kBlock, q4_k)],
  [14, packed('Q6_K', q6kBlock, q6_k)],
  [30, plain('BF16', 2)],
  [39, packed('MXFP4', mxBlock, mxfp4)],
]);
