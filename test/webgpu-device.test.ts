/** The target `webgpu` with a small program made by hand: what it computes, makes, and says when it cannot. */
import { describe, expect, test } from 'vitest';
import type { Kernel } from '../compiler/5-kernel/kernel.ts';
import { loop, readRegister, registers, store } from '../compiler/5-kernel/statements.ts';
import type { Program } from '../compiler/6-program/program.ts';
import { bindProgram } from '../compiler/7-emit/wgsl-bindings.ts';
import { gpuStep } from '../compiler/7-emit/wgsl.ts';
import { add, cast, div, int, load, mul, rem, variable } from '../compiler/scalar/expr.ts';
import { sha256 } from '../compiler/8-bundle/bundle.ts';
import type { Executor } from '../runtime/device.ts';
import type { BundleFiles } from '../runtime/files.ts';
import type { Manifest } from '../runtime/manifest.ts';
import { makeModel } from '../runtime/model.ts';
import { readManifest } from '../runtime/validate.ts';
import { openWebGpu } from '../runtime/webgpu/device.ts';
import { kernel, tile } from './helpers/made-programs.ts';
import { counting, gpu, limited, note, wgslOf } from './helpers/webgpu.ts';

const block = 16;
const vocab = 24;
const limits = { tokens: 40, rows: 10 };

const row = variable('row');
const at = (name: string, index: Parameters<typeof load>[1]) => load(name, index, 'i32');

/** s[slot] = ids + 1 of every token. */
const append: Kernel = kernel(
  [tile('ids', 'i32', true), tile('slot', 'i32', true), tile('s', 'f32')],
  [
    loop('row', 0, variable('t'), [
      loop('v', 0, 1, [store('s', at('slot', row), cast(add(at('ids', row), int(1)), 'f32'))], 'thread'),
    ], 'block'),
  ],
  'append',
); // prettier-ignore

/** Logits of a row: the sum of what its token sees in the cache and of where it stands, times the weights. */
const sums: Kernel = kernel(
  [
    ...['rows', 'sequence', 'length', 'table', 'keys'].map((n) => tile(n, 'i32', true)),
    tile('s', 'f32'),
    tile('w', 'f32', true),
    tile('y', 'f32'),
  ],
  [
    loop('row', 0, variable('r'), [
      registers('sum', 1, 1),
      loop('e', 0, at('length', at('rows', row)), [
        store('sum', 0, add(readRegister('sum', 0, 1), seen())),
      ]),
      loop('v', 0, vocab, [
        store('y', add(mul(row, int(vocab)), variable('v')), mul(readRegister('sum', 0, 1), load('w', variable('v')))),
      ], 'thread'),
    ], 'block'),
  ],
  'sums',
); // prettier-ignore

function seen() {
  const e = variable('e');
  const own = mul(at('sequence', at('rows', row)), variable('blocks'));
  const slot = add(mul(at('table', add(own, div(e, int(block)))), int(block)), rem(e, int(block)));
  return add(load('s', slot), cast(at('keys', slot), 'f32'));
}

const step = (field: 'ids' | 'slot' | 'rows' | 'sequence' | 'length' | 'table' | 'keys') =>
  ({ kind: 'step', field }) as const;
const state = { kind: 'state', offset: 0, stride: 0 } as const;
const program: Program = {
  name: 'sums',
  limits,
  kernels: [append, sums],
  body: [
    { kind: 'launch', kernel: 0, args: [step('ids'), step('slot'), state] },
    { kind: 'barrier' },
    {
      kind: 'launch',
      kernel: 1,
      args: [
        ...(['rows', 'sequence', 'length', 'table', 'keys'] as const).map(step),
        state,
        { kind: 'weights', offset: 0, stride: 0 },
        { kind: 'arena', offset: 0, stride: 0 },
      ],
    },
  ],
  memory: {
    arenaBytes: limits.rows * vocab * 4,
    scratchBytes: 0,
    weightBytes: vocab * 4,
    stateBytesPerSlot: 4,
    buffers: [],
  },
  weights: [
    {
      name: 'w',
      source: 'w',
      dtype: 'f32',
      shape: [vocab],
      layout: { kind: 'plain' },
      offset: 0,
      count: 1,
      stride: 0,
    },
  ],
  states: [{ name: 's', dtype: 'f32', row: [1], bytes: 4, offset: 0, count: 1, stride: 0 }],
  output: { offset: 0, width: vocab, rowBytes: vocab * 4 },
};

const weight = (v: number): number => Math.fround(Math.sin(v + 1));
/** What the program computes after these ids, positions from 0 on. */
const wanted = (ids: readonly number[]): number[] => {
  const sum = ids.reduce((n, id, i) => n + id + 1 + i, 0);
  return Array.from({ length: vocab }, (_, v) => Math.fround(sum * weight(v)));
};

const shard = new Uint8Array(Float32Array.from({ length: vocab }, (_, v) => weight(v)).buffer);

/** The program as a bundle; its weights come in pieces of `piece` bytes. */
async function bundle(
  change: (m: Manifest) => unknown = (m) => m,
  piece = 7,
): Promise<BundleFiles> {
  const bound = bindProgram(program);
  const { memory, output } = program;
  const files = new Map<string, Uint8Array>([
    ['step.wgsl', new TextEncoder().encode(wgslOf(program, false))],
    ['w.bin', shard],
  ]);
  const entries: Record<string, { bytes: number; sha256: string }> = {};
  for (const [name, bytes] of files)
    entries[name] = { bytes: bytes.byteLength, sha256: await sha256(bytes) };
  const made: Manifest = {
    format: 'cograph-bundle',
    version: 1,
    name: 'sums',
    compiler: 'test',
    model: { vocab, context: 64, eos: [], parameters: vocab },
    files: entries,
    weights: {
      bytes: shard.byteLength,
      shards: [{ file: 'w.bin', offset: 0, bytes: shard.byteLength }],
      parts: [],
    },
    cache: { block, bytesPerSlot: 4, states: program.states },
    programs: {
      webgpu: {
        variants: [{ file: 'step.wgsl', dot4: false }],
        ...gpuStep(bound),
        limits,
        arenaBytes: memory.arenaBytes,
        scratchBytes: 0,
        output,
      },
    },
    cost: { flopsPerToken: 1, weightBytesPerToken: 1 },
  };
  const manifest = readManifest(JSON.stringify(change(made)));
  const read = (path: string): Promise<Uint8Array> =>
    Promise.resolve(files.get(path) ?? new Uint8Array());
  return {
    manifest,
    folder: undefined,
    read,
    check: () => Promise.resolve(),
    ahead: false,
    bring: async (path) => ({
      async pieces(take) {
        const bytes = await read(path);
        for (let from = 0; from < bytes.byteLength; from += piece)
          await take(bytes.slice(from, from + piece), from);
      },
    }),
  };
}

const sizes = { threads: 1, context: 64, capacity: 128, sequences: 4 };
const failure = (promise: Promise<unknown>): Promise<unknown> => promise.catch((e: unknown) => e);

describe('the manifest is checked', () => {
  const webgpu = (m: Manifest) => m.programs.webgpu ?? expect.fail('no program');
  const broken: readonly (readonly [string, (m: Manifest) => unknown, RegExp])[] = [
    [
      'a launch of no kernel',
      (m) => ({ ...m, programs: { webgpu: { ...webgpu(m), kernels: [] } } }),
      /launches that bind what their kernels take/,
    ],
    [
      'a grid of something else',
      (m) => ({
        ...m,
        programs: { webgpu: { ...webgpu(m), kernels: webgpu(m).kernels.map((k) => ({ ...k, grid: [['pow', 't', 2]] })) } }, // prettier-ignore
      }),
      /kernels\[0\]\.grid\[0\]\[0\]: expected one of select/,
    ],
    [
      'weights outside',
      (m) => ({ ...m, programs: { webgpu: { ...webgpu(m), body: [{ kind: 'loop', count: 3, body: webgpu(m).body.map((i) => (i.kind === 'launch' ? { ...i, ranges: i.ranges.map((r) => (r.kind === 'weights' ? { ...r, stride: 256 } : r)) } : i)) }] } } }), // prettier-ignore
      /weights that there are/,
    ],
    [
      'a state that is not there',
      (m) => ({ ...m, cache: { ...m.cache, states: [] } }),
      /states that there are/,
    ],
  ];
  test.each(broken)('%s', async (_, change, text) => {
    expect(await failure(bundle(change))).toMatchObject({ message: expect.stringMatching(text) as unknown }); // prettier-ignore
  });
});

describe.skipIf(!gpu)(`on the GPU${note}`, () => {
  const open = async (on: GPU | undefined = gpu, options = sizes): Promise<Executor> =>
    openWebGpu(await bundle(), options, { target: 'webgpu', ...(on ? { gpu: on } : {}) });
  const modelOn = async (on?: GPU) =>
    makeModel(await open(on), { name: 'sums', eos: [] }, undefined);
  const close = (row: ArrayLike<number> | undefined, ids: readonly number[]): void =>
    wanted(ids).forEach((v, i) => expect(row?.[i] ?? NaN).toBeCloseTo(v, 3));

  test('computes rows of prompts, of steps after each other, and of sequences side by side', async () => {
    const model = await modelOn();
    const ids = Array.from({ length: 50 }, (_, i) => (i * 7) % vocab);
    const rows = await model.logits(ids);
    rows.forEach((r, i) => close(r, ids.slice(0, i + 1)));
    const [a, b] = [model.sequence(), model.sequence()];
    const both = await Promise.all([a.append([3, 4]), b.append([9])]);
    close(both[0][0], [3, 4]);
    close(both[1][0], [9]);
    close((await b.append([1, 2, 3]))[0], [9, 1, 2, 3]);
    model.close();
  });

  test('forks, cuts, stores and restores sequences', async () => {
    const model = await modelOn();
    const s = model.sequence();
    await s.append([1, 2, 3, 4, 5]);
    const fork = s.fork();
    // Both write into the block that they share.
    const [one, two] = await Promise.all([s.append([6]), fork.append([7, 8])]);
    close(one[0], [1, 2, 3, 4, 5, 6]);
    close(two[0], [1, 2, 3, 4, 5, 7, 8]);
    const [kept, other] = await Promise.all([fork.snapshot(), s.snapshot()]);
    fork.rollback(2);
    close((await fork.append([11]))[0], [1, 2, 11]);
    const back = await model.restore(kept);
    close((await back.append([12]))[0], [1, 2, 3, 4, 5, 7, 8, 12]);
    close((await (await model.restore(other)).append([0]))[0], [1, 2, 3, 4, 5, 6, 0]);
    model.close();
  });

  test('a step is one submission, and makes nothing', async () => {
    const { on, counts } = counting();
    const model = await modelOn(on);
    const s = model.sequence();
    await s.append([1, 2, 3]);
    counts.clear();
    for (let i = 0; i < 5; i++) await s.append([i]);
    expect(Object.fromEntries(counts)).toEqual({
      createCommandEncoder: 5,
      submit: 5,
      writeBuffer: 15,
    });
    model.close();
  });

  const small: readonly (readonly [string, number])[] = [
    ['maxStorageBuffersPerShaderStage', 3],
    ['maxStorageBufferBindingSize', 512],
    ['maxBufferSize', 512],
    ['maxComputeInvocationsPerWorkgroup', 32],
  ];
  test.each(small)('an adapter with too small a %s is told by name', async (name, most) => {
    const e = await failure(open(limited({ [name]: most })));
    expect(e).toMatchObject({
      code: 'device/limit',
      message: expect.stringContaining(`needs ${name} of `) as unknown,
    });
  });

  test('a cache that is too large for a buffer is told, with what to do', async () => {
    const options = { ...sizes, capacity: 2 ** 26 };
    expect(await failure(open(gpu, options))).toMatchObject({
      code: 'device/limit',
      message: expect.stringMatching(/maxStorageBufferBindingSize of \d+, this GPU has \d+: load with a smaller capacity/) as unknown, // prettier-ignore
    });
  });

  test('a device that is lost ends what asks for it, and says so', async () => {
    const { on, devices } = counting();
    const executor = await open(on);
    devices[0]?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const model = makeModel(executor, { name: 'sums', eos: [] }, undefined);
    expect(await failure(model.logits([1]))).toMatchObject({ code: 'device/lost' });
    model.close();
  });

  test('a closed model is no more', async () => {
    const executor = await open();
    executor.close();
    executor.close();
    expect(() => executor.logits(0)).toThrow(expect.objectContaining({ code: 'device/closed' }) as Error); // prettier-ignore
    await expect(executor.step()).rejects.toMatchObject({ code: 'device/closed' });
  });

  test('software is taken where the target is asked for by name', async () => {
    const adapter = await gpu?.requestAdapter();
    const opened = bundle().then((files) => openWebGpu(files, sizes, gpu ? { gpu } : {}));
    if (adapter?.info.isFallbackAdapter)
      expect(await failure(opened)).toMatchObject({ code: 'device/adapter' });
    else (await opened).close();
  });
});
