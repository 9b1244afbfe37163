/** The runtime for pages that no bundler makes: modules that import nothing but each other, and the worker beside them. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Writes `runtime.js`, `worker.js` and what they share into a folder. */
export async function buildBrowser(folder) {
  await build({
    entryPoints: [
      { in: `${root}runtime/index.ts`, out: 'runtime' },
      { in: `${root}runtime/worker.ts`, out: 'worker' },
    ],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    outdir: folder,
    // Asked for where there is Node, which is nowhere here.
    external: ['node:*'],
  });
}
