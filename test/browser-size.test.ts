/** What a page downloads, and that the compiler needs nothing of Node. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { example } from './helpers/golden.ts';
import { temporaryFolder } from './helpers/models.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Imports of Node that the runtime makes lazily where there is Node, and nowhere else. */
const lazily = [
  ...[
    'node:crypto',
    'node:fs',
    'node:fs/promises',
    'node:module',
    'node:os',
    'node:path',
    'node:url',
    'node:v8',
  ],
  'node:worker_threads',
];

/** Loaded when first needed, if ever: chat templates, and what Node alone has. */
const later = /@huggingface\/jinja|runtime\/native/;

test('the runtime in a page and its worker is at most 60 kB, minified and compressed', async () => {
  const result = await build({
    entryPoints: ['runtime/index.ts', 'runtime/worker.ts'].map((f) => join(root, f)),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    minify: true,
    write: false,
    outdir: 'out',
    metafile: true,
    external: lazily,
  });
  const loaded = new Set<string>();
  const visit = (path: string): void => {
    const own = result.metafile.outputs[path];
    if (!own || loaded.has(path) || later.test(own.entryPoint ?? '')) return;
    loaded.add(path);
    own.imports.forEach((i) => visit(i.path));
  };
  visit('out/index.js');
  visit('out/worker.js');
  const bytesOf = (paths: ReadonlySet<string>): number =>
    result.outputFiles
      .filter((f) => [...paths].some((path) => f.path.endsWith(path)))
      .reduce((n, f) => n + gzipSync(f.contents, { level: 9 }).byteLength, 0);
  expect(bytesOf(loaded)).toBeGreaterThan(10_000);
  expect(bytesOf(loaded)).toBeLessThanOrEqual(60_000);
});

const entry = `
import { compile } from './compiler/compile.ts';
import { readCheckpoint } from './compiler/8-bundle/checkpoint.ts';
import bard from './examples/bard/model.ts';
export { bard, compile, readCheckpoint };
`;

interface Bundled {
  readonly bard: Parameters<typeof import('../compiler/compile.ts').compile>[0];
  readonly compile: typeof import('../compiler/compile.ts').compile;
  readonly readCheckpoint: typeof import('../compiler/8-bundle/checkpoint.ts').readCheckpoint;
}

test('the compiler, bundled for a browser, compiles the bard with a stand-in file system', async () => {
  const out = join(temporaryFolder(), 'compiler.mjs');
  await build({
    stdin: { contents: entry, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    outfile: out,
    // wabt is made for Node and for browsers alike and asks for these only in the former.
    external: ['fs', 'path', 'crypto'],
  });
  const text = readFileSync(out, 'utf8');
  expect(text).not.toMatch(/from\s*["']node:|import\(\s*["']node:/);
  const { bard, compile, readCheckpoint } = (await import(out)) as Bundled;
  const stored = new Map<string, Uint8Array>(
    ['model.safetensors', 'tokenizer.json'].map((name) => [
      `weights/${name}`,
      new Uint8Array(readFileSync(example(`bard/weights/${name}`))),
    ]),
  );
  const files = {
    size: (path: string) => Promise.resolve(stored.get(path)?.byteLength),
    read: (path: string, from: number, length: number) =>
      Promise.resolve((stored.get(path) ?? new Uint8Array()).subarray(from, from + length)),
    write: (path: string, bytes: Uint8Array) => {
      stored.set(path, bytes);
      return Promise.resolve();
    },
    replace: (from: string, to: string) => {
      for (const [path, bytes] of [...stored]) {
        if (!path.startsWith(`${from}/`)) continue;
        stored.delete(path);
        stored.set(`${to}${path.slice(from.length)}`, bytes);
      }
      return Promise.resolve();
    },
    remove: () => Promise.resolve(),
  };
  const checkpoint = await readCheckpoint(files, 'weights');
  await compile(bard, checkpoint, { compiler: 'test' }, files, 'out', { target: 'wasm' });
  const program = stored.get('out/step.wasm');
  expect(program && WebAssembly.validate(program.slice())).toBe(true);
  expect([...stored.keys()]).toContain('out/manifest.json');
});
