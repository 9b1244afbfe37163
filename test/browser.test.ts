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
import { example, readJson } from './helpers/golden.ts';
import { bundleOf, temporaryFolder } from './helpers/models.ts';

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
}

const script = `
import { load } from './runtime/index.ts';
globalThis.run = async (ids, count) => {
  const model = await load('/bundle/', { threads: 2, context: 512 });
  const out = { ids: [], text: '', threads: model.threads };
  for await (const part of model.generate(ids, { maxTokens: count, greedy: true, ignoreEos: true })) {
    out.ids.push(...part.ids);
    out.text += part.text;
  }
  model.close();
  return out;
};
`;

describe.skipIf(executable === undefined)('in Chromium', () => {
  test.each([
    ['with shared memory, two threads', true, 2],
    ['without shared memory, one thread', false, 1],
  ])(
    '%s',
    async (_, isolated, threads) => {
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
      cpSync(await bundleOf(bard, example('bard/weights')), join(folder, 'bundle'), {
        recursive: true,
      });
      const golden = readJson(example('bard/weights/golden.json')) as {
        greedy: { prompt_ids: number[]; greedy_ids: number[]; greedy_text: string }[];
      };
      const [first] = golden.greedy;
      if (!first) throw new Error('no golden');
      const browser = await chromium.launch({
        executablePath: executable ?? '',
        args: ['--no-sandbox'],
      });
      try {
        const page = await browser.newPage();
        await page.goto(`${await serve(folder, isolated)}/index.html`);
        await page.waitForFunction('globalThis.run !== undefined');
        const { ids, text, ...rest } = await page.evaluate<Report>(
          `run(${JSON.stringify(first.prompt_ids)}, ${first.greedy_ids.length})`,
        );
        expect(rest.threads).toBe(threads);
        expect(ids).toEqual(first.greedy_ids);
        expect(text).toBe(first.greedy_text);
      } finally {
        await browser.close();
      }
    },
    60_000,
  );
});
