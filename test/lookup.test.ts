/** Tables of 16 bytes: the interpreters, wasm and native code against plain arithmetic. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate } from '../compiler/scalar/eval.ts';
import { int, lookup, variable } from '../compiler/scalar/expr.ts';
import { printExpr } from '../compiler/scalar/print.ts';
import { readExpr } from '../compiler/scalar/read.ts';
import { emitLookup } from '../compiler/7-emit/llvm-lookup.ts';
import { lacksNative } from './helpers/native-run.ts';
import { inNative, inWasm, interpreted, lookupKernel } from './helpers/one-kernel.ts';

const words = 32;
const bytesOf = (least: number, most: number, count: number) =>
  fc.array(fc.integer({ min: least, max: most }), { minLength: count, maxLength: count });
const table = bytesOf(-128, 255, 16);
const codes = bytesOf(0, 15, 4 * words);

const memoryOf = (bytes: readonly number[]): Uint8Array => {
  const memory = new Uint8Array(8 * words);
  memory.set(bytes);
  return memory;
};
const foundIn = (memory: Uint8Array): number[] => [...memory.slice(4 * words)];
const expected = (entries: readonly number[], bytes: readonly number[]): number[] =>
  bytes.map((b) => (entries[b] ?? NaN) & 255);

test('the interpreter of kernels and that of scalars', () => {
  fc.assert(
    fc.property(table, codes, (entries, bytes) => {
      const wanted = expected(entries, bytes);
      const memory = memoryOf(bytes);
      expect(foundIn(interpreted(lookupKernel(words, entries), memory))).toEqual(wanted);
      const none = { variable: () => 0, at: () => 0 };
      const view = new DataView(memory.buffer);
      const word = evaluate(lookup(int(view.getInt32(0, true)), entries), none);
      expect([0, 8, 16, 24].map((bit) => (word >>> bit) & 255)).toEqual(wanted.slice(0, 4));
    }),
  );
});

test('what is printed is read', () => {
  fc.assert(
    fc.property(table, (entries) => {
      const e = lookup(variable('x'), entries);
      expect(readExpr(printExpr(e), new Map([['x', 'i32']]))).toEqual(e);
    }),
  );
  expect(() => readExpr('lookup(x, 1, 2)', new Map([['x', 'i32']]))).toThrow('17 operands');
});

const cases = fc.sample(fc.tuple(table, codes), { numRuns: 4, seed: 7 });

test.each([1, 4])('wasm, %i lanes', async (lanes) => {
  for (const [entries, bytes] of cases) {
    const kernel = lookupKernel(words, entries, lanes);
    const [found] = await inWasm(kernel, false, [memoryOf(bytes)]);
    expect(found && foundIn(found)).toEqual(expected(entries, bytes));
  }
});

describe.each(['avx2', 'avx512'] as const)('native code for %s', (isa) => {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '').each([1, 4, 8, 16])(
    `%i lanes${lacks}`,
    async (lanes) => {
      for (const [entries, bytes] of cases.slice(0, 2)) {
        const kernel = lookupKernel(words, entries, lanes);
        const [found] = await inNative({ os: 'linux', isa }, kernel, [memoryOf(bytes)]);
        expect(found && foundIn(found)).toEqual(expected(entries, bytes));
      }
    },
    30_000,
  );
});

test('arm64 has one instruction for each four words', () => {
  const lines: string[] = [];
  let values = 0;
  const body = {
    line: (text: string) => void lines.push(text),
    fresh: () => `%${values++}`,
    label: () => 0,
    declare: () => undefined,
  };
  const e = lookup(
    variable('x', 'i32', 16),
    Array.from({ length: 16 }, (_, i) => i),
  );
  if (e.op !== 'lookup') throw new Error('a lookup');
  emitLookup(body, { arch: 'arm64', vnni: false }, e, '%a');
  expect(lines.filter((l) => l.includes('@llvm.aarch64.neon.tbl1.v16i8'))).toHaveLength(4);
});
