/** Products of bytes and of pairs of 16 bits: the kernel interpreter, wasm and native code against plain arithmetic. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Dot4 } from '../compiler/scalar/expr.ts';
import { lacksNative } from './helpers/native-run.ts';
import {
  dotKernel,
  dotsKernel,
  inNative,
  inWasm,
  interpreted,
  pairsKernel,
} from './helpers/one-kernel.ts';

const words = 32;

/** By bytes, as the variants' names say. */
function expected(variant: Dot4, a: Int8Array, b: Int8Array, c: Int32Array): number[] {
  const left = variant === 'u8s8' ? new Uint8Array(a.buffer) : a;
  return [...c].map((sum, i) => {
    let total = sum;
    for (let j = 4 * i; j < 4 * i + 4; j++) total += (left[j] ?? 0) * (b[j] ?? 0);
    return total | 0;
  });
}

const memoryOf = (a: Int8Array, b: Int8Array | Int16Array, c: Int32Array): Uint8Array => {
  const bytes = new Uint8Array(3 * 4 * words);
  [a, b, c].forEach((x, i) =>
    bytes.set(new Uint8Array(x.buffer, x.byteOffset, x.byteLength), i * 4 * words),
  );
  return bytes;
};

const sumsIn = (memory: Uint8Array): number[] => [
  ...new Int32Array(memory.slice(8 * words).buffer),
];

describe.each(['u8s8', 's8s8', 'i8i7'] as const)('%s', (variant) => {
  const kernel = dotKernel(words, variant);
  const byte = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.constantFrom(-128, -1, 0, 127));
  const seven = fc.oneof(fc.integer({ min: 0, max: 127 }), fc.constantFrom(0, 127));
  const many = <T extends fc.Arbitrary<number>>(of: T, count: number) =>
    fc.array(of, { minLength: count, maxLength: count });
  const inputs = fc.record({
    a: many(byte, 4 * words).map((x) => Int8Array.from(x)),
    b: many(variant === 'i8i7' ? seven : byte, 4 * words).map((x) => Int8Array.from(x)),
    c: many(fc.integer(), words).map((x) => Int32Array.from(x)),
  });

  test('the interpreter is exact', () => {
    fc.assert(
      fc.property(inputs, ({ a, b, c }) => {
        expect(sumsIn(interpreted(kernel, memoryOf(a, b, c)))).toEqual(expected(variant, a, b, c));
      }),
    );
  });

  test.each([true, false])('wasm is exact, relaxed: %s', async (relaxed) => {
    const cases = fc.sample(inputs, 200);
    const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
    const found = (await inWasm(kernel, relaxed, memories)).map(sumsIn);
    cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expected(variant, a, b, c)));
  });

  for (const isa of ['avx2', 'avx512'] as const) {
    const lacks = lacksNative(isa);
    test.skipIf(lacks !== '').each([4, 8, 16])(
      `native code for ${isa} is exact, %i lanes${lacks}`,
      async (lanes) => {
        const cases = fc.sample(inputs, 5);
        const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
        const ran = await inNative(
          { os: 'linux', isa },
          dotKernel(words, variant, lanes),
          memories,
        );
        const found = ran.map(sumsIn);
        cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expected(variant, a, b, c)));
      },
      30_000,
    );
  }
});

describe.each([127, 63, 31, 15, 3])('sums of products, the right ones up to %i', (most) => {
  const terms = 11;
  const byte = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.constantFrom(-128, -128, 127));
  const small = fc.oneof(fc.integer({ min: 0, max: most }), fc.constantFrom(most, most));
  const bytes = (of: fc.Arbitrary<number>) =>
    fc
      .oneof(fc.array(of, { minLength: 4 * words, maxLength: 4 * words }), of.map((x) => Array.from({ length: 4 * words }, () => x)))
      .map((x) => Int8Array.from(x)); // prettier-ignore
  const inputs = fc.record({
    a: bytes(byte),
    b: bytes(small),
    c: fc.array(fc.integer(), { minLength: words, maxLength: words }).map((x) => Int32Array.from(x)), // prettier-ignore
  });
  const wanted = (lanes: number, a: Int8Array, b: Int8Array, c: Int32Array): number[] =>
    [...c].map((sum, i) => {
      if (i >= lanes) return sum;
      let total = sum;
      for (let t = 0; t < terms; t++) {
        for (let j = 0; j < 4; j++) {
          const at = 4 * (((t * lanes) % words) + i) + j;
          total += (a[at] ?? 0) * (b[at] ?? 0);
        }
      }
      return total | 0;
    });

  test('the interpreter is exact', () => {
    const kernel = dotsKernel(words, terms, most);
    fc.assert(
      fc.property(inputs, ({ a, b, c }) => {
        expect(sumsIn(interpreted(kernel, memoryOf(a, b, c)))).toEqual(wanted(4, a, b, c));
      }),
    );
  });

  test.each([true, false])('wasm is exact, relaxed: %s', async (relaxed) => {
    const cases = fc.sample(inputs, 200);
    const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
    const found = (await inWasm(dotsKernel(words, terms, most), relaxed, memories)).map(sumsIn);
    cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(wanted(4, a, b, c)));
  });

  for (const isa of ['avx2', 'avx512'] as const) {
    const lacks = lacksNative(isa);
    test.skipIf(lacks !== '').each([4, 16])(
      `native code for ${isa} is exact, %i lanes${lacks}`,
      async (lanes) => {
        const cases = fc.sample(inputs, 3);
        const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
        const kernel = dotsKernel(words, terms, most, lanes);
        const found = (await inNative({ os: 'linux', isa }, kernel, memories)).map(sumsIn);
        cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(wanted(lanes, a, b, c)));
      },
      30_000,
    );
  }
});

const pairForms = [
  { signed: true },
  { signed: false },
  { signed: true, flip: true },
  { signed: true, over: true },
] as const;

/** What `pairsKernel` says, a product at a time. */
function expectedPairs(
  {
    signed,
    flip = false,
    over = false,
  }: (typeof pairForms)[number] & { flip?: boolean; over?: boolean },
  a: Int8Array,
  b: Int16Array,
  c: Int32Array,
): number[] {
  const product = (n: number): number => {
    const byte = (a[n] ?? 0) ^ (flip ? 0x80 : 0);
    const wide = signed ? (byte << 24) >> 24 : byte & 255;
    return wide * (b[over ? n % 4 : n] ?? 0);
  };
  return [...c].map((sum, i) => (sum + product(2 * i) + product(2 * i + 1)) | 0);
}

describe.each(pairForms)('pairs, $signed $flip $over', (form) => {
  const byte = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.constantFrom(-128, -1, 0, 127));
  const word = fc.oneof(fc.integer({ min: -32768, max: 32767 }), fc.constantFrom(-32768, -1, 32767)); // prettier-ignore
  const many = <T extends fc.Arbitrary<number>>(of: T, count: number) =>
    fc.array(of, { minLength: count, maxLength: count });
  const inputs = fc.record({
    a: many(byte, 4 * words).map((x) => Int8Array.from(x)),
    b: many(word, 2 * words).map((x) => Int16Array.from(x)),
    c: many(fc.integer(), words).map((x) => Int32Array.from(x)),
  });

  test('the interpreter is exact', () => {
    const kernel = pairsKernel(words, form);
    fc.assert(
      fc.property(inputs, ({ a, b, c }) => {
        expect(sumsIn(interpreted(kernel, memoryOf(a, b, c)))).toEqual(expectedPairs(form, a, b, c)); // prettier-ignore
      }),
    );
  });

  test.each([true, false])('wasm is exact, relaxed: %s', async (relaxed) => {
    const cases = fc.sample(inputs, 100);
    const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
    const found = (await inWasm(pairsKernel(words, form), relaxed, memories)).map(sumsIn);
    cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expectedPairs(form, a, b, c)));
  });

  for (const isa of ['avx2', 'avx512'] as const) {
    const lacks = lacksNative(isa);
    test.skipIf(lacks !== '').each([4, 8, 16])(
      `native code for ${isa} is exact, %i lanes${lacks}`,
      async (lanes) => {
        const cases = fc.sample(inputs, 3);
        const memories = cases.map(({ a, b, c }) => memoryOf(a, b, c));
        const kernel = pairsKernel(words, form, lanes);
        const found = (await inNative({ os: 'linux', isa }, kernel, memories)).map(sumsIn);
        cases.forEach(({ a, b, c }, i) => expect(found[i]).toEqual(expectedPairs(form, a, b, c)));
      },
      30_000,
    );
  }
});
