/** The page and the runtime as they are in this repository; a user's page installs `cograph` instead. */
import { createHash } from 'node:crypto';
import { cpSync, createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Plugin, defineConfig } from 'vite';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '../..');
/** Where bundles are: `models/NAME/` of the page. */
const bundles = process.env['COGRAPH_BUNDLES'] ?? join(root, 'dist');
const list = process.env['COGRAPH_MODELS'] ?? join(here, 'models.json');

/** What makes a page isolated, so that memory is shared and steps have threads. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Serves bundles while developing, and puts them beside the page that is built. */
function models(): Plugin {
  let out = '';
  return {
    name: 'models',
    configResolved(config) {
      out = resolve(config.root, config.build.outDir);
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/'));
        const inModels = path.startsWith('/models/');
        const file = path === '/models.json' ? list : join(bundles, path.slice('/models/'.length));
        if (path !== '/models.json' && !inModels) return next();
        if (!existsSync(file) || !statSync(file).isFile()) {
          response.writeHead(404).end();
          return;
        }
        response.setHeader('Content-Length', statSync(file).size);
        createReadStream(file).pipe(response);
      });
    },
    closeBundle() {
      cpSync(list, join(out, 'models.json'));
      const entries = JSON.parse(readFileSync(list, 'utf8')) as { readonly url: string }[];
      for (const { url } of entries) {
        const folder = url.replace(/^models\//, '');
        if (folder !== url) cpSync(join(bundles, folder), join(out, url), { recursive: true });
      }
    },
  };
}

/** The runtime asks for Node's modules where there is Node: not in a page. */
const noNode = (): Plugin => ({
  name: 'no-node',
  enforce: 'pre',
  resolveId: (id) => (id.startsWith('node:') ? '\0no-node' : undefined),
  load: (id) => (id === '\0no-node' ? 'export {};' : undefined),
});

/** The service worker, with the names of all files that the page is made of. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    generateBundle(_, output) {
      const names = Object.keys(output).filter((n) => !n.endsWith('.map'));
      const files = [...new Set([...names, 'index.html', 'models.json'])].sort();
      const version = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 12);
      const source = readFileSync(join(here, 'sw.js'), 'utf8')
        .replace('__FILES__', JSON.stringify(files))
        .replace('__VERSION__', version);
      this.emitFile({ type: 'asset', fileName: 'sw.js', source });
    },
  };
}

export default defineConfig(({ command }) => ({
  root: here,
  base: './',
  publicDir: false,
  resolve: { alias: { 'cograph/runtime': join(root, 'runtime/index.ts') } },
  define: { __BUILT__: String(command === 'build') },
  // The worker's script is split: templates and native code are loaded only where they are needed.
  worker: { format: 'es', plugins: () => [noNode()] },
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 1000 },
  server: { headers, fs: { allow: [root, dirname(root)] } },
  preview: { headers },
  plugins: [noNode(), models(), serviceWorker()],
}));
