/** The native target as the runtime runs it: libraries through koffi, weights mapped, a team of threads. */
import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Module, { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { makeConsole } from '../compiler/cli/console.ts';
import { openModel } from '../compiler/cli/open.ts';
import bard from '../examples/bard/model.ts';
import { type LoadedModel, load } from '../runtime/index.ts';
import type { LoadOptions } from '../runtime/load.ts';
import type { NativeProgram } from '../runtime/manifest.ts';
import { loadKoffi } from '../runtime/native/koffi.ts';
import { importNode } from '../runtime/native/node.ts';
import {
  chooseVariant,
  cpuidFeatures,
  linuxFeatures,
  readMachine,
} from '../runtime/native/machine.ts';
import { example, fixture, readJson } from './helpers/golden.ts';
import { bundleOf, familyModel, greedy, referenceOf, temporaryFolder } from './helpers/models.ts';
import { manifestOf, nativeBundleOf, writeManifest } from './helpers/native-bundle.ts';
import { missingTools } from './helpers/native-run.ts';
import { type RandomShape, randomCheckpoint } from './helpers/random-checkpoint.ts';

const cpu = process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const has = linuxFeatures(cpu);
const fits = process.arch === 'x64' && ['avx2', 'fma', 'f16c'].every((f) => has(f));
const missing = missingTools();
const skip = !fits
  ? '(skipped: no Linux on x64 with AVX2)'
  : missing.length > 0
    ? `(skipped without ${missing.join(', ')})`
    : '';
const isa = readIsa();
function readIsa(): 'avx512' | 'avx2' {
  const all = ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni'];
  return all.every((f) => has(f)) ? 'avx512' : 'avx2';
}

const shape: RandomShape = {
  vocab: 67,
  width: 48,
  inner: 41,
  depth: 2,
  heads: 4,
  kvHeads: 2,
  head: 16,
  dtype: 'BF16',
  context: 256,
};

const open: LoadedModel[] = [];
afterEach(() => open.splice(0).forEach((m) => m.close()));

async function loaded(bundle: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const model = await load(bundle, { threads: 2, context: 128, capacity: 256, ...options });
  open.push(model);
  return model;
}

const llama = fixture('goldens/llama');
const prompt = [3, 11, 60, 7, 25, 42];

describe.skipIf(skip !== '')(`native code ${skip}`, async () => {
  const { folder, bound } = randomCheckpoint(shape);
  const bundle = skip === '' ? await nativeBundleOf(bound, folder, { tokens: 8, rows: 8 }) : '';
  const copy = (): string => {
    const to = join(temporaryFolder(), 'bundle');
    cpSync(bundle, to, { recursive: true });
    return to;
  };

  test('says the tokens that the reference and wasm say, in chunks too', async () => {
    const native = await loaded(bundle);
    expect([native.target, native.threads]).toEqual(['native', 2]);
    const long = Array.from({ length: 20 }, (_, i) => (i * 7) % shape.vocab);
    for (const ids of [prompt, long]) {
      const wanted = await greedy(await referenceOf(bound, folder), ids, 24);
      expect(await greedy(native, ids, 24)).toEqual(wanted);
      expect(await greedy(await loaded(bundle, { target: 'wasm' }), ids, 24)).toEqual(wanted);
    }
  });

  test('has the same logits with one thread, two, and more than there are cores', async () => {
    const [one, two, five] = await Promise.all(
      [1, 2, 5].map(async (threads) => {
        const model = await loaded(bundle, { target: 'native', threads });
        return [...(await model.logits(prompt)), ...(await model.logits([9, ...prompt]))];
      }),
    );
    expect(one).toHaveLength(2 * prompt.length + 1);
    expect(two).toEqual(one);
    expect(five).toEqual(one);
  });

  test('forks, copies and restores what it has computed', async () => {
    const model = await loaded(bundle);
    const s = model.sequence();
    await s.append(prompt);
    const fork = s.fork();
    const [a] = await s.append([5]);
    const [b] = await fork.append([6]);
    expect(b).not.toEqual(a);
    const fresh = model.sequence();
    expect((await fresh.append([...prompt, 6])).at(-1)).toEqual(b);
    const other = await loaded(bundle, { threads: 1 });
    const back = await other.restore(await fork.snapshot());
    expect(await back.append([7])).toEqual(await fork.append([7]));
    s.rollback(prompt.length);
    expect((await s.append([5]))[0]).toEqual(a);
  });

  test('the bard speaks as recorded', async () => {
    const golden = readJson(example('bard/weights/golden.json')) as {
      greedy: { prompt_ids: number[]; greedy_ids: number[] }[];
    };
    const model = await loaded(await nativeBundleOf(bard, example('bard/weights'), {}, isa));
    const [first] = golden.greedy;
    expect(await greedy(model, first?.prompt_ids ?? [], 48)).toEqual(
      first?.greedy_ids.slice(0, 48),
    );
  }, 60_000);

  test('a model that is no bundle yet is compiled for this machine', async () => {
    const options = { target: 'native', threads: 1, context: 128 };
    const model = await openModel(llama, options, makeConsole({ quiet: true }));
    open.push(model);
    expect(model.target).toBe('native');
    const ids = await greedy(model, prompt, 8);
    expect(ids).toEqual(await greedy(await referenceOf(familyModel(llama), llama), prompt, 8));
  }, 60_000);

  describe('refuses', () => {
    const shardOf = (b: string): string => manifestOf(b).weights.shards[0]?.file ?? '';

    test('a shard that was cut off', async () => {
      const b = copy();
      truncateSync(join(b, shardOf(b)), 65_536 - 8);
      await expect(load(b)).rejects.toMatchObject({
        code: 'bundle/file',
        message: expect.stringContaining('has 65528 bytes') as string,
      });
    });

    test('altered weights if told to verify, an altered library always', async () => {
      const b = copy();
      const shard = readFileSync(join(b, shardOf(b)));
      shard[100] = (shard[100] ?? 0) ^ 1;
      writeFileSync(join(b, shardOf(b)), shard);
      await loaded(b);
      await expect(load(b, { verify: true })).rejects.toMatchObject({ code: 'bundle/hash' });
      await loaded(bundle, { verify: true });
      const library = manifestOf(b).programs.native?.variants[0]?.file ?? '';
      const bytes = readFileSync(join(b, library));
      bytes[5000] = (bytes[5000] ?? 0) ^ 1;
      writeFileSync(join(b, library), bytes);
      await expect(load(b)).rejects.toMatchObject({ code: 'bundle/hash' });
    });

    test('a library without a step', async () => {
      const b = copy();
      const manifest = manifestOf(b);
      const library = manifest.programs.native?.variants[0]?.file ?? '';
      const { sha256, bytes } = manifest.files['index.js'] ?? { sha256: '', bytes: 0 };
      cpSync(join(b, 'index.js'), join(b, library));
      writeManifest(b, { ...manifest, files: { ...manifest.files, [library]: { sha256, bytes } } });
      await expect(load(b)).rejects.toMatchObject({ code: 'device/program' });
    });

    test('a bundle at a URL, where wasm runs instead unless native code is asked for', async () => {
      const server = createServer((request, response) => {
        response.end(readFileSync(join(bundle, new URL(request.url ?? '', 'http://x').pathname)));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      try {
        await expect(load(url, { target: 'native' })).rejects.toMatchObject({
          code: 'device/target',
          message: expect.stringContaining('from a folder') as string,
        });
        expect((await loaded(url)).target).toBe('wasm');
      } finally {
        server.close();
      }
    });

    test('without a variant for this machine, where wasm runs instead', async () => {
      const b = copy();
      const manifest = manifestOf(b);
      const { native } = manifest.programs;
      if (!native) throw new Error('no program');
      const variants = native.variants.map((v) => ({ ...v, isa: 'arm64' as const }));
      writeManifest(b, {
        ...manifest,
        programs: { ...manifest.programs, native: { ...native, variants } },
      });
      await expect(load(b, { target: 'native' })).rejects.toMatchObject({
        code: 'device/machine',
        message: expect.stringMatching(
          /^the bundle has native code for linux arm64; this is linux on x64 with (avx512 and )?avx2$/,
        ) as string,
      });
      expect((await loaded(b)).target).toBe('wasm');
      writeManifest(b, { ...manifest, programs: { native: { ...native, variants } } });
      await expect(load(b)).rejects.toMatchObject({ code: 'device/machine' });
    });

    test('without koffi, where wasm runs instead', async () => {
      const resolve: unknown = Reflect.get(Module, '_resolveFilename');
      if (typeof resolve !== 'function') throw new Error('no resolver');
      const without = (request: string, ...rest: unknown[]): unknown => {
        if (request === 'koffi') throw new Error("Cannot find module 'koffi'");
        return resolve.call(Module, request, ...rest);
      };
      Reflect.set(Module, '_resolveFilename', without);
      try {
        await expect(load(bundle, { target: 'native' })).rejects.toMatchObject({
          code: 'device/koffi',
          message: expect.stringContaining('cograph setup native') as string,
        });
        expect((await loaded(bundle)).target).toBe('wasm');
      } finally {
        Reflect.set(Module, '_resolveFilename', resolve);
      }
    });
  });

  test('a thread that dies is an error, and nothing waits for it', async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker): void => void workers.push(worker);
    process.on('worker', note);
    const model = await loaded(bundle);
    process.off('worker', note);
    expect(await greedy(model, prompt, 2)).toHaveLength(2);
    expect(workers).toHaveLength(1);
    // Not awaited: the next step begins before anyone is told.
    void workers[0]?.terminate();
    await expect(greedy(model, prompt, 2)).rejects.toMatchObject({ code: 'device/thread' });
    await expect(greedy(model, prompt, 2)).rejects.toMatchObject({ code: 'device/thread' });
  });

  test('a closed model says so, to whoever waits and whoever asks', async () => {
    const model = await loaded(bundle);
    const s = model.sequence();
    await s.append([1, 2]);
    const waiting = s.append([3]);
    model.close();
    await expect(waiting).rejects.toMatchObject({ code: 'input/ended' });
    await expect(s.snapshot()).rejects.toMatchObject({ code: 'input/ended' });
    await expect(model.logits([1])).rejects.toMatchObject({ code: 'input/ended' });
    model.close();
  });

  test('50 models loaded and closed leave nothing behind', async () => {
    const mapped = (): number =>
      readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((l) => l.includes('cograph-test-')).length;
    const cycle = async (): Promise<void> => {
      const model = await load(bundle, { target: 'native', threads: 2, context: 128 });
      await greedy(model, prompt, 2);
      expect(mapped()).toBeGreaterThan(0);
      model.close();
    };
    for (let i = 0; i < 10; i++) await cycle();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 40; i++) await cycle();
    expect(mapped()).toBe(0);
    // Threads that end give their heaps back a little later.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * 2 ** 20);
  }, 60_000);
});

describe('the machine', () => {
  const variants: NativeProgram['variants'] = (['avx512', 'avx2', 'arm64'] as const).flatMap((i) =>
    (['linux', 'macos'] as const).map((os) => ({ file: `${os}-${i}`, os, isa: i })),
  );

  test('takes the first library that fits it', () => {
    const words = 'a test';
    const choose = (os: 'linux' | 'macos', ...isas: NativeProgram['variants'][number]['isa'][]) =>
      chooseVariant(variants, { os, isas, words }).file;
    expect(choose('linux', 'avx512', 'avx2')).toBe('linux-avx512');
    expect(choose('linux', 'avx2')).toBe('linux-avx2');
    expect(choose('macos', 'arm64')).toBe('macos-arm64');
    expect(() => choose('linux')).toThrow(/this is a test/);
    expect(() => chooseVariant(variants, { isas: [], words: 'aix on ppc64' })).toThrow(
      /linux avx512, macos avx512, .*; this is aix on ppc64/,
    );
  });

  test('of Linux is read from its description of the processor', () => {
    const x64 = linuxFeatures('processor\t: 0\nflags\t\t: fpu avx2 fma f16c avx512f\nbugs\t: x\n');
    expect(['avx2', 'f16c', 'avx512f', 'avx512bw', 'x'].map(x64)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(linuxFeatures('Features\t: fp asimd asimddp\n')('asimddp')).toBe(true);
    expect(linuxFeatures('')('avx2')).toBe(false);
  });

  test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
    'the processor’s own word, which Windows takes, agrees with Linux',
    async () => {
      const { koffi } = loadKoffi(createRequire(import.meta.url));
      const node = await importNode();
      const own = cpuidFeatures(koffi, node);
      const names = ['avx2', 'fma', 'f16c', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni']; // prettier-ignore
      expect(names.map(own)).toEqual(names.map(has));
      expect(readMachine(koffi, node).isas).toEqual(
        isa === 'avx512' ? ['avx512', 'avx2'] : fits ? ['avx2'] : [],
      );
    },
  );

  test('without koffi names the command that installs it', () => {
    const require = createRequire(import.meta.url);
    const broken = Object.assign(() => undefined, require, {
      resolve: Object.assign(() => {
        throw new Error("Cannot find module 'koffi'\nRequire stack: x");
      }, require.resolve),
    });
    expect(() => loadKoffi(broken)).toThrow(
      /\(Cannot find module 'koffi'\): run cograph setup native$/,
    );
  });
});

test('a target that there is not is told, though the tokenizer takes longer to read', async () => {
  const untold: unknown[] = [];
  const note = (e: unknown): void => void untold.push(e);
  process.on('unhandledRejection', note);
  try {
    const bundle = await bundleOf(bard, example('bard/weights'));
    await expect(load(bundle, { target: 'abacus' })).rejects.toMatchObject({
      code: 'device/target',
    });
    expect(untold).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
