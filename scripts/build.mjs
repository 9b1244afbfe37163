/** Compiles the package into `dist`: JavaScript and types, nothing bundled but `browser`. */
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildBrowser } from './browser.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
for (const folder of ['compiler', 'runtime', 'stdlib', 'browser']) {
  rmSync(`${root}dist/${folder}`, { recursive: true, force: true });
}
const { status } = spawnSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.build.json`],
  { cwd: root, stdio: 'inherit' },
);
if (status !== 0) process.exit(1);
chmodSync(`${root}dist/compiler/cli/main.js`, 0o755);
await buildBrowser(`${root}dist/browser`);
