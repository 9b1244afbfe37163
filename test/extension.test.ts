/** The folder of the VS Code extension is whole: what it names is there, and it packs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../editors/vscode', import.meta.url));

interface Manifest {
  readonly main: string;
  readonly files: readonly string[];
  readonly contributes: { readonly grammars?: readonly { readonly path: string }[] };
}

const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

test('every file that its manifest names is there, and grammars are JSON', () => {
  const grammars = (manifest.contributes.grammars ?? []).map((g) => g.path);
  for (const name of [manifest.main, ...manifest.files, ...grammars]) {
    expect(existsSync(join(folder, name)), name).toBe(true);
  }
  for (const path of grammars) JSON.parse(readFileSync(join(folder, path), 'utf8'));
});

test('its client is a script without mistakes of form', () => {
  const { status, stderr } = spawnSync(process.execPath, ['--check', join(folder, manifest.main)]);
  expect([status, stderr.toString()]).toEqual([0, '']);
});

test('it packs with its client', () => {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: folder,
  });
  const [packed] = JSON.parse(out.toString()) as [{ files: { path: string }[] }];
  expect(packed.files.map((f) => f.path)).toEqual(
    expect.arrayContaining(['client.js', 'package.json']),
  );
}, 30_000);
