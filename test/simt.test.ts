/** Kernels of workgroups: what their interpreter computes, finds and counts, and what verify refuses. */
import { describe, expect, test } from 'vitest';
import type { DType } from '../compiler/base/type.ts';
import { interpretKernel } from '../compiler/5-kernel/interpret.ts';
import type { Kernel, Stmt, Tile } from '../compiler/5-kernel/kernel.ts';
import { printKernel } from '../compiler/5-kernel/print.ts';
import { makeRaceLog } from '../compiler/5-kernel/races.ts';
import { type LaunchCounts, makeCounts } from '../compiler/5-kernel/simt/counts.ts';
import {
  letStmt, loop, readRegister, registers, store, when,
} from '../compiler/5-kernel/statements.ts'; // prettier-ignore
import { verifyKernel } from '../compiler/5-kernel/verify.ts';
import {
  type Expr, add, arithmetic, compare, int, load, mul, num, variable,
} from '../compiler/scalar/expr.ts'; // prettier-ignore

const threads = 64;
const global = (name: string, dtype: DType, fixed = false): Tile => ({
  name,
  dtype,
  shape: [],
  layout: { strides: [1] },
  space: 'global',
  owner: 'grid',
  ...(fixed ? { fixed } : {}),
});
const sharedTile = (name: string, elements: number): Stmt => ({
  kind: 'tile',
  tile: {
    name,
    dtype: 'f32',
    shape: [elements],
    layout: { strides: [1] },
    space: 'shared',
    owner: 'workgroup',
  },
});
const barrier: Stmt = { kind: 'barrier', owner: 'workgroup' };
const kernel = (body: readonly Stmt[]): Kernel => ({
  name: 'k',
  params: [global('x', 'f32'), global('w', 'f32', true)],
  scalars: ['t', 'r', 'blocks'],
  workgroup: threads,
  body,
  scratchBytes: 0,
  schedule: {},
  orderKept: true,
});
/** In a workgroup for each row, with shared memory of its own. */
const inRows = (body: readonly Stmt[], rows: Expr | number = variable('t')): Kernel =>
  kernel([sharedTile('s', threads), loop('row', 0, rows, body, 'block')]);

const [row, thread] = [variable('row'), variable('thread')];
const width = 1000;
const size = { x: 4 * width, w: 3 * width };
const weight = (i: number): number => Math.fround(Math.sin(i) + 2);

/** x after the kernel ran, with weights of known values. */
function run(k: Kernel, rows = 3): { x: Float32Array; counts: LaunchCounts | undefined } {
  const memory = new DataView(new ArrayBuffer(4 * (size.x + size.w)));
  for (let i = 0; i < size.w; i++) memory.setFloat32(4 * (size.x + i), weight(i), true);
  const counts = makeCounts(memory.byteLength);
  interpretKernel(k, {
    memory,
    regions: [
      { address: 0, bytes: 4 * size.x },
      { address: 4 * size.x, bytes: 4 * size.w },
    ],
    scalars: { t: rows, r: 1, blocks: 1 },
    threads: 1,
    races: makeRaceLog(memory.byteLength),
    observer: counts,
  });
  return { x: new Float32Array(memory.buffer, 0, size.x), counts: counts.launches[0] };
}

/** x[row] = the sum of a row of w: partial sums of threads, then halves with halves. */
const total = readRegister('total', 0, 1);
const sums = inRows([
  registers('total', 1, 1),
  loop('i', 0, width, [
    store('total', 0, add(total, load('w', add(mul(row, int(width)), variable('i'))))),
  ], 'thread'),
  store('s', thread, total),
  ...[32, 16, 8, 4, 2, 1].flatMap((half): Stmt[] => [
    barrier,
    when(compare('lt', thread, int(half)), [
      store('s', thread, add(load('s', thread), load('s', add(thread, int(half))))),
    ]),
  ]),
  barrier,
  when(compare('eq', thread, int(0)), [store('x', row, load('s', int(0)))]),
]); // prettier-ignore

describe('the interpreter', () => {
  test('runs workgroups whose threads share memory', () => {
    expect(verifyKernel(sums)).toEqual([]);
    const { x } = run(sums);
    for (const r of [0, 1, 2]) {
      const wanted = Array.from({ length: width }, (_, i) => weight(r * width + i));
      expect(x[r]).toBeCloseTo(
        wanted.reduce((a, b) => a + b),
        2,
      );
    }
    expect(x[3]).toBe(0);
  });

  test('runs loops and branches that threads take apart', () => {
    const found = variable('found', 'f32');
    const body = inRows([
      registers('n', 1, 1),
      loop('i', 0, thread, [store('n', 0, add(readRegister('n', 0, 1), num(1)))]),
      letStmt('found', readRegister('n', 0, 1)),
      when(
        compare('lt', arithmetic('rem', thread, int(2)), int(1)),
        [store('x', thread, found)],
        [store('x', add(thread, int(threads)), mul(found, num(10)))],
      ),
    ]);
    const { x } = run(body, 1);
    for (let n = 0; n < threads; n++) {
      expect(x[n % 2 === 0 ? n : n + threads]).toBe(n % 2 === 0 ? n : 10 * n);
    }
  });

  const bad: readonly (readonly [string, readonly Stmt[], string, RegExp])[] = [
    [
      'a store outside',
      [loop('i', 0, size.x + 1, [store('x', variable('i'), num(1))], 'thread')],
      'kernel/bounds',
      /x\[4000 : 1\] is outside its 16000 bytes/,
    ],
    [
      'a shared element that another thread stored',
      [
        store('s', thread, num(1)),
        store('x', add(mul(row, int(threads)), thread), load('s', int(5))),
      ],
      'kernel/race',
      /s\[5\] is written by another thread of the workgroup/,
    ],
    [
      'a shared element that another thread still reads',
      [
        store('s', thread, num(1)),
        barrier,
        letStmt('a', load('s', arithmetic('xor', thread, int(1)))),
        store('s', thread, num(2)),
      ],
      'kernel/race',
      /s\[0\] is written or read by another thread of the workgroup/,
    ],
    ['an element that all threads store', [store('x', row, num(1))], 'kernel/race', /x at byte 0/],
    [
      'an element that two workgroups store',
      [when(compare('eq', thread, int(0)), [store('x', int(7), num(1))])],
      'kernel/race',
      /x at byte 28 is written by another thread/,
    ],
    [
      'a workgroup that reads what another stores',
      [
        letStmt('before', load('x', add(mul(row, int(threads)), thread))),
        store('x', add(mul(add(row, int(1)), int(threads)), thread), variable('before', 'f32')),
      ],
      'kernel/race',
      /x at byte 256 is written by another thread/,
    ],
    [
      'a barrier that not all threads come to',
      [when(compare('lt', thread, int(3)), [barrier])],
      'kernel/barrier',
      /part before a barrier/,
    ],
    [
      'a shared element that is not set',
      [letStmt('a', load('s', thread))],
      'kernel/unset',
      /s\[0\] is read unset/,
    ],
  ];
  test.each(bad)('finds %s', (_, body, code, text) => {
    expect(() => run(inRows(body))).toThrow(expect.objectContaining({ code }) as Error);
    expect(() => run(inRows(body))).toThrow(text);
  });

  test('shared memory of one workgroup is unset in the next', () => {
    const first = when(compare('eq', row, int(0)), [store('s', thread, num(1))]);
    const body = [first, barrier, letStmt('a', load('s', thread))];
    expect(() => run(inRows(body), 1)).not.toThrow();
    expect(() => run(inRows(body), 2)).toThrow(/read unset/);
  });
});

describe('counts', () => {
  const counted = (body: readonly Stmt[], rows = 1): LaunchCounts => {
    const { counts } = run(inRows(body), rows);
    if (!counts) throw new Error('no launch');
    return counts;
  };
  const i = variable('i');

  test('bytes once and every time', () => {
    const found = counted([
      loop('i', 0, 256, [letStmt('a', load('w', i))], 'thread'),
      loop('i', 0, 256, [letStmt('a', load('w', i))], 'thread'),
      loop('i', 0, 100, [store('x', i, num(1))], 'thread'),
    ]);
    expect(found).toMatchObject({
      fixedTotal: 2048,
      read: 1024,
      readTotal: 2048,
      written: 400,
      writtenTotal: 400,
    });
  });

  test('loads of 16 bytes side by side, and others', () => {
    const wide = load('w', mul(i, int(4)), 'f32', 4);
    const apart = load('w', mul(i, int(8)), 'f32', 4);
    const both = counted([loop('i', 0, 128, [letStmt('a', wide), letStmt('b', apart)], 'thread')]);
    expect(both.coalesced / both.loaded).toBe(0.5);
    const narrow = counted([loop('i', 0, 128, [letStmt('a', load('w', i))], 'thread')]);
    expect(narrow.coalesced).toBe(0);
    const same = counted([letStmt('a', load('w', row))]);
    expect(same.uniform).toBe(same.loaded);
  });

  test('threads that wait', () => {
    const even = counted([loop('i', 0, 128, [store('x', i, num(1))], 'thread')]);
    expect(even.busy).toBe(even.slots);
    // Of 48 iterations 16 are in the second group of 32 threads.
    const odd = counted([loop('i', 0, 48, [store('x', i, num(1))], 'thread')]);
    expect(odd).toMatchObject({ busy: 48, slots: 64 });
  });

  test('turns that shared memory takes', () => {
    const by = (stride: number): number => {
      const { sharedTurns, sharedAccesses } = counted([
        store('s', arithmetic('rem', mul(thread, int(stride)), int(threads)), num(1)),
      ]);
      return sharedTurns / sharedAccesses;
    };
    expect(by(1)).toBe(1);
    // An odd stride visits every element once, and no bank twice in 32 threads.
    expect(by(5)).toBe(1);
    const halves = counted([loop('i', 0, 32, [store('s', mul(i, int(2)), num(1))], 'thread')]);
    expect(halves.sharedTurns / halves.sharedAccesses).toBe(2);
  });
});

describe('verify refuses', () => {
  const faults = (k: Kernel): string => verifyKernel(k).join('\n');
  const i = variable('i');
  const cases: readonly (readonly [string, Kernel, RegExp])[] = [
    ['no block loop', kernel([store('x', thread, num(1))]), /no block loop at its end/],
    [
      'work before the block loop',
      kernel([store('x', thread, num(1)), loop('row', 0, 1, [], 'block')]),
      /something is done before workgroups begin/,
    ],
    [
      'a block loop inside',
      inRows([loop('i', 0, 4, [loop('j', 0, 2, [], 'block')])]),
      /a workgroup begins inside of one/,
    ],
    [
      'four block loops',
      kernel(['a', 'b', 'c', 'd'].reduceRight<Stmt[]>((b, n) => [loop(n, 0, 2, b, 'block')], [])),
      /more than 3 block loops/,
    ],
    [
      'an end that the host does not know',
      inRows([], load('w', int(0), 'i32')),
      /its end is not of sizes of the step alone/,
    ],
    [
      'a barrier in a branch that threads take apart',
      inRows([when(compare('lt', thread, int(3)), [barrier])]),
      /not all threads are seen to come to/,
    ],
    [
      'a barrier in a branch on what the step stores',
      inRows([when(compare('lt', load('x', row), num(0)), [barrier])]),
      /not all threads are seen to come to/,
    ],
    [
      'a barrier in a loop of each thread',
      inRows([loop('i', 0, threads, [barrier], 'thread')]),
      /not all threads are seen to come to/,
    ],
    ['too much shared memory', inRows([sharedTile('more', 4096)]), /share 16640 bytes of 16384/],
    ['double precision', inRows([letStmt('a', num(1, 'f64'))]), /double precision/],
    [
      'a store to weights',
      inRows([loop('i', 0, 4, [store('w', i, num(1))], 'thread')]),
      /w is stored to/,
    ],
    ['wide vectors', inRows([letStmt('a', load('w', int(0), 'f32', 8))]), /vectors of 8 lanes/],
    ['threads of a team', inRows([letStmt('a', variable('threads'))]), /threads is read before/],
    ['a workgroup of 48', { ...sums, workgroup: 48 }, /a workgroup of 48 threads/],
  ];
  test.each(cases)('%s', (_, k, text) => expect(faults(k)).toMatch(text));

  test('nothing where barriers stand in uniform control flow', () => {
    const known = load('w', row, 'i32');
    const body = inRows([
      letStmt('end', known),
      when(compare('lt', row, known), [barrier]),
      loop('i', 0, variable('end'), [barrier]),
    ]);
    expect(verifyKernel(body)).toEqual([]);
  });
});

test('kernels of workgroups are printed', () => {
  const text = printKernel(sums);
  expect(text).toContain('workgroup 64');
  expect(text).toContain('shared s: f32[64] strides [1] of workgroup');
  expect(text).toContain('block row = 0 .. t {');
  expect(text).toContain('barrier workgroup');
});
