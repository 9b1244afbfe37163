/** A headless Chromium with one page, served from here, in which engines run as they do in Node. */
import { createReadStream, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { type Answer, type Engine, inTime } from './engine.ts';
import { type Tools, root } from './tools.ts';

export interface Browser {
  readonly version: string;
  /** An engine in the page; `place` is a bundle for Cograph, a GGUF file for wllama. */
  engine(
    name: string,
    kind: 'cograph' | 'wllama',
    place: string,
    options: Readonly<Record<string, unknown>>,
  ): Engine;
  close(): Promise<void>;
}

const executables = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const kinds: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  html: 'text/html',
  json: 'application/json',
  wasm: 'application/wasm',
};

export async function openBrowser(tools: Tools): Promise<Browser> {
  const executablePath = executables.find((p) => existsSync(p));
  if (executablePath === undefined) throw new Error('no Chromium here (apt-get install chromium)');
  const folder = join(tools.cache, 'page');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(root, 'bench/cpu/page.ts')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    outdir: folder,
    external: ['node:*', 'koffi'],
    logLevel: 'error',
  });
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><body><script type="module" src="/page.js"></script>',
  );
  /** The first part of a path names a folder; bundles are added as engines want them. */
  const folders = new Map([['wllama', join(root, 'bench/peers/node_modules/@wllama/wllama/esm')]]);
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname));
    const [, first = '', ...rest] = path.split('/');
    const named = folders.get(first);
    send(request, response, named === undefined ? join(folder, path) : join(named, ...rest));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const close = async (): Promise<void> => {
    await browser.close();
    server.close();
  };
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    const said: string[] = [];
    const hear = (text: string): void => {
      said.push(text);
      said.splice(0, said.length - 4);
    };
    page.on('pageerror', (e) => hear(e.message));
    page.on('console', (m) => hear(m.text()));
    await page.goto(`http://127.0.0.1:${address.port}/index.html`);
    await page.waitForFunction('globalThis.page !== undefined && crossOriginIsolated', undefined, {
      timeout: 20_000,
    });
    let count = 0;
    const call = async (f: string, ...args: readonly unknown[]): Promise<Answer> => {
      const list = args.map((a) => JSON.stringify(a)).join(', ');
      try {
        const work = page.evaluate<Answer>(`page.${f}(${list})`);
        return await inTime(`page.${f}`, work, () => void page.close());
      } catch (e) {
        const [first = ''] = (e instanceof Error ? e.message : String(e)).split('\n');
        throw new Error([first, ...said.splice(0)].join('; '));
      }
    };
    return {
      version: browser.version(),
      engine(name, kind, place, options) {
        const id = count++;
        let opened = false;
        return {
          name,
          async ask(request) {
            if (request.do !== 'open') return call('ask', id, request);
            if (kind === 'cograph') folders.set(`bundle${id}`, place);
            else {
              await call('input', id);
              await page.setInputFiles(`#file${id}`, place);
            }
            const answer = await call('open', id, kind, `/bundle${id}/`, options);
            opened = true;
            return answer;
          },
          async close() {
            if (opened) await call('close', id);
            opened = false;
          },
        };
      },
      close,
    };
  } catch (e) {
    await close();
    throw e;
  }
}

/** A file, or the part of it that is asked for, with the headers that shared memory needs. */
function send(request: IncomingMessage, response: ServerResponse, file: string): void {
  if (!existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  const { size } = statSync(file);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
  response.writeHead(range ? 206 : 200, {
    'content-type': kinds[file.split('.').at(-1) ?? ''] ?? 'application/octet-stream',
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
    ...(range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
  });
  createReadStream(file, { start, end }).pipe(response);
}
