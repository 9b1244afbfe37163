/**
 * Installs what a fresh clone lacks before a command runs: the packages of the lock file, and, where
 * Debian's packages may be installed, with `--browser` the browser that some tests drive and with
 * `--native` the LLVM that native code is made with; with `--webgpu` WebGPU for Node, into `.cache/webgpu`.
 * Plain JavaScript without dependencies, for it runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const note = (text) => process.stderr.write(`${text}\n`);

const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 20) {
  note(`Cograph needs Node 20 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

/** The lock file that npm leaves behind says what is installed. */
function installed() {
  const done = `${root}node_modules/.package-lock.json`;
  if (!existsSync(done)) return false;
  if (statSync(done).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs) return true;
  const versions = (path, prefix) =>
    JSON.stringify(
      Object.entries(JSON.parse(readFileSync(path, 'utf8')).packages)
        .filter(([name, p]) => name.startsWith(prefix) && !p.optional)
        .map(([name, p]) => [name, p.version]),
    );
  return versions(done, 'node_modules/') === versions(`${root}package-lock.json`, 'node_modules/');
}

if (!installed()) {
  note('installing packages (npm ci)');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { status } = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    note('npm ci failed: see above. Is the npm registry within reach?');
    process.exit(1);
  }
}

const wants = (what) => process.argv.includes(`--${what}`);
const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
const apt = (...args) =>
  spawnSync('apt-get', args, {
    stdio: 'ignore',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: 300_000,
  });

const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const hasBrowser = () => browsers.some((b) => existsSync(b));
/** What `compiler/cli/native-tools.ts` runs, and what tests look into files with. */
const tools = ['opt', 'llc', 'ld.lld', 'ld64.lld', 'lld-link', 'llvm-readobj'];
const hasLlvm = () => tools.every((t) => spawnSync(`${t}-14`, ['--version']).status === 0);

const packages = [
  ...(wants('browser') && !hasBrowser() ? ['chromium'] : []),
  ...(wants('native') && !hasLlvm() ? ['llvm-14', 'lld-14'] : []),
];
if (packages.length > 0 && mayInstall) {
  note(`installing what tests use (apt-get install ${packages.join(' ')})`);
  apt('update');
  // One by one: a system may have one of them and not the other.
  for (const p of packages) apt('install', '-y', '--no-install-recommends', p);
}
if (wants('browser') && !hasBrowser()) note('no Chromium here: tests in a browser are skipped');
if (wants('native') && !hasLlvm()) {
  note('no LLVM 14 with lld here: tests of native code are skipped (cograph setup native)');
}

if (wants('webgpu')) {
  const folder = `${root}.cache/webgpu`;
  const has = () => existsSync(`${folder}/node_modules/webgpu/package.json`);
  const ready = `${folder}/ready`;
  // Once: what cannot be installed here is not tried before every run.
  if (!existsSync(ready)) {
    note('installing WebGPU for tests (cograph setup webgpu)');
    const args = [
      '--conditions=source',
      '--import',
      'tsx',
      'compiler/cli/main.ts',
      'setup',
      'webgpu',
    ];
    spawnSync(process.execPath, [...args, '--yes', '--into', folder], {
      cwd: root,
      stdio: ['ignore', 'ignore', 2],
      timeout: 400_000,
    });
    if (has()) writeFileSync(ready, '');
  }
  if (!has()) note('no WebGPU for Node here: its tests are skipped (cograph setup webgpu)');
}
