/** What a page downloads once it does not download again, and it goes on without the network. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, temporaryFolder } from './helpers/models.ts';
import {
  type Served,
  chromiumPath,
  cutShards,
  openBrowser,
  serve,
  writePage,
} from './helpers/pages.ts';

const script = `
import { cachedBundles, clearCache, load } from 'cograph/runtime';
const missing = new URL(location.href).searchParams.getAll('without');
if (missing.includes('opfs')) delete navigator.storage.constructor.prototype.getDirectory;
Object.assign(globalThis, { cachedBundles, clearCache });
globalThis.visit = async (options = {}) => {
  const notices = [], steps = [];
  try {
    const model = await load('./bundle', {
      threads: 1, context: 64,
      onProgress: (done, total, shard) => steps.push({ ...shard, done, total }),
      onNotice: (n) => notices.push(n.code),
      ...options,
    });
    const ids = [];
    for await (const p of model.generate([0, 5, 6], { maxTokens: 4, greedy: true, ignoreEos: true })) ids.push(...p.ids);
    model.close();
    return { ids, notices, steps };
  } catch (e) {
    return { error: e.code ?? String(e), message: e.message, notices, steps };
  }
};
globalThis.ready = true;
`;

interface Step {
  readonly done: number;
  readonly total: number;
  readonly file: string;
  readonly index: number;
  readonly count: number;
  readonly cached: boolean;
}
interface Visit {
  readonly ids?: readonly number[];
  readonly error?: string;
  readonly message?: string;
  readonly notices: readonly string[];
  readonly steps: readonly Step[];
}

const pieceBytes = 2 ** 20;

describe.skipIf(chromiumPath === undefined)('a bundle at a URL, in Chromium', () => {
  const folder = temporaryFolder();
  let shards: readonly string[] = [];
  let browser: Browser;
  let served: Served;
  let context: BrowserContext;
  let page: Page;

  const weightsAsked = (): readonly string[] => served.asked.filter((p) => p.includes('/weights/'));
  const go = async (query = ''): Promise<void> => {
    await page.goto(`${served.url}/index.html${query}`);
    await page.waitForFunction('globalThis.ready');
    served.asked.length = 0;
  };
  const visit = (options = '{}'): Promise<Visit> => page.evaluate<Visit>(`visit(${options})`);

  beforeAll(async () => {
    await writePage(folder, script);
    const bundle = join(folder, 'bundle');
    cpSync(await bundleOf(bard, example('bard/weights')), bundle, { recursive: true });
    shards = cutShards(bundle, pieceBytes);
    browser = await openBrowser();
  }, 60_000);
  afterAll(() => browser.close());
  beforeEach(async () => {
    served = await serve(folder);
    // Each has storage of its own.
    context = await browser.newContext();
    page = await context.newPage();
    await go();
  });
  afterEach(async () => {
    await context.close();
    served.close();
  });

  test.each([
    ['private files, from a worker', '', '{}'],
    ['private files, from the page', '', '{ worker: false }'],
    ['the Cache API', '?without=opfs', '{ worker: false }'],
  ])('the second visit downloads nothing: %s', async (_, query, options) => {
    await go(query);
    const first = await visit(options);
    expect(first.ids).toHaveLength(4);
    expect(first.notices).toEqual([]);
    expect([...weightsAsked()].sort()).toEqual(shards.map((f) => `/bundle/${f}`).sort());
    expect(first.steps.every((s) => !s.cached)).toBe(true);
    await go(query);
    const second = await visit(options);
    expect(second.ids).toEqual(first.ids);
    expect(served.asked.filter((p) => p.startsWith('/bundle/'))).toEqual(['/bundle/manifest.json']);
    expect(second.steps.every((s) => s.cached)).toBe(true);
    expect(second.steps.at(-1)?.done).toBe(second.steps.at(-1)?.total);
    // And with nobody there to ask.
    served.asked.length = 0;
    served.answer = (path) => (path.startsWith('/bundle/') ? 503 : undefined);
    const third = await visit(options);
    expect(third).toMatchObject({ ids: first.ids, notices: ['cache/offline'] });
    if (!options.includes('false')) return; // its script comes from the server, which answers
    await context.setOffline(true);
    expect(await visit(options)).toMatchObject({ ids: first.ids, notices: ['cache/offline'] });
  });

  test('progress is told for each shard and for all', async () => {
    const { steps } = await visit();
    expect(new Set(steps.map((s) => s.index)).size).toBe(shards.length);
    for (const s of steps) {
      expect(s.file).toBe(shards[s.index]);
      expect(s.count).toBe(shards.length);
    }
    const dones = steps.map((s) => s.done);
    expect(dones.at(-1)).toBe(steps[0]?.total);
    expect(dones).toEqual([...dones].sort((a, b) => a - b));
  });

  test('a page left in the middle of a download goes on from the shards that are whole', async () => {
    const late = shards.slice(3).map((f) => `/bundle/${f}`);
    // The fourth never comes: the page is left while it waits.
    served.answer = (path) =>
      late.includes(path) ? new Promise<void>(() => undefined) : undefined;
    void visit().catch(() => undefined);
    await expect
      .poll(() => page.evaluate('cachedBundles().then((all) => all[0]?.storedBytes ?? 0)'))
      .toBe(3 * pieceBytes);
    served.answer = undefined;
    await go();
    const { ids, steps } = await visit();
    expect(ids).toHaveLength(4);
    expect([...weightsAsked()].sort()).toEqual([...late].sort());
    expect(steps.filter((s) => s.cached).map((s) => s.index)).toEqual([0, 1, 2]);
  });

  test('what is stored can be asked for and removed', async () => {
    expect(await page.evaluate('cachedBundles()')).toEqual([]);
    await visit();
    const bundle = { url: `${served.url}/bundle/`, name: 'bard' };
    const all = await page.evaluate<{ bytes: number; storedBytes: number }[]>('cachedBundles()');
    expect(all).toMatchObject([bundle]);
    expect(all[0]?.storedBytes).toBe(all[0]?.bytes);
    await page.evaluate("clearCache('./bundle')");
    expect(await page.evaluate('cachedBundles()')).toEqual([]);
    served.asked.length = 0;
    await visit();
    expect(weightsAsked()).toHaveLength(shards.length);
    await page.evaluate('clearCache()');
    const left = await page.evaluate(`(async () => {
      const names = [];
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('cograph');
      for await (const n of folder.keys()) names.push(n);
      return names;
    })()`);
    expect(left).toEqual([]);
  });

  test('stored files that are cut off, and what a page left half written, are replaced', async () => {
    await visit();
    await page.evaluate(`(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('cograph');
      const names = [];
      for await (const n of folder.keys()) if (/^[0-9a-f]{64}$/.test(n)) names.push(n);
      const large = [];
      for (const n of names) {
        const handle = await folder.getFileHandle(n);
        if ((await handle.getFile()).size === ${pieceBytes}) large.push(handle);
      }
      const w = await large[0].createWritable();
      await w.truncate(1000);
      await w.close();
      await folder.getFileHandle('x.part-1', { create: true });
    })()`);
    served.asked.length = 0;
    const { ids } = await visit();
    expect(ids).toHaveLength(4);
    expect(weightsAsked()).toHaveLength(1);
    const left = await page.evaluate(`(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('cograph');
      return folder.getFileHandle('x.part-1').then(() => 'there', (e) => e.name);
    })()`);
    expect(left).toBe('NotFoundError');
  });

  test('a full storage is told, and the model runs', async () => {
    const cdp = await context.newCDPSession(page);
    const quotaSize = 4 * pieceBytes;
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: served.url, quotaSize });
    const { ids, notices } = await visit();
    expect(ids).toHaveLength(4);
    expect(notices).toEqual(['cache/quota']);
  });

  test('damage on the way is found before anything is stored', async () => {
    const bad = join(folder, 'bundle', shards[2] ?? '');
    const good = readFileSync(bad);
    const broken = Buffer.from(good);
    broken[77] = (broken[77] ?? 0) ^ 1;
    try {
      writeFileSync(bad, broken);
      expect(await visit()).toMatchObject({ error: 'bundle/hash' });
      writeFileSync(bad, good.subarray(0, 5000));
      expect(await visit()).toMatchObject({ error: 'bundle/file' });
    } finally {
      writeFileSync(bad, good);
    }
    expect((await visit()).ids).toHaveLength(4);
  });

  test('a bundle that was replaced leaves no files of the old one', async () => {
    await visit();
    const place = join(folder, 'bundle/manifest.json');
    const before = readFileSync(place, 'utf8');
    const count = `(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('cograph');
      let n = 0;
      for await (const _ of folder.keys()) n++;
      return n;
    })()`;
    const stored = await page.evaluate<number>(count);
    try {
      // The same weights and program under a manifest without a tokenizer.
      const { tokenizer: _, ...rest } = JSON.parse(before) as {
        tokenizer: unknown;
        files: Record<string, unknown>;
      };
      const files = Object.fromEntries(
        Object.entries(rest.files).filter(([f]) => !/tokenizer|vocabulary/.test(f)),
      );
      writeFileSync(place, JSON.stringify({ ...rest, files }));
      served.asked.length = 0;
      expect((await visit()).ids).toHaveLength(4);
      expect(weightsAsked()).toEqual([]);
      expect(await page.evaluate<number>(count)).toBeLessThan(stored);
    } finally {
      writeFileSync(place, before);
    }
  });

  test('nothing is stored where the page says so, and a bundle never seen is out of reach', async () => {
    await visit('{ cache: false }');
    expect(await page.evaluate('cachedBundles()')).toEqual([]);
    served.answer = (path) => (path.startsWith('/bundle/') ? 503 : undefined);
    expect(await visit()).toMatchObject({ error: 'bundle/network', notices: [] });
  });
});
