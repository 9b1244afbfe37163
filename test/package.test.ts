/** The packed package in a program outside of this repository, with types. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import {
  StreamMessageReader,
  StreamMessageWriter,
  createProtocolConnection,
} from 'vscode-languageserver/node';
import bard from '../examples/bard/model.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, temporaryFolder } from './helpers/models.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const program = `
import { load, type LoadedModel } from 'cograph/runtime';
import { bind, block } from 'cograph';
import { rmsNorm } from 'cograph/stdlib';
import { parsers } from 'cograph/prettier';
const open: LoadedModel = await load('./bundle', { threads: 1 });
let text: string = '';
for await (const part of open.generate('HAMLET:', { maxTokens: 8, greedy: true })) text += part.text;
console.log(JSON.stringify({ text, kinds: [typeof bind, typeof block, rmsNorm.kind, typeof parsers] }));
open.close();
import model from './bundle/index.js';
const again: LoadedModel = await model({ threads: 1 });
console.log(again.name);
again.close();
`;

const net = `
import { bind, model } from 'cograph';
import { rmsNorm } from 'cograph/stdlib';
const net = model\`
  net(ids: i32 [t]; vocab: int, width: int)->[t, vocab] {
    weight embed: [vocab, width]
    use norm = \${rmsNorm}
    return norm(embed[ids]) @ embed.T
  }
\`;
export default bind(net, { params: { vocab: 8, width: 4 } });
`;

const twice = "import net from './net.ts';\nexport default net.set({ vocab: 16 });\n";

/** A language session from beginning to end: the server's name, and its exit status. */
async function session(command: string, cwd: string): Promise<readonly unknown[]> {
  const child = spawn(process.execPath, [command, 'lsp', '--stdio'], { cwd });
  const client = createProtocolConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  client.listen();
  const params = { processId: process.pid, rootUri: null, capabilities: {} };
  const found = await client.sendRequest<{ serverInfo: object }>('initialize', params);
  await client.sendRequest('shutdown');
  const ended = once(child, 'exit');
  await client.sendNotification('exit');
  const [status] = (await ended) as readonly unknown[];
  return [found.serverInfo, status];
}

test('npm pack, install, types, three lines', async () => {
  const folder = temporaryFolder();
  const run = (command: string, args: readonly string[], cwd = folder): string =>
    execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  run(process.execPath, ['scripts/build.mjs'], root);
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], root);
  const [tarball = ''] = readdirSync(folder).filter((f) => f.endsWith('.tgz'));
  mkdirSync(join(folder, 'node_modules/cograph'), { recursive: true });
  run('tar', ['xzf', tarball, '-C', 'node_modules/cograph', '--strip-components=1']);
  // Its dependencies as an install would put them, without asking the registry again.
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name.startsWith('.') || name === 'cograph') continue;
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  cpSync(await bundleOf(bard, example('bard/weights')), join(folder, 'bundle'), {
    recursive: true,
  });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'main.ts'), program);
  const options = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--types', 'node'];
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, 'main.ts']);
  const [first = '', second] = run(process.execPath, ['main.js']).trim().split('\n');
  const { text, kinds } = JSON.parse(first) as { text: string; kinds: string[] };
  expect(text.length).toBeGreaterThan(8);
  expect(kinds).toEqual(['function', 'function', 'block', 'object']);
  expect(second).toBe('bard');
  // The command as the package holds it: JavaScript, on the user's own files.
  const command = 'node_modules/cograph/dist/compiler/cli/main.js';
  const cograph = (...args: readonly string[]): string => run(process.execPath, [command, ...args]);
  expect(cograph('--help')).toContain('cograph compile model.ts --out dist/model');
  writeFileSync(join(folder, 'net.ts'), net);
  writeFileSync(join(folder, 'twice.ts'), twice);
  expect(cograph('fmt', 'net.ts')).toContain('written');
  expect(cograph('types', 'net.ts')).toContain('net.types.ts');
  expect(cograph('check', 'net.ts', 'twice.ts')).toContain('2 files, 1 template: 0 mistakes');
  expect(JSON.parse(cograph('view', 'twice.ts', '--json'))).toMatchObject({
    out: join(realpathSync(folder), 'twice.html'),
  });
  expect(await session(command, folder)).toEqual([{ name: 'cograph' }, 0]);
}, 120_000);
