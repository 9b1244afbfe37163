/** Bundles of GGUF files that are kept: found again, bounded, never half there. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { cacheFolder, cacheLimit, openBundleCache } from '../compiler/cli/bundle-cache.ts';
import type { Console } from '../compiler/cli/console.ts';
import { type OpenOptions, openModel } from '../compiler/cli/open.ts';
import { ggufOfFolder } from './helpers/gguf-of-folder.ts';
import { fixture, readGolden } from './helpers/golden.ts';
import { writeGguf } from './helpers/gguf.ts';
import { temporaryFolder } from './helpers/models.ts';

const origin = { source: '/models/x.gguf', options: 'target wasm' };

describe('the cache', () => {
  const bytesOf = (size: number) => (folder: string) => {
    mkdirSync(join(folder, 'weights'), { recursive: true });
    writeFileSync(join(folder, 'weights', 'a.bin'), new Uint8Array(size - 10));
    writeFileSync(join(folder, 'manifest.json'), new Uint8Array(10));
    return Promise.resolve();
  };
  /** Says that a bundle was used so many minutes ago. */
  const age = (folder: string, key: string, minutes: number): void => {
    const then = new Date(Date.now() - minutes * 60_000);
    utimesSync(join(folder, key, 'entry.json'), then, then);
  };

  test('finds what it keeps, with its origin and size, and forgets what is removed', async () => {
    const cache = openBundleCache(join(temporaryFolder(), 'deep', 'bundles'), 1000);
    expect(await cache.find('aa')).toBeUndefined();
    expect(await cache.list()).toEqual([]);
    const made = await cache.keep('aa', origin, bytesOf(100));
    expect(await cache.find('aa')).toBe(made);
    expect(statSync(join(made, 'weights', 'a.bin')).size).toBe(90);
    expect(await cache.list()).toMatchObject([{ ...origin, key: 'aa', bytes: 100 }]);
    await cache.remove('aa');
    expect(await cache.find('aa')).toBeUndefined();
    expect(readdirSync(cache.folder)).toEqual([]);
    await cache.remove('aa');
  });

  test('what was not used for longest goes, never what was just made', async () => {
    const cache = openBundleCache(temporaryFolder(), 250);
    for (const [key, minutes] of [
      ['a1', 30],
      ['b2', 20],
    ] as const) {
      await cache.keep(key, origin, bytesOf(100));
      age(cache.folder, key, minutes);
    }
    await cache.find('a1');
    await cache.keep('c3', origin, bytesOf(100));
    expect((await cache.list()).map((e) => e.key).sort()).toEqual(['a1', 'c3']);
    await cache.keep('d4', origin, bytesOf(1000));
    expect((await cache.list()).map((e) => e.key)).toEqual(['d4']);
    expect(readdirSync(cache.folder)).toEqual(['d4']);
  });

  test('nothing stays of what failed, is broken, or was left by a process that died', async () => {
    const cache = openBundleCache(temporaryFolder(), 1000);
    const failing = cache.keep('aa', origin, async (folder) => {
      await bytesOf(100)(folder);
      throw new Error('out of disk');
    });
    await expect(failing).rejects.toThrow('out of disk');
    expect(readdirSync(cache.folder)).toEqual([]);

    await cache.keep('aa', origin, bytesOf(100));
    writeFileSync(join(cache.folder, 'aa', 'entry.json'), '{"source": 1}');
    expect(await cache.find('aa')).toBeUndefined();

    const left = ['bb.aside-1', 'bb.aside-2'].map((n) => join(cache.folder, n));
    left.forEach((f) => mkdirSync(f));
    const before = new Date(Date.now() - 25 * 3600_000);
    utimesSync(left[0] ?? '', before, before);
    await cache.keep('cc', origin, bytesOf(100));
    expect(left.map((f) => existsSync(f))).toEqual([false, true]);
    await cache.clear();
    expect(readdirSync(cache.folder)).toEqual([]);
  });

  test('two at once make the same: one stays, both find it', async () => {
    const cache = openBundleCache(temporaryFolder(), 1000);
    let begun = 0;
    let go = (): void => undefined;
    const both = new Promise<void>((resolve) => (go = resolve));
    const make = async (folder: string): Promise<void> => {
      if (++begun === 2) go();
      await both;
      await bytesOf(100)(folder);
    };
    const made = await Promise.all([1, 2].map(() => cache.keep('aa', origin, make)));
    expect(made[0]).toBe(made[1]);
    expect(readdirSync(cache.folder)).toEqual(['aa']);
    expect(existsSync(join(made[0] ?? '', 'manifest.json'))).toBe(true);
  });

  test('its place and limit', () => {
    expect(cacheFolder({ XDG_CACHE_HOME: '/c' }, 'linux')).toBe('/c/cograph');
    expect(cacheFolder({ XDG_CACHE_HOME: 'relative' }, 'linux')).toMatch(/\/\.cache\/cograph$/);
    expect(cacheFolder({}, 'darwin')).toMatch(/\/Library\/Caches\/cograph$/);
    expect(cacheFolder({ LOCALAPPDATA: '/l' }, 'win32')).toBe('/l/cograph/cache');
    expect(cacheLimit({})).toBe(32 * 2 ** 30);
    expect(cacheLimit({ COGRAPH_CACHE_GIB: '0.5' })).toBe(2 ** 29);
    for (const wrong of ['x', '-1'])
      expect(() => cacheLimit({ COGRAPH_CACHE_GIB: wrong })).toThrow(/COGRAPH_CACHE_GIB is /);
  });
});

describe('a GGUF file', () => {
  const golden = fixture('goldens/llama');
  const folder = temporaryFolder();
  const file = join(folder, 'model.gguf');
  const home = temporaryFolder();
  const bundles = join(home, 'cograph', 'bundles');
  beforeAll(async () => {
    vi.stubEnv('XDG_CACHE_HOME', home);
    writeFileSync(file, writeGguf(await ggufOfFolder(golden, 8)));
  });

  /** Logits of the prompt's end, and whether the model was compiled for them. */
  async function run(options: OpenOptions = {}) {
    const notes: string[] = [];
    const work: string[] = [];
    const console: Console = {
      out: () => undefined,
      note: (text) => void notes.push(text),
      progress(label) {
        work.push(label);
        return { step: () => undefined, update: () => undefined, end: () => undefined };
      },
    };
    const model = await openModel(file, { threads: 1, cache: true, ...options }, console);
    const logits = (await model.logits(readGolden(golden).prompt)).at(-1);
    model.close();
    return { logits: Float32Array.from(logits ?? []), work, notes };
  }
  const both = ['compiling', 'loading'];

  test('is compiled once, and found until something it depends on changes', async () => {
    const first = await run();
    expect(first.work).toEqual(both);
    expect(first.notes).toEqual([]);
    const second = await run();
    expect(second.work).toEqual(['loading']);
    expect(second.notes).toEqual([`compiled before: ${join(bundles, readdirSync(bundles)[0] ?? '', 'bundle')}`]); // prettier-ignore
    expect(second.logits).toEqual(first.logits);

    const half = await run({ kv: 'f16' });
    expect(half.work).toEqual(both);
    expect(half.logits).not.toEqual(first.logits);
    expect((await run({ kv: 'f16' })).work).toEqual(['loading']);
    expect(readdirSync(bundles)).toHaveLength(2);

    const later = new Date(statSync(file).mtimeMs + 1000);
    utimesSync(file, later, later);
    expect((await run()).work).toEqual(both);
    writeFileSync(join(folder, 'chat_template.jinja'), '{{ messages }}');
    expect((await run()).work).toEqual(both);
    expect((await run()).work).toEqual(['loading']);
  });

  test('is compiled again where its bundle is damaged', async () => {
    await openBundleCache().clear();
    const first = await run();
    const place = join(bundles, readdirSync(bundles)[0] ?? '', 'bundle');
    const shard = join(place, 'weights', readdirSync(join(place, 'weights'))[0] ?? '');
    truncateSync(shard, 100);
    const again = await run();
    expect(again.notes.at(-1)).toMatch(/has 100 bytes.*: it is compiled again$/);
    expect(again.work).toEqual(['loading', ...both]);
    expect(again.logits).toEqual(first.logits);
    expect((await run()).work).toEqual(['loading']);
  });

  test('is not kept without cache, for the reference, and where nothing can be', async () => {
    await openBundleCache().clear();
    for (const options of [{ cache: false }, { target: 'reference' }]) {
      await run(options);
      expect(readdirSync(bundles)).toEqual([]);
    }
    vi.stubEnv('XDG_CACHE_HOME', file); // a file, in which there are no folders
    const { work, notes } = await run();
    expect(work).toEqual(both);
    expect(notes).toEqual([expect.stringMatching(/^what is compiled is not kept: .*ENOTDIR/)]);
    vi.stubEnv('XDG_CACHE_HOME', home);
  });

  test('on the command line: found, listed, cleared', async () => {
    await openBundleCache().clear();
    const root = fileURLToPath(new URL('..', import.meta.url));
    const ids = join(folder, 'ids.json');
    writeFileSync(ids, JSON.stringify(readGolden(golden).prompt));
    const cograph = (...args: readonly string[]) => {
      const command = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
      const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, XDG_CACHE_HOME: home },
      });
      expect(status, stderr).toBe(0);
      return { stdout, stderr };
    };
    const generate = ['generate', file, '--ids', ids, '--max-tokens', '2', '--ignore-eos'];
    expect(cograph(...generate, '--no-cache').stderr).toMatch(/^compiled\nloaded/);
    expect(readdirSync(bundles)).toEqual([]);
    expect(cograph(...generate).stderr).toMatch(/^compiled\nloaded/);
    expect(cograph(...generate).stderr).toMatch(/^compiled before: .*\nloaded/);
    const list = JSON.parse(cograph('cache', 'list', '--json').stdout) as {
      bytes: number;
      bundles: { source: string; options: string; bytes: number }[];
    };
    expect(list.bundles).toMatchObject([{ source: file, options: 'target wasm' }]);
    expect(list.bytes).toBe(list.bundles[0]?.bytes);
    expect(list.bytes).toBeGreaterThan(100_000);
    expect(cograph('cache', 'list').stdout).toMatch(/MiB .*model\.gguf \(target wasm\)\n$/);
    expect(cograph('cache', 'clear').stderr).toMatch(/^removed 1 bundle of /);
    expect(readdirSync(bundles)).toEqual([]);
  });
});
