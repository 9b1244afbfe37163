/** Numbers of 16 bits to f32 and back: every one of them, and what lies between two. */
import { describe, expect, test } from 'vitest';
import { halfOf, halfToFloat } from '../compiler/base/half.ts';
import { loop, store } from '../compiler/5-kernel/statements.ts';
import { half, load, toHalf, variable } from '../compiler/scalar/expr.ts';
import { lacksNative } from './helpers/native-run.ts';
import { inNative, inWasm, interpreted, kernelOver } from './helpers/one-kernel.ts';

const count = 65_536;
const each = (value: 'half' | 'tohalf', lanes: number) => {
  const i = variable('i');
  const [x, y] = value === 'half' ? (['i32', 'f32'] as const) : (['f32', 'i32'] as const);
  const from = load('x', i, x, lanes);
  const to = value === 'half' ? half(from) : toHalf(from);
  const bind = lanes > 1 ? 'vector' : 'serial';
  return kernelOver({ x, y }, [loop('i', 0, count, [store('y', i, to)], bind, lanes)]);
};

/** Words with odd upper halves, which have no say. */
const words = Int32Array.from({ length: count }, (_, h) => (((h * 40503) & 0xffff) << 16) | h);

/** Around every f16: it, the middle to the next, and the nearest numbers to that. */
const reals = [0, 1, 2, 3].map((which) =>
  Float32Array.from({ length: count }, (_, h) => {
    const x = halfToFloat(h);
    const next = halfToFloat((h & 0x7fff) === 0x7bff ? h : h + 1);
    const last = (h & 0x7fff) === 0x7bff; // the number after would be 65536
    const middle = last ? Math.sign(x) * 65520 : (x + next) / 2;
    if (which === 0) return x;
    if (which === 1 || !Number.isFinite(middle)) return middle;
    const bits = new Int32Array(Float32Array.of(middle).buffer);
    bits[0] = (bits[0] ?? 0) + (which === 2 ? 1 : -1);
    return new Float32Array(bits.buffer)[0] ?? 0;
  }),
);

const memoryOf = (x: Int32Array | Float32Array): Uint8Array => {
  const bytes = new Uint8Array(8 * count);
  bytes.set(new Uint8Array(x.buffer));
  return bytes;
};
const halves = [memoryOf(words)];
const floats = reals.map(memoryOf);

function expectWidened(found: readonly Uint8Array[]): void {
  const y = new Float32Array(found[0]?.slice(4 * count).buffer ?? new ArrayBuffer(0));
  const wrong = [...y].findIndex((v, h) => !Object.is(v, halfToFloat(h)));
  expect(wrong).toBe(-1);
  expect(y.length).toBe(count);
}

/** A NaN may keep what it likes of its bits. */
function expectRounded(found: readonly Uint8Array[]): void {
  expect(found.length).toBe(reals.length);
  found.forEach((memory, which) => {
    const y = new Int32Array(memory.slice(4 * count).buffer);
    const wrong = [...y].findIndex((code, i) => {
      const x = reals[which]?.[i] ?? 0;
      return Number.isNaN(x) ? !Number.isNaN(halfToFloat(code)) : code !== halfOf(x);
    });
    expect(wrong).toBe(-1);
  });
}

test('every number survives there and back', () => {
  for (let h = 0; h < count; h++) {
    if ((h & 0x7fff) <= 0x7c00) expect(halfOf(halfToFloat(h))).toBe(h);
    else expect(halfToFloat(halfOf(halfToFloat(h)))).toBeNaN();
  }
});

test('the interpreter', () => {
  expectWidened(halves.map((m) => interpreted(each('half', 4), m)));
  expectRounded(floats.map((m) => interpreted(each('tohalf', 4), m)));
});

describe.each([1, 4])('%i lanes', (lanes) => {
  test('wasm', async () => {
    expectWidened(await inWasm(each('half', lanes), false, halves));
    expectRounded(await inWasm(each('tohalf', lanes), false, floats));
  });
});

for (const isa of ['avx2', 'avx512'] as const) {
  const lacks = lacksNative(isa);
  test.skipIf(lacks !== '').each([1, 4, 8, 16])(
    `native code for ${isa}, %i lanes${lacks}`,
    async (lanes) => {
      const variant = { os: 'linux', isa } as const;
      expectWidened(await inNative(variant, each('half', lanes), halves));
      expectRounded(await inNative(variant, each('tohalf', lanes), floats));
    },
    30_000,
  );
}
