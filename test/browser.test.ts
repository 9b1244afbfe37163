/** The bundle and the runtime in a real browser: the same tokens, with threads and without. */
import { cpSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { afterAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import type { LoadOptions } from '../runtime/load.ts';
import { example, readJson } from './helpers/golden.ts';
import { bundleOf, greedy, loadBundle, temporaryFolder } from './helpers/models.ts';
import { randomCheckpoint } from './helpers/random-checkpoint.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const executable = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((p) => existsSync(p));

const servers: Server[] = [];
afterAll(() => servers.forEach((s) => s.close()));

const kinds: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  html: 'text/html',
  json: 'application/json',
  wasm: 'application/wasm',
};

/** Serves a folder; `isolated` with the headers that shared memory needs. */
async function serve(folder: string, isolated: boolean): Promise<string> {
  const server = createServer((request, response) => {
    const file = join(folder, normalize(new URL(request.url ?? '/', 'http://x').pathname));
    if (!file.startsWith(folder) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader(
      'content-type',
      kinds[file.split('.').at(-1) ?? ''] ?? 'application/octet-stream',
    );
    if (isolated) {
      response.setHeader('cross-origin-opener-policy', 'same-origin');
      response.setHeader('cross-origin-embedder-policy', 'require-corp');
    }
    response.end(readFileSync(file));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Report {
  readonly ids: readonly number[];
  readonly text: string;
  readonly threads: number;
  readonly memoryBytes: number;
}

const script = `
import { load } from './runtime/index.ts';
globalThis.run = async (ids, count, options) => {
  const model = await load('/bundle/', { threads: 2, context: 512, ...options });
  const out = { ids: [], text: '', threads: model.threads, memoryBytes: model.memoryBytes };
  for await (const part of model.generate(ids, { maxTokens: count, greedy: true, ignoreEos: true })) {
    out.ids.push(...part.ids);
    out.text += part.text;
  }
  model.close();
  return out;
};
`;

/** Generates in a page that loads the bundle. */
async function inPage(
  bundle: string,
  isolated: boolean,
  prompt: readonly number[],
  count: number,
  options: LoadOptions = {},
): Promise<Report> {
  const folder = temporaryFolder();
  await build({
    stdin: { contents: script, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    outdir: folder,
    entryNames: 'page',
    external: ['node:*'],
  });
  renameSync(join(folder, 'page.js'), join(folder, 'main.js'));
  writeFileSync(join(folder, 'index.html'), '<script type="module" src="/main.js"></script>');
  cpSync(bundle, join(folder, 'bundle'), { recursive: true });
  const browser = await chromium.launch({
    executablePath: executable ?? '',
    args: ['--no-sandbox'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${await serve(folder, isolated)}/index.html`);
    await page.waitForFunction('globalThis.run !== undefined');
    const given = [prompt, count, options].map((x) => JSON.stringify(x)).join(', ');
    return await page.evaluate<Report>(`run(${given})`);
  } finally {
    await browser.close();
  }
}

describe.skipIf(executable === undefined)('in Chromium', () => {
  test.each([
    ['with shared memory, two threads', true, 2],
    ['without shared memory, one thread', false, 1],
  ])(
    '%s',
    async (_, isolated, threads) => {
      const golden = readJson(example('bard/weights/golden.json')) as {
        greedy: { prompt_ids: number[]; greedy_ids: number[]; greedy_text: string }[];
      };
      const [first] = golden.greedy;
      if (!first) throw new Error('no golden');
      const bundle = await bundleOf(bard, example('bard/weights'));
      const count = first.greedy_ids.length;
      const { ids, text, ...rest } = await inPage(bundle, isolated, first.prompt_ids, count);
      expect(rest.threads).toBe(threads);
      expect(ids).toEqual(first.greedy_ids);
      expect(text).toBe(first.greedy_text);
    },
    60_000,
  );

  test.each([true, false])(
    'memory beyond 4 GiB, shared: %s: the same tokens',
    async (isolated) => {
      const { folder, bound } = randomCheckpoint({
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
      const bundle = await bundleOf(bound, folder, { tokens: 8, rows: 8 });
      const prompt = Array.from({ length: 19 }, (_, i) => (i * 37) % 131);
      const small = await loadBundle(bundle, { context: 512 });
      const wanted = await greedy(small, prompt, 24);
      small.close();
      // 1 KiB a token: the cache takes 5 GiB of addresses, and as much memory as is touched of it.
      const capacity = 5 * 2 ** 20;
      const { ids, memoryBytes } = await inPage(bundle, isolated, prompt, 24, { capacity });
      expect(memoryBytes).toBeGreaterThan(5 * 2 ** 30);
      expect(ids).toEqual(wanted);
    },
    60_000,
  );
});
