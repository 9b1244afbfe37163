/** What the benchmark needs besides the project's own packages: the peers, in a folder of their own. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Tools, root } from './tools.ts';

const folder = join(root, 'bench/peers');

interface Package {
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const read = (path: string): Package => JSON.parse(readFileSync(path, 'utf8')) as Package;

const installedVersion = (name: string): string | undefined => {
  const path = join(folder, 'node_modules', name, 'package.json');
  return existsSync(path) ? read(path).version : undefined;
};

/** A browser, where Debian's packages may be installed. */
export function installBrowser(): void {
  spawnSync(process.execPath, [join(root, 'scripts/ensure.mjs'), '--browser'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
}

/**
 * Installs the peers in the versions that `bench/peers/package.json` names; their versions. Not `npm ci`,
 * which wants every platform's packages, and no scripts: they would build or download.
 */
export function installPeers(tools: Tools): Readonly<Record<string, string>> {
  const wanted = read(join(folder, 'package.json')).dependencies ?? {};
  const missing = Object.entries(wanted).filter(([name, v]) => installedVersion(name) !== v);
  if (missing.length > 0) {
    tools.note(`installing ${missing.map(([name]) => name).join(', ')} in bench/peers`);
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    const flags = ['--no-save', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
    const { status } = spawnSync(npm, ['install', ...flags, '--loglevel=error'], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32',
    });
    // Rows whose engine is missing say so themselves.
    if (status !== 0) tools.note('npm install failed in bench/peers: see above');
  }
  return Object.fromEntries(
    Object.keys(wanted).map((name) => [name, installedVersion(name) ?? 'not installed']),
  );
}
