/** Kernels as WGSL: how they read, and that a GPU computes what their interpreter does. */
import { describe, expect, test } from 'vitest';
import type { Kernel, Stmt } from '../compiler/5-kernel/kernel.ts';
import {
  letStmt, loop, readRegister, registers, store, when,
} from '../compiler/5-kernel/statements.ts'; // prettier-ignore
import type { Argument } from '../compiler/6-program/program.ts';
import { bindProgram, bindingBytes } from '../compiler/7-emit/wgsl-bindings.ts';
import { gpuStep, multipliesBytes } from '../compiler/7-emit/wgsl.ts';
import {
  type Dot4, type Expr, add, arithmetic, bits, cast, compare, div, dot4, fma, half, int, lane, load,
  lookup, max, min, mul, num, rem, select, splat, sub, toHalf, unary, variable,
} from '../compiler/scalar/expr.ts'; // prettier-ignore
import { gpu, note, webgpuRunner, wgslOf } from './helpers/webgpu.ts';
import {
  type Made, arena, arenaArray, barrier, both, kernel, memoryOf, programOf, shared, sizes, slots, tile, weights,
} from './helpers/made-programs.ts'; // prettier-ignore

const [thread, row, i] = [variable('thread'), variable('row'), variable('i')];

/** y[row * 64 + thread] = the value, a word of the arena's second array. */
const each = (value: Expr, before: readonly Stmt[] = []): Kernel =>
  kernel(
    [tile('x', 'f32'), tile('n', 'i32'), tile('y', value.dtype === 'f32' ? 'f32' : 'i32')],
    [
      loop(
        'row',
        0,
        variable('t'),
        [...before, store('y', add(mul(row, int(64)), thread), value)],
        'block',
      ),
    ],
  );
const launched = (k: Kernel, args: readonly Argument[]): Made => ({
  kernels: [k],
  body: [{ kind: 'launch', kernel: 0, args }],
});
const overArena = (k: Kernel): Made => launched(k, [arena(0), arena(0), arena(arenaArray)]);

const at = add(mul(row, int(64)), thread);
const x = load('x', at);
const n = load('n', at, 'i32');
const floats = (word: number): number => {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, Math.sin(word * 1.7) * 2 ** ((word % 23) - 9));
  return view.getInt32(0);
};
const words = (word: number): number => Math.imul(word + 1, 0x9e3779b1) | 0;

/** A register of a loop's body: three rounds that each begin at zero add up to 3 x. */
const [own, sum] = [readRegister('own', 0, 1), readRegister('sum', 0, 1)];
const roundByRound = each(sum, [
  registers('sum', 1, 1),
  loop('j', 0, 3, [
    registers('own', 1, 1),
    store('own', 0, add(own, x)),
    store('sum', 0, add(sum, own)),
  ]),
]);

describe('text', () => {
  const text = wgslOf(programOf(overArena(each(add(x, num(1))))), false);

  test('says what it is and names what it reads', () => {
    expect(text).toBe(`// made: one step, a kernel after the other
struct Sizes {
  t: i32,
  r: i32,
  blocks: i32,
  infinity: u32,
  ids: i32,
  sequence: i32,
  position: i32,
  slot: i32,
  length: i32,
  rows: i32,
  table: i32,
  keys: i32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;

// k
@group(0) @binding(1) var<storage, read_write> k0_arena: array<i32>;
@compute
@workgroup_size(64)
fn k0_k(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let t = sizes.t;
  let thread = i32(local);
  let row = i32(group.y * 65535u + group.x);
  if (row >= t) {
    return;
  }
  k0_arena[(row * 64) + thread + 1024] = bitcast<i32>(bitcast<f32>(k0_arena[(row * 64) + thread]) + 1.0);
}
`);
  });

  test('names that WGSL keeps for itself are changed, and stay apart', () => {
    const value = variable('max', 'f32');
    const named = each(add(value, variable('max_', 'f32')), [
      letStmt('max', x),
      letStmt('max_', mul(x, num(2))),
    ]);
    const found = wgslOf(programOf(overArena(named)), false);
    expect(found).toContain('let max_ = ');
    expect(found).toContain('let max__ = ');
  });
});

describe('bindings', () => {
  const reads = (names: readonly string[]): Kernel =>
    kernel(
      [...names.map((w) => tile(w, 'f32', true)), tile('y', 'f32')],
      [loop('row', 0, 1, names.map((w) => store('y', 0, load(w, int(1)))), 'block')],
    ); // prettier-ignore

  test('weights that lie together are one, at places that each launch tells', () => {
    const made: Made = {
      kernels: [reads(['a', 'b'])],
      body: [
        { kind: 'launch', kernel: 0, args: [weights(0), weights(256), arena(0)] },
        { kind: 'launch', kernel: 0, args: [weights(0), weights(512), arena(0)] },
      ],
      weights: [16, 16, 16],
    };
    const { kernels, body } = gpuStep(bindProgram(programOf(made)));
    expect(kernels[0]?.bindings).toEqual([
      { kind: 'arena', write: true },
      { kind: 'weights', write: false },
    ]);
    const range = (bytes: number) => ({ kind: 'weights', offset: 0, bytes, stride: 0 });
    expect(body).toEqual([
      { kind: 'launch', kernel: 0, constants: { k0_b_at: 16 }, ranges: [{ kind: 'arena' }, range(272)] }, // prettier-ignore
      { kind: 'launch', kernel: 0, constants: { k0_b_at: 32 }, ranges: [{ kind: 'arena' }, range(528)] }, // prettier-ignore
    ]);
  });

  test('a weight that is larger than a binding may be is several', () => {
    const made = {
      ...launched(reads(['a']), [weights(0), arena(0)]),
      weights: [2 * bindingBytes + 40],
    };
    const { kernels, body } = gpuStep(bindProgram(programOf(made)));
    expect(kernels[0]?.bindings.map((b) => b.kind)).toEqual(['arena', 'weights', 'weights', 'weights']); // prettier-ignore
    const [launch] = body;
    const part = (offset: number, bytes: number) => ({ kind: 'weights', offset, bytes, stride: 0 });
    expect(launch).toMatchObject({
      ranges: [
        { kind: 'arena' },
        part(0, bindingBytes),
        part(bindingBytes, bindingBytes),
        part(2 * bindingBytes, 48),
      ],
    });
  });

  test('a grid is told as sizes of the step', () => {
    const size = mul(div(add(variable('t'), int(7)), int(8)), variable('blocks'));
    const k = kernel([tile('y', 'f32')], [loop('a', 0, size, [loop('b', 0, 5, [], 'block')], 'block')]); // prettier-ignore
    const { kernels } = gpuStep(bindProgram(programOf(launched(k, [arena(0)]))));
    expect(kernels[0]?.grid).toEqual([['mul', ['div', ['add', 't', 7], 8], 'blocks'], 5]);
  });

  test('registers are set to zero where they come into being', () => {
    expect(wgslOf(programOf(overArena(roundByRound)), false)).toMatch(/var own_\d+__0 = f32\(\);/);
  });

  test('a program that multiplies no bytes has no variant for it', () => {
    const byWords = each(dot4('s8s8', n, n, int(1)));
    expect(multipliesBytes(bindProgram(programOf(overArena(byWords))))).toBe(true);
    expect(multipliesBytes(bindProgram(programOf(overArena(each(n)))))).toBe(false);
  });
});

describe.skipIf(!gpu)(`on the GPU${note}`, () => {
  const asFloats = (view: DataView): Float32Array => new Float32Array(view.buffer, arenaArray, 192);
  const asWords = (view: DataView): Int32Array => new Int32Array(view.buffer, arenaArray, 192);

  const size = min(unary('abs', x), num(80));
  const float: Readonly<Record<string, Expr>> = {
    arithmetic: sub(mul(x, num(3)), div(x, add(unary('abs', x), num(0.25)))),
    choice: select(compare('lt', x, num(0)), max(x, num(-2)), min(x, num(7.5))),
    rounding: add(unary('round', x), mul(unary('floor', x), num(2))),
    root: unary('sqrt', size),
    exponential: unary('exp', min(x, num(20))),
    logarithm: unary('log', add(size, num(0.5))),
    sine: unary('sin', mul(x, num(3))),
    cosine: unary('cos', mul(x, num(3))),
    tangent: unary('tanh', mul(x, num(4))),
    error: unary('erf', x),
    sum: fma(x, x, num(1)),
    infinity: select(compare('lt', x, num(0)), num(-Infinity), num(Infinity)),
    less: select(compare('eq', unary('exp', num(-Infinity)), num(0)), x, num(1)),
    halves: half(toHalf(x)),
    bits: bits(arithmetic('or', bits(x, 'i32'), int(1)), 'f32'),
    lanes: lane(mul(splat(x, 4), { ...num(2), lanes: 4 }), 3),
    none: cast(compare('gt', x, num(0.5)), 'f32'),
  };
  test.each(Object.entries(float))('numbers: %s', async (_, value) => {
    const { found, wanted } = await both(overArena(each(value)), floats);
    const [a, b] = [asFloats(found), asFloats(wanted)];
    for (let k = 0; k < 192; k++) {
      const [near, far] = [a[k] ?? NaN, b[k] ?? NaN];
      if (near !== far) expect(Math.abs(near - far)).toBeLessThanOrEqual(4e-6 * Math.abs(far) + 1e-6); // prettier-ignore
    }
    expect(new Set(b).size).toBeGreaterThan(1);
  });

  test('registers of a loop begin at zero in each round', async () => {
    const { found, wanted } = await both(overArena(roundByRound), floats);
    expect(asFloats(found)).toEqual(asFloats(wanted));
    expect(new Set(asFloats(found)).size).toBeGreaterThan(1);
  });

  const whole: Readonly<Record<string, Expr>> = {
    arithmetic: sub(mul(n, int(3)), arithmetic('xor', n, int(-559038737))),
    division: add(div(arithmetic('and', n, int(65535)), int(7)), rem(arithmetic('shr', n, int(1)), int(13))), // prettier-ignore
    shifts: add(arithmetic('shr', n, int(5)), arithmetic('shl', n, int(3))),
    'shifts by lanes': arithmetic('shr', n, arithmetic('and', thread, int(15))),
    choice: select(compare('ge', n, int(0)), min(n, int(99)), max(n, int(-99))),
    conversion: cast(mul(cast(arithmetic('and', n, int(1023)), 'f32'), num(0.37)), 'i32'),
    halves: toHalf(cast(arithmetic('shr', n, int(10)), 'f32')),
    table: lookup(arithmetic('and', n, int(0x0f0f0f0f)), [0, -1, 127, -128, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), // prettier-ignore
    truth: cast(arithmetic('and', compare('gt', n, int(5)), unary('not', compare('eq', thread, int(3)))), 'i32'), // prettier-ignore
  };
  test.each(Object.entries(whole))('whole numbers: %s', async (_, value) => {
    const { found, wanted } = await both(overArena(each(value)), words);
    expect(asWords(found)).toEqual(asWords(wanted));
  });

  const products = (['s8s8', 'u8s8', 'i8i7'] as const).flatMap((v: Dot4) =>
    [false, true].flatMap((dot) => [1, 4].map((lanes) => [v, dot, lanes] as const)),
  );
  test.each(products)('products of bytes: %s, instructions %s, %i lanes', async (v, dot, lanes) => {
    const other = add(at, int(64));
    const right = load('n', lanes === 1 ? other : mul(div(other, int(4)), int(4)), 'i32', lanes);
    const left = load('n', lanes === 1 ? at : mul(div(at, int(4)), int(4)), 'i32', lanes);
    const seven = { ...int(0x7f7f7f7f), lanes };
    const b = v === 'i8i7' ? arithmetic('and', right, seven) : right;
    const sum = dot4(v, left, b, { ...int(1000), lanes });
    const value = lanes === 1 ? sum : add(lane(sum, 1), mul(lane(sum, 3), int(3)));
    const { found, wanted } = await both(overArena(each(value)), words, dot);
    expect(asWords(found)).toEqual(asWords(wanted));
  });

  test('tokens, rows and heads in one grid, uniform values before it', async () => {
    const [a, b, c] = [variable('a'), variable('b'), variable('c')];
    const place = add(add(mul(add(mul(a, int(2)), b), int(3)), c), mul(variable('blocks'), int(1)));
    const k = kernel(
      [tile('p', 'i32', true), tile('y', 'i32')],
      [
        letStmt('width', mul(variable('r'), int(4))),
        loop('a', 0, variable('t'), [
          loop('b', 0, variable('blocks'), [
            letStmt('token', load('p', a, 'i32')),
            loop('c', 0, 3, [
              when(compare('eq', thread, int(0)), [
                store('y', place, add(variable('token'), add(mul(variable('width'), c), b))),
              ]),
            ], 'block'),
          ], 'block'),
        ], 'block'),
      ],
    ); // prettier-ignore
    const made = launched(k, [{ kind: 'step', field: 'position' }, arena(arenaArray)]);
    const { found, wanted } = await both(made, words);
    expect(asWords(found)).toEqual(asWords(wanted));
  });

  test('threads share memory, and sum it in halves', async () => {
    const total = readRegister('total', 0, 1);
    const k = kernel(
      [tile('w', 'f32', true), tile('y', 'f32')],
      [
        shared('s', 64),
        loop('row', 0, variable('t'), [
          registers('total', 1, 1),
          loop('i', 0, 200, [
            store('total', 0, add(total, load('w', add(mul(row, int(200)), i)))),
          ], 'thread'),
          store('s', thread, total),
          ...[32, 16, 8, 4, 2, 1].flatMap((step): Stmt[] => [
            barrier,
            when(compare('lt', thread, int(step)), [
              store('s', thread, add(load('s', thread), load('s', add(thread, int(step))))),
            ]),
          ]),
          barrier,
          store('y', at, load('s', int(0))),
        ], 'block'),
      ],
    ); // prettier-ignore
    const made = { ...launched(k, [weights(0), arena(arenaArray)]), weights: [4 * 1000] };
    const { found, wanted } = await both(made, floats);
    expect(asFloats(found)).toEqual(asFloats(wanted));
  });

  test('weights four words at a time, narrow ones, and in loops', async () => {
    const four = load('w', mul(thread, int(4)), 'i32', 4);
    const narrow = (t: string): Expr => load(t, add(thread, int(3)), 'i32');
    const sum = [0, 1, 2, 3].map((l) => lane(four, l)).reduce((a, b) => add(a, b));
    const value = [narrow('h'), narrow('u'), narrow('c'), load('w', thread, 'i32')].reduce(
      (a, b) => add(mul(a, int(31)), b),
      sum,
    );
    const k = kernel(
      [
        tile('w', 'u32', true),
        tile('h', 'f16', true),
        tile('u', 'u8', true),
        tile('c', 'i8', true),
        tile('y', 'i32'),
      ],
      [loop('row', 0, 1, [store('y', thread, add(load('y', thread, 'i32'), value))], 'block')],
    );
    expect(wgslOf(programOf({ ...launched(k, [weights(0), weights(1024), weights(1280), weights(1280), arena(0)]), weights: [1024, 256, 256] }), false)) // prettier-ignore
      .toContain('array<vec4<i32>>');
    const args = [weights(0, 1536), weights(1024, 1536), weights(1280, 1536), weights(1280, 1536)];
    const made: Made = {
      kernels: [k],
      body: [
        {
          kind: 'loop',
          count: 3,
          body: [
            { kind: 'launch', kernel: 0, args: [...args, arena(arenaArray)] },
            { kind: 'barrier' },
          ],
        },
      ],
      weights: [1024, 256, 256, 1024, 256, 256, 1024, 256, 256],
    };
    const { found, wanted } = await both(made, words);
    expect(asWords(found)).toEqual(asWords(wanted));
  });

  test('a weight in three bindings', async () => {
    const place = mul(thread, int(12));
    const four = load('w', place, 'i32', 4);
    const value = add(load('w', add(place, int(5)), 'i32'), add(lane(four, 0), lane(four, 3)));
    const k = kernel(
      [tile('w', 'u32', true), tile('h', 'f16', true), tile('y', 'i32')],
      [loop('row', 0, 1, [store('y', thread, sub(value, load('h', mul(thread, int(23)), 'i32')))], 'block')], // prettier-ignore
    );
    const args = [weights(0), weights(0), arena(arenaArray)];
    const made = { ...launched(k, args), weights: [3072] };
    const { found, wanted } = await both(made, words, false, 1024);
    expect(asWords(found)).toEqual(asWords(wanted));
  });

  test('more workgroups than a dispatch has in a row', async () => {
    const last = 70_000;
    const own = compare('ge', row, int(last - 60));
    const value = store('y', sub(row, int(last - 60)), row);
    const first = compare('eq', thread, int(0));
    const k = kernel(
      [tile('y', 'i32')],
      [loop('row', 0, last, [when(arithmetic('and', own, first), [value])], 'block')],
    );
    const program = programOf(launched(k, [arena(arenaArray)]));
    const m = memoryOf(program, () => 0);
    await webgpuRunner()(program, m, { ...sizes, threads: 1 });
    const wanted = Array.from({ length: 60 }, (_, n) => last - 60 + n);
    expect([...asWords(m.memory)]).toEqual([...wanted, ...Array.from({ length: 132 }, () => 0)]);
  });

  test.each(['f32', 'f16', 'i8'] as const)('entries of a cache of %s', async (dtype) => {
    const bytes = { f32: 4, f16: 2, i8: 1 }[dtype];
    // Neighbours in a word are stored by different workgroups.
    const slot = add(mul(thread, int(3)), row);
    const value = dtype === 'f32' ? cast(slot, 'f32') : sub(mul(slot, int(5)), int(77));
    const stores = kernel(
      [tile('s', dtype)],
      [loop('row', 0, variable('t'), [when(compare('lt', slot, int(slots)), [store('s', slot, value)])], 'block')], // prettier-ignore
      'append',
    );
    const reads = kernel(
      [tile('s', dtype), tile('y', 'i32')],
      [loop('row', 0, 1, [store('y', thread, cast(load('s', thread, dtype === 'f32' ? 'f32' : 'i32'), 'i32'))], 'block')], // prettier-ignore
      'read',
    );
    const state: Argument = { kind: 'state', offset: 0, stride: 0 };
    const made: Made = {
      kernels: [stores, reads],
      body: [
        { kind: 'launch', kernel: 0, args: [state] },
        { kind: 'barrier' },
        { kind: 'launch', kernel: 1, args: [state, arena(arenaArray)] },
      ],
      state: { dtype, bytes },
    };
    const { found, wanted } = await both(made, words);
    expect(asWords(found)).toEqual(asWords(wanted));
  });
});
