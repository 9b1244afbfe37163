/** The bundle and the runtime in a real browser: the same tokens in a worker and in the page, with threads and without. */
import { execFileSync } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import type { LoadOptions } from '../runtime/load.ts';
import { example, readJson } from './helpers/golden.ts';
import { bundleOf, greedy, loadBundle, temporaryFolder } from './helpers/models.ts';
import { chromiumPath, openBrowser, serve, workersIn, writePage } from './helpers/pages.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Report {
  readonly ids: readonly number[];
  readonly text: string;
  readonly target: string;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly passedOver: readonly { readonly target: string; readonly why: string }[];
}

const script = `
import { load } from 'cograph/runtime';
globalThis.run = async (place, ids, count, options) => {
  const model = await load(place, { threads: 2, context: 512, ...options });
  const { target, threads, passedOver, memoryBytes } = model;
  const out = { ids: [], text: '', target, threads, passedOver, memoryBytes };
  for await (const part of model.generate(ids, { maxTokens: count, greedy: true, ignoreEos: true })) {
    out.ids.push(...part.ids);
    out.text += part.text;
  }
  model.close();
  return out;
};
`;

describe.skipIf(chromiumPath === undefined)('in Chromium', () => {
  const folder = temporaryFolder();
  let browser: Browser;
  beforeAll(async () => {
    await writePage(folder, script);
    const bundle = await bundleOf(bard, example('bard/weights'));
    cpSync(bundle, join(folder, 'bundle'), { recursive: true });
    browser = await openBrowser();
  }, 60_000);
  afterAll(() => browser.close());

  /** Generates in a page of its own that loads the bundle in a folder of the server. */
  async function inPage(
    bundle: string,
    isolated: boolean,
    prompt: readonly number[],
    count: number,
    options: LoadOptions,
  ): Promise<Report> {
    const page = await browser.newPage();
    const served = await serve(folder, isolated);
    try {
      await page.goto(`${served.url}/index.html`);
      await page.waitForFunction('globalThis.run !== undefined');
      const given = [bundle, prompt, count, options].map((x) => JSON.stringify(x)).join(', ');
      const report = await page.evaluate<Report>(`run(${given})`);
      // The worker and its threads end with the model.
      await expect.poll(() => workersIn(browser), { timeout: 8000 }).toBe(0);
      return report;
    } finally {
      await page.close();
      served.close();
    }
  }

  test.each([
    ['a worker with shared memory, two threads', true, true],
    ['a worker without shared memory, one thread', false, true],
    ['the page with shared memory, two threads', true, false],
    ['the page without shared memory, one thread', false, false],
  ])('%s', async (_, isolated, worker) => {
    const golden = readJson(example('bard/weights/golden.json')) as {
      greedy: { prompt_ids: number[]; greedy_ids: number[]; greedy_text: string }[];
    };
    const [first] = golden.greedy;
    if (!first) throw new Error('no golden');
    const count = first.greedy_ids.length;
    const { ids, text, target, threads, passedOver } = await inPage(
      'bundle',
      isolated,
      first.prompt_ids,
      count,
      { worker },
    );
    expect([target, threads]).toEqual(['wasm', isolated ? 2 : 1]);
    expect(passedOver.map((p) => p.target)).toEqual(
      isolated ? ['native', 'webgpu'] : ['native', 'webgpu', 'wasm with threads'],
    );
    if (!isolated) expect(passedOver[2]?.why).toContain('Cross-Origin-Opener-Policy');
    expect(ids).toEqual(first.greedy_ids);
    expect(text).toBe(first.greedy_text);
  });

  test.each([true, false])(
    'memory beyond 4 GiB, shared: %s: the same tokens',
    async (isolated) => {
      const { folder: checkpoint, bound } = randomCheckpoint({
        vocab: 131,
        width: 64,
        inner: 96,
        depth: 2,
        heads: 4,
        kvHeads: 2,
        head: 32,
        dtype: 'BF16',
        context: 2 ** 22,
      });
      const bundle = await bundleOf(bound, checkpoint, { tokens: 8, rows: 8 });
      cpSync(bundle, join(folder, 'large'), { recursive: true });
      const prompt = Array.from({ length: 19 }, (_, i) => (i * 37) % 131);
      const small = await loadBundle(bundle, { context: 512 });
      const wanted = await greedy(small, prompt, 24);
      small.close();
      // 1 KiB a token: the cache takes 5 GiB of addresses, and as much memory as is touched of it.
      const capacity = 5 * 2 ** 20;
      const { ids, memoryBytes } = await inPage('large', isolated, prompt, 24, { capacity });
      expect(memoryBytes).toBeGreaterThan(5 * 2 ** 30);
      expect(ids).toEqual(wanted);
    },
    60_000,
  );

  test('without a bundler: the files of the package from a plain server', async () => {
    const plain = temporaryFolder();
    const script = `import { buildBrowser } from '${join(root, 'scripts/browser.mjs')}'; await buildBrowser('${plain}');`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script]);
    symlinkSync(join(folder, 'bundle'), join(plain, 'bundle'));
    const page = await browser.newPage();
    const served = await serve(plain);
    writeFileSync(join(plain, 'index.html'), '<!doctype html>');
    await page.goto(`${served.url}/index.html`);
    const text = await page.evaluate<string>(`(async () => {
      const { load } = await import('/runtime.js');
      const model = await load('/bundle', { worker: true, context: 64 });
      let text = '';
      for await (const part of model.generate('HAMLET:', { maxTokens: 8, greedy: true })) text += part.text;
      model.close();
      return text;
    })()`);
    expect(text.length).toBeGreaterThan(8);
    await page.close();
    served.close();
  });

  test('in a service worker, with one thread', async () => {
    const place = temporaryFolder();
    await build({
      stdin: {
        contents: `
          import { load } from './runtime/index.ts';
          self.onmessage = async ({ data, ports: [port] }) => {
            try {
              const model = await load(data, { context: 64 });
              let text = '';
              for await (const p of model.generate('HAMLET:', { maxTokens: 8, greedy: true })) text += p.text;
              port.postMessage({ text, threads: model.threads, passedOver: model.passedOver });
              model.close();
            } catch (e) { port.postMessage({ text: String(e) }); }
          };
          self.onactivate = (e) => e.waitUntil(self.clients.claim());`,
        resolveDir: root,
        loader: 'ts',
      },
      bundle: true,
      format: 'iife',
      platform: 'browser',
      outfile: join(place, 'sw.js'),
      external: ['node:*'],
      logLevel: 'error',
      define: { 'import.meta.url': 'location.href' },
    });
    writeFileSync(join(place, 'index.html'), '<!doctype html>');
    symlinkSync(join(folder, 'bundle'), join(place, 'bundle'));
    const page = await browser.newPage();
    const served = await serve(place);
    await page.goto(`${served.url}/index.html`);
    const found = await page.evaluate<Partial<Report>>(`(async () => {
      await navigator.serviceWorker.register('/sw.js');
      const { active } = await navigator.serviceWorker.ready;
      const channel = new MessageChannel();
      const answer = new Promise((resolve) => (channel.port1.onmessage = (e) => resolve(e.data)));
      active.postMessage(location.origin + '/bundle', [channel.port2]);
      return answer;
    })()`);
    expect(found.text).not.toMatch(/Error/);
    expect(found.text?.length).toBeGreaterThan(8);
    expect(found.threads).toBe(1);
    expect(found.passedOver?.at(-1)).toMatchObject({ target: 'wasm with threads' });
    await page.close();
    served.close();
  });
});
