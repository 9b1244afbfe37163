/** Programs with 64-bit addresses: when a bundle has them, when they run, that they compute the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { precision } from '../compiler/index.ts';
import { wasmVariants } from '../compiler/8-bundle/programs.ts';
import type { Executor } from '../runtime/device.ts';
import { openFiles } from '../runtime/files.ts';
import type { Manifest } from '../runtime/manifest.ts';
import { makeModel } from '../runtime/model.ts';
import { readManifest } from '../runtime/validate.ts';
import { openWasm } from '../runtime/wasm/device.ts';
import { int8, q4_0 } from '../stdlib/index.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const shape = {
  vocab: 131,
  width: 64,
  inner: 96,
  depth: 2,
  heads: 4,
  kvHeads: 2,
  head: 32,
  dtype: 'BF16',
} as const;
const GiB = 2 ** 30;
/** 1 KiB a token in f32: a cache of twice the context takes 8 GiB. */
const plain = randomCheckpoint({ ...shape, context: 2 ** 22 });
const sheet = precision`:linear { weights: ${q4_0}; activations: ${int8(32)} } :attention { kv: ${int8()} }`;
const limits = { tokens: 8, rows: 8 };
const bundles = {
  plain: bundleOf(plain.bound, plain.folder, limits),
  // A quarter of the cache, and a word of scale for each head.
  quantised: bundleOf({ ...plain.bound, context: 2 ** 24, sheets: [sheet] }, plain.folder, limits),
};

const manifestOf = (bundle: string): Manifest =>
  readManifest(readFileSync(join(bundle, 'manifest.json'), 'utf8'));

const sizes = { threads: 1, context: 64, capacity: 128, sequences: 4 };

async function openWith(
  bundle: string,
  options: Parameters<typeof openWasm>[2] & {
    readonly manifest?: (m: Manifest) => Manifest;
    readonly capacity?: number;
    readonly threads?: number;
  } = {},
): Promise<Executor> {
  const { manifest: change = (m) => m, capacity, threads, ...rest } = options;
  const files = await openFiles(bundle);
  const given = { ...sizes, capacity: capacity ?? sizes.capacity, threads: threads ?? 1 };
  return openWasm({ ...files, manifest: change(files.manifest) }, given, rest);
}

describe('a bundle', () => {
  const kinds = (memory: Partial<Parameters<typeof wasmVariants>[0]>, context?: number) => {
    const full = {
      weightBytes: 0,
      arenaBytes: 0,
      scratchBytes: 0,
      stateBytesPerSlot: 0,
      buffers: [],
    };
    return [...new Set(wasmVariants({ ...full, ...memory }, context).map((v) => v.memory64))];
  };

  test('has 64-bit addresses where weights and cache may need them, and 32-bit ones where they may do', () => {
    expect(kinds({ weightBytes: 700 * 2 ** 20, stateBytesPerSlot: 32_768 })).toEqual([false]);
    // Llama-3.2-1B: 128k tokens of context, twice.
    expect(kinds({ weightBytes: 700 * 2 ** 20, stateBytesPerSlot: 32_768 }, 131_072)).toEqual([
      false,
      true,
    ]);
    // 4096 tokens, twice, of 96 KiB each; 256 MiB are left for the rest.
    const three = { weightBytes: 3 * GiB, stateBytesPerSlot: 3 * 2 ** 15 };
    expect(kinds(three)).toEqual([false]);
    expect(kinds({ ...three, arenaBytes: 1 })).toEqual([false, true]);
    expect(kinds({ weightBytes: 4 * GiB })).toEqual([true]);
  });

  test('names them behind those with 32-bit addresses, each with and without threads', async () => {
    const { programs, files } = manifestOf(await bundles.plain);
    const variants = programs.wasm?.variants ?? [];
    expect(variants.map((v) => v.memory64 === true)).toEqual(
      [false, true].flatMap((wide) => [wide, wide, wide, wide]),
    );
    expect(variants.map((v) => v.file).slice(4)).toEqual([
      'step.memory64.threads.relaxed.wasm',
      'step.memory64.relaxed.wasm',
      'step.memory64.threads.wasm',
      'step.memory64.wasm',
    ]);
    for (const v of variants) expect(files[v.file]?.bytes).toBeGreaterThan(1000);
  });
});

describe('64-bit addresses', () => {
  beforeAll(() => {
    // Node 20 has them behind a flag, for memory of up to 4 GiB.
    if (process.version.startsWith('v20.')) setFlagsFromString('--experimental-wasm-memory64');
  });

  /** Logits of a prompt in chunks, of single tokens, of a fork, and of what a snapshot brings back. */
  async function resultsOf(executor: Executor): Promise<readonly Float32Array[]> {
    const model = makeModel(executor, { name: 'm', eos: [] }, undefined);
    const s = model.sequence();
    const prompt = Array.from({ length: 21 }, (_, i) => (i * 37) % shape.vocab);
    const found = await s.append(prompt, { logits: 'all' });
    const other = s.fork();
    for (const id of [5, 77, 130]) found.push(...(await s.append([id], { logits: 'all' })));
    found.push(...(await other.append([9, 8], { logits: 'all' })));
    const back = await model.restore(await s.snapshot());
    found.push(...(await back.append([1], { logits: 'all' })));
    model.close();
    return found;
  }

  const only =
    (relaxed: boolean) =>
    (m: Manifest): Manifest => {
      const { wasm } = m.programs;
      if (!wasm) throw new Error('no wasm program');
      const variants = wasm.variants.filter((v) => v.relaxed === relaxed);
      return { ...m, programs: { wasm: { ...wasm, variants } } };
    };

  test.each(
    (['plain', 'quantised'] as const).flatMap((name) =>
      [1, 2].flatMap((threads) => [true, false].map((relaxed) => ({ name, threads, relaxed }))),
    ),
  )(
    'give the same bits: $name weights, $threads threads, relaxed SIMD $relaxed',
    async ({ name, threads, relaxed }) => {
      const bundle = await bundles[name];
      const read: string[] = [];
      const open = async (narrow: number): Promise<Executor> => {
        const files = await openFiles(bundle);
        const note = (path: string): Promise<Uint8Array> => {
          if (path.endsWith('.wasm')) read.push(path);
          return files.read(path);
        };
        const changed = { ...files, manifest: only(relaxed)(files.manifest), read: note };
        return openWasm(changed, { ...sizes, threads }, { narrow });
      };
      const wide = await resultsOf(await open(0));
      const narrow = await resultsOf(await open(4 * GiB));
      const tail = `${threads > 1 ? '.threads' : ''}${relaxed ? '.relaxed' : ''}.wasm`;
      expect(read).toEqual([`step.memory64${tail}`, `step${tail}`]);
      expect(wide).toHaveLength(27);
      expect(wide).toEqual(narrow);
      expect(new Set(wide.map((row) => row.join())).size).toBe(27);
    },
  );
});

describe('memory that does not do', () => {
  afterEach(() => vi.restoreAllMocks());

  const refusal = (bundle: string, options: Parameters<typeof openWith>[1]) =>
    openWith(bundle, options).then(
      (e) => {
        e.close();
        throw new Error('opened');
      },
      (e: unknown) => e as { code: string; message: string },
    );

  test('an engine without memory64 reaches 4 GiB, and the error says which engines reach more', async () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    const { code, message } = await refusal(await bundles.plain, { capacity: 5 * 2 ** 20 });
    expect(code).toBe('device/memory');
    expect(message).toMatch(
      /^the model needs 514\d MiB \(weights 1 MiB, cache for 5242880 tokens 5120 MiB\); wasm addresses 4096 MiB here, where there is no memory64; Node 22, Chrome 133 and Firefox 134 and later have it, and address 16384 MiB: load it with a smaller capacity$/,
    );
  });

  test('no engine reaches more than 16 GiB', async () => {
    const { code, message } = await refusal(await bundles.plain, { capacity: 17 * 2 ** 20 });
    expect(code).toBe('device/memory');
    expect(message).toMatch(/tokens 17408 MiB\); wasm addresses 16384 MiB at most: load/);
  });

  test('kernels count elements of a cache in 31 bits', async () => {
    const { code, message } = await refusal(await bundles.plain, { capacity: 9 * 2 ** 20 });
    expect(code).toBe('device/memory');
    expect(message).toBe(
      'one array of the cache would have 2304 MiB for 9437184 tokens, and kernels reach 2048 MiB of it: ' +
        'load it with a capacity of 8388608 tokens at most',
    );
  });

  test('a bundle without such programs is refused', async () => {
    const manifest = (m: Manifest): Manifest => {
      const { wasm } = m.programs;
      if (!wasm) throw new Error('no wasm program');
      const variants = wasm.variants.filter((v) => v.memory64 !== true);
      return { ...m, programs: { wasm: { ...wasm, variants } } };
    };
    const options = { capacity: 5 * 2 ** 20, manifest };
    const { code, message } = await refusal(await bundles.plain, options);
    expect(code).toBe('device/memory');
    expect(message).toMatch(/the bundle has programs for 4096 MiB alone: load it with a smaller/);
  });

  test('weights that alone are too much: no capacity helps', async () => {
    const manifest = (m: Manifest): Manifest => ({
      ...m,
      weights: { ...m.weights, bytes: 20 * GiB },
    });
    const { message } = await refusal(await bundles.plain, { manifest });
    expect(message).toMatch(/weights 20480 MiB.*; wasm addresses 16384 MiB at most$/);
  });

  test.skipIf(!process.version.startsWith('v20.'))(
    'Node 20, which has memory64 for 4 GiB alone, is refused without it',
    async () => {
      setFlagsFromString('--no-experimental-wasm-memory64');
      const message = await loadBundle(await bundles.plain, { capacity: 5 * 2 ** 20 }).then(
        () => 'opened',
        (e: unknown) => String(e),
      );
      expect(message).toMatch(/4096 MiB here, where there is no memory64/);
    },
  );
});
