/**
 * `npm run chat`: compiles the models of the page that are missing, and serves it. `-- build` writes a
 * static page into `examples/chat/dist`, `-- preview` serves that.
 */
import { existsSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (script: string, args: readonly string[]): void => {
  const command = [...args];
  const { status } = spawnSync(process.execPath, [script, ...command], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
};

const models = JSON.parse(readFileSync(`${root}examples/chat/models.json`, 'utf8')) as {
  readonly id: string;
}[];
for (const { id } of models) {
  const source = `examples/${id}/model.ts`;
  if (existsSync(`${root}dist/${id}/manifest.json`) || !existsSync(root + source)) continue;
  const command = ['--conditions=source', 'compiler/cli/main.ts', 'compile', source];
  run('node_modules/tsx/dist/cli.mjs', [...command, '--out', `dist/${id}`]);
}
const [what = 'dev', ...rest] = process.argv.slice(2);
run('node_modules/vite/bin/vite.js', [what, 'examples/chat', ...rest]);
