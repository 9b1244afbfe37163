/** Loops, reductions and angles of workgroups, and whole programs in their interpreter. */
import { describe, expect, test } from 'vitest';
import { interpretKernel } from '../compiler/5-kernel/interpret.ts';
import { makeBuilder } from '../compiler/5-kernel/builder.ts';
import type { Kernel, Stmt } from '../compiler/5-kernel/kernel.ts';
import { type Linear, constantIndex, flatten, indexExpr } from '../compiler/5-kernel/linear.ts';
import type { LoopAxis } from '../compiler/5-kernel/loops.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { withoutDoubles } from '../compiler/5-kernel/simt/angles.ts';
import { groupLoops } from '../compiler/5-kernel/simt/loops.ts';
import { tidy } from '../compiler/5-kernel/simt/tidy.ts';
import { letStmt, loop, store } from '../compiler/5-kernel/statements.ts';
import { type Template, bind } from '../compiler/index.ts';
import { simtMachine } from '../compiler/5-kernel/machine.ts';
import { rmsNorm, rope } from '../stdlib/index.ts';
import { deviationOf, maxError } from './helpers/golden.ts';
import { runKernels } from './helpers/kernel-run.ts';
import { referenceOf } from './helpers/models.ts';
import { checkpointOf } from './helpers/random-weights.ts';
import { templateOf } from './helpers/template.ts';
import { verifyKernel } from '../compiler/5-kernel/verify.ts';
import { argmax, maximum, sum } from '../compiler/scalar/monoid.ts';
import {
  type Expr, add, cast, int, load, mul, num, unary, variable,
} from '../compiler/scalar/expr.ts'; // prettier-ignore

/** The weights are in f32, sums in another order than the reference's. */
const accepted = 2e-5;

const threads = 256;
const words = 1 << 15;

/** Runs what `make` writes for one workgroup over x (f32, given) and y (f32), z (i32). */
function run(
  given: readonly number[],
  make: (b: ReturnType<typeof makeBuilder>, tiles: { x: string; y: string; z: string }) => Stmt[],
): { y: Float32Array; z: Int32Array; kernel: Kernel } {
  const b = makeBuilder({ loops: groupLoops(threads), sharedBytes: 16384 });
  const x = b.param({ kind: 'weight', weight: 0 }, 'f32', 'x');
  const y = b.param({ kind: 'buffer', buffer: 0 }, 'f32', 'y');
  const z = b.param({ kind: 'buffer', buffer: 1 }, 'i32', 'z');
  const body = make(b, { x, y, z });
  const kernel: Kernel = {
    name: 'k',
    params: b.params,
    scalars: ['t', 'r', 'blocks'],
    workgroup: threads,
    body: tidy([...b.declarations(), loop('row', 0, 1, body, 'block')]),
    scratchBytes: 0,
    schedule: {},
    orderKept: true,
  };
  expect(verifyKernel(kernel)).toEqual([]);
  const memory = new DataView(new ArrayBuffer(3 * 4 * words));
  given.forEach((v, i) => memory.setFloat32(4 * i, v, true));
  interpretKernel(kernel, {
    memory,
    regions: [0, 1, 2].map((i) => ({ address: 4 * words * i, bytes: 4 * words })),
    scalars: { t: 1, r: 1, blocks: 1 },
    threads: 1,
    races: makeRaceLog(memory.byteLength),
  });
  return {
    y: new Float32Array(memory.buffer, 4 * words, words),
    z: new Int32Array(memory.buffer, 8 * words, words),
    kernel,
  };
}

const axis = (extent: number, more: Partial<LoopAxis> = {}): LoopAxis => ({
  hint: 'i',
  extent,
  ...more,
});
const noise = (i: number): number => Math.fround(Math.sin(12.9898 * i + 1) * 3);
const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => noise(i));

describe('stores', () => {
  const shapes: readonly (readonly number[])[] = [[1], [7], [255], [1024], [3, 5], [16, 128], [2, 3, 260]]; // prettier-ignore
  test.each(shapes)('of %j elements, each once', (...sizes) => {
    const n = sizes.reduce((a, b) => a * b, 1);
    const { y } = run(numbers(n), (b, { x, y }) =>
      b.loops.store(b, sizes.map((e) => axis(e)), (index) => {
        const i = indexExpr(flatten(index, sizes));
        return { tile: y, index: i, value: mul(load(x, i), num(2)) };
      }),
    ); // prettier-ignore
    expect([...y.slice(0, n)]).toEqual(numbers(n).map((v) => Math.fround(2 * v)));
    expect(y[n]).toBe(0);
  });

  test('of pieces, and of a count that ends early', () => {
    const { y } = run(numbers(64), (b, { x, y }) => [
      ...b.loops.storePieces(
        b,
        [0, 1, 2].map((p) => ({
          axes: [axis(4), axis([3, 4, 12][p] ?? 0, { from: [0, 3, 4][p] ?? 0 })],
          at: (index: readonly Linear[]) => {
            const i = indexExpr(flatten(index, [4, 12]));
            return { tile: y, index: i, value: add(load(x, i), num(100 * p)) };
          },
        })),
      ),
      ...b.loops.store(b, [axis(4, { count: int(2) }), axis(3)], (index) => ({
        tile: y,
        index: add(indexExpr(flatten(index, [4, 3])), int(100)),
        value: num(1),
      })),
      ...b.loops.store(b, [axis(2), axis(8, { count: int(5) })], (index) => ({
        tile: y,
        index: add(indexExpr(flatten(index, [2, 8])), int(200)),
        value: num(1),
      })),
    ]);
    for (let i = 0; i < 48; i++) {
      const piece = i % 12 < 3 ? 0 : i % 12 < 4 ? 1 : 2;
      expect(y[i]).toBe(Math.fround(noise(i) + 100 * piece));
    }
    expect([...y.slice(100, 108)]).toEqual([1, 1, 1, 1, 1, 1, 0, 0]);
    expect([...y.slice(200, 216)]).toEqual([1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]);
  });

  test('of pieces of one element that differ in numbers: one loop that reads a table', () => {
    const factors = numbers(50);
    const { y, kernel } = run(numbers(1), (b, { x, y }) =>
      b.loops.storePieces(
        b,
        factors.map((f, i) => ({
          axes: [axis(i + 1, { from: i })],
          at: ([index = constantIndex(0)]) => ({
            tile: y,
            index: indexExpr(index),
            value: mul(load(x, int(0)), num(f)),
          }),
        })),
      ),
    );
    factors.forEach((f, i) => expect(y[i]).toBe(Math.fround(noise(0) * f)));
    expect(JSON.stringify(kernel.body).split('"bind":"thread"').length - 1).toBe(1);
  });
});

describe('reductions', () => {
  test.each([1, 5, 16, 17, 64, 100, 256, 1000, 1024, 4096])('of %i terms', (n) => {
    const values = numbers(n);
    const { y, z } = run(values, (b, { x, y, z }) => {
      const reduced = [sum, maximum, argmax].map((m) =>
        b.loops.reduce(b, m, n, (k) => load(x, indexExpr(k))),
      );
      return reduced.flatMap(({ stmts, result }, i) => [
        ...stmts,
        letStmt(`result${i}`, result),
        ...b.loops.once([store(i === 2 ? z : y, i, variable(`result${i}`, result.dtype))]),
      ]);
    });
    const total = values.reduce((a, b) => a + b, 0);
    expect(Math.abs((y[0] ?? 0) - total)).toBeLessThan(1e-6 * n + 1e-6);
    expect(y[1]).toBe(Math.max(...values));
    expect(z[2]).toBe(values.indexOf(Math.max(...values)));
  });

  const many = [[1, 64], [5, 20], [8, 128], [16, 128], [3, 1000], [40, 8], [300, 12], [300, 64], [700, 33]]; // prettier-ignore
  test.each(many)('%i of %i terms', (count, n) => {
    const values = numbers(count * n);
    const make = (limit?: Expr) =>
      run(values, (b, { x, y }) =>
        b.loops.reduceEach(
          b,
          [axis(count, limit ? { count: limit } : {})],
          ([i = constantIndex(0)]) => ({
            tile: y,
            index: indexExpr(i),
            monoid: sum,
            extent: n,
            body: (k) => load(x, indexExpr(flatten([i, k], [count, n]))),
          }),
        ),
      ).y;
    const y = make();
    for (let i = 0; i < count; i++) {
      const wanted = values.slice(i * n, (i + 1) * n).reduce((a, b) => a + b, 0);
      expect(Math.abs((y[i] ?? 0) - wanted)).toBeLessThan(1e-6 * n + 1e-6);
    }
    expect(y[count]).toBe(0);
    // Fewer of them give the same bits: the order is that of the whole.
    const part = make(int(count - 1));
    expect(part.slice(0, count - 1)).toEqual(y.slice(0, count - 1));
    expect(part[count - 1]).toBe(0);
  });

  test('the largest few, ties to the lower position', () => {
    const [groups, n, count] = [3, 70, 5];
    const values = Array.from({ length: groups * n }, (_, i) => Math.round(2 * noise(i)));
    values.fill(-Infinity, n, 2 * n);
    values.fill(9, n + 40, n + 42);
    const { y, z } = run(values, (b, { x, y, z }) => {
      const to = (tile: string) => (group: readonly Linear[], c: Linear) => ({
        tile,
        index: indexExpr(flatten([...group, c], [groups, count])),
      });
      return b.loops.top(b, {
        count,
        extent: n,
        outer: [axis(groups)],
        source: (group, k) => load(x, indexExpr(flatten([...group, k], [groups, n]))),
        value: to(y),
        position: to(z),
      });
    });
    for (let g = 0; g < groups; g++) {
      const sorted = values
        .slice(g * n, (g + 1) * n)
        .map((v, i) => ({ v, i: v === -Infinity ? 0 : i }))
        .sort((a, b) => b.v - a.v || a.i - b.i)
        .slice(0, count);
      expect([...y.slice(g * count, (g + 1) * count)]).toEqual(sorted.map((s) => s.v));
      expect([...z.slice(g * count, (g + 1) * count)]).toEqual(sorted.map((s) => s.i));
    }
  });
});

test('angles without double precision are good to 1e-6 up to position 131,072', () => {
  const frequencies = [1, 0.7498942, 0.1, 0.0316227766, 1e-3, 1.5e-6, 6.123];
  const positions = [0, 1, 2, 77, 4095, 65535, 65536, 100003, 131071, 131072];
  const { y } = run(positions, (b, { x, y }) =>
    positions.flatMap((_, i) =>
      frequencies.flatMap((f, j) =>
        (['sin', 'cos'] as const).flatMap((op, k) => {
          const position = cast(cast(load(x, int(i)), 'i32'), 'f64');
          const wide = cast(unary(op, mul(position, num(f, 'f64'))), 'f32');
          const at = (i * frequencies.length + j) * 2 + k;
          return b.loops.once([store(y, at, withoutDoubles(wide))]);
        }),
      ),
    ),
  );
  positions.forEach((p, i) =>
    frequencies.forEach((f, j) => {
      const at = (i * frequencies.length + j) * 2;
      expect(Math.abs((y[at] ?? 9) - Math.sin(p * f))).toBeLessThan(1e-6);
      expect(Math.abs((y[at + 1] ?? 9) - Math.cos(p * f))).toBeLessThan(1e-6);
    }),
  );
});

describe('programs of rows', () => {
  const models: Readonly<Record<string, Template>> = {
    'norms, element by element, of layers that carry their row': templateOf(
      `layered(ids: i32[t]) -> [t, 48] {
        weight table: [32, 48]
        x = table[ids]
        repeat layers[l: 3] {
          use norm = \${0}()
          x = x + silu(norm(x)) * 0.5
        }
        return x
      }`,
      [rmsNorm],
      'model',
    ),
    'softmax, the largest shares, a norm for each head': templateOf(
      `routed(ids: i32[t]) -> [t, 70] {
        weight table: [32, 70], more: [32, 64], pick: [70, 4]
        use norm = \${0}()
        share, chosen = top_k(softmax(table[ids]), k = 4)
        heads = norm(more[ids] as [t, 4, 16])
        both = share * (max(heads, axis = 2) as [t, 4])
        picked = sum(pick[chosen] * (both as [t, 4, 1]), axis = 1) as [t, 4]
        best = pick[argmax(table[ids])] as [t, 4]
        return table[ids] * sum(picked + best)
      }`,
      [rmsNorm],
      'model',
    ),
    'rotated heads': templateOf(
      `rotated(ids: i32[t]) -> [t, 512] {
        weight table: [32, 512]
        use turn = \${0}(theta = 10000)
        return turn(table[ids] as [t, 4, 128]) as [t, 512]
      }`,
      [rope],
      'model',
    ),
    'rows too wide to be held': templateOf(
      `wide(ids: i32[t]) -> [t, 5004] {
        weight table: [32, 5004]
        x = table[ids]
        e = exp(x - max(x))
        return e / sum(e) + e * e
      }`,
      [],
      'model',
    ),
  };

  test.each(Object.entries(models))('%s', async (_, template) => {
    const bound = bind(template);
    const folder = checkpointOf(bound, new Map());
    const ids = [5, 9, 2, 7, 30, 12];
    const reference = await referenceOf(bound, folder, 64);
    const wanted = await reference.sequence().append(ids, { logits: 'all' });
    const found = await runKernels(bound, folder, ids, undefined, undefined, simtMachine);
    expect(maxError(wanted, found) / deviationOf(wanted)).toBeLessThan(accepted);
  });
});
