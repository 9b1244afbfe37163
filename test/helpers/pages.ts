/** Pages with the runtime in a real browser, and servers that count what is asked of them. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';
import type { Manifest } from '../../runtime/manifest.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where Chromium is; absent where there is none. */
export const chromiumPath = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((p) => existsSync(p));

export const openBrowser = (args: readonly string[] = []): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath ?? '', args: ['--no-sandbox', ...args] });

/** How many workers there are in a browser, those that workers have started among them. */
export async function workersIn(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  try {
    const { targetInfos } = await session.send('Target.getTargets');
    return targetInfos.filter((t) => t.type === 'worker').length;
  } finally {
    await session.detach();
  }
}

/** Writes a page that runs a script with the runtime, and the runtime's worker unless told otherwise. */
export async function writePage(folder: string, script: string, worker = true): Promise<void> {
  const main = join(folder, 'main.ts');
  writeFileSync(main, script);
  await build({
    entryPoints: [
      { in: main, out: 'main' },
      ...(worker ? [{ in: join(root, 'runtime/worker.ts'), out: 'worker' }] : []),
    ],
    alias: { 'cograph/runtime': join(root, 'runtime/index.ts') },
    nodePaths: [join(root, 'node_modules')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    splitting: true,
    outdir: folder,
    external: ['node:*'],
  });
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>',
  );
}

const kinds: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  css: 'text/css',
  html: 'text/html',
  json: 'application/json',
  wasm: 'application/wasm',
  svg: 'image/svg+xml',
};

export interface Served {
  readonly url: string;
  /** Paths asked for since they were last forgotten, in order. */
  readonly asked: string[];
  /** Holds answers to paths that fit until the promise resolves; or answers with a status. */
  answer: ((path: string) => Promise<void> | number | undefined) | undefined;
  close(): void;
}

const servers: Server[] = [];
process.once('exit', () => servers.forEach((s) => s.close()));

/** Serves a folder; `isolated` with the headers that shared memory needs. */
export async function serve(folder: string, isolated = true): Promise<Served> {
  const server = createServer((request, response) => {
    void (async () => {
      const path = new URL(request.url ?? '/', 'http://x').pathname;
      served.asked.push(path);
      const given = served.answer?.(path);
      const status = typeof given === 'number' ? given : await given;
      const asked = join(folder, normalize(path));
      const file = asked.endsWith('/') ? `${asked}index.html` : asked;
      if (isolated) {
        response.setHeader('cross-origin-opener-policy', 'same-origin');
        response.setHeader('cross-origin-embedder-policy', 'require-corp');
      }
      if (status !== undefined) return void response.writeHead(status).end();
      if (!file.startsWith(folder) || !existsSync(file) || !statSync(file).isFile())
        return void response.writeHead(404).end();
      const kind = kinds[file.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
      response.setHeader('content-type', kind);
      response.end(readFileSync(file));
    })();
  });
  servers.push(server);
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const served: Served = { url, asked: [], answer: undefined, close };
  return served;
}

/** Cuts the shards of a bundle into pieces of `bytes` at most, a multiple of 64 KiB; their files. */
export function cutShards(folder: string, bytes: number): readonly string[] {
  const place = join(folder, 'manifest.json');
  const manifest = JSON.parse(readFileSync(place, 'utf8')) as Manifest;
  const files = { ...manifest.files };
  const shards: Manifest['weights']['shards'][number][] = [];
  for (const shard of manifest.weights.shards) {
    const all = readFileSync(join(folder, shard.file));
    rmSync(join(folder, shard.file));
    delete files[shard.file];
    for (let at = 0; at < all.byteLength; at += bytes) {
      const piece = all.subarray(at, at + bytes);
      const sha256 = createHash('sha256').update(piece).digest('hex');
      const file = `weights/${sha256.slice(0, 24)}.bin`;
      writeFileSync(join(folder, file), piece);
      files[file] = { bytes: piece.byteLength, sha256 };
      shards.push({ file, offset: shard.offset + at, bytes: piece.byteLength });
    }
  }
  writeFileSync(
    place,
    JSON.stringify({ ...manifest, files, weights: { ...manifest.weights, shards } }),
  );
  return shards.map((s) => s.file);
}
