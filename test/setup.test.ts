/** `cograph setup`: what it finds missing, what it says it will do, and that it does just that. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { llvmTools } from '../compiler/cli/native-tools.ts';
import { type Machine, stepsFor } from '../compiler/cli/setup.ts';
import { type GpuMachine, gpuStepsFor } from '../compiler/cli/setup-webgpu.ts';
import { temporaryFolder } from './helpers/models.ts';

const bare: Machine = {
  missingTools: llvmTools,
  hasKoffi: false,
  apt: true,
  root: true,
  npmFolder: '/home/me/project',
  koffiVersion: '3.3.4',
};
const commands = (m: Partial<Machine>): readonly string[] =>
  stepsFor({ ...bare, ...m }).map((s) => (s.run ? '' : 'by hand: ') + s.command);
const koffi = 'npm install --no-save --no-audit --no-fund koffi@3.3.4';
const llvm = 'apt-get install -y --no-install-recommends llvm-14 lld-14';

test.each<[string, Partial<Machine>, readonly string[]]>([
  ['all is missing', {}, ['apt-get update', llvm, koffi]],
  ['koffi alone', { missingTools: [] }, [koffi]],
  ['one tool', { missingTools: ['lld-link'], hasKoffi: true }, ['apt-get update', llvm]],
  ['nobody is root', { root: false }, [`by hand: sudo ${llvm}`, koffi]],
  [
    'no apt-get',
    { apt: false, hasKoffi: true },
    ['by hand: install LLVM 14 with lld, its tools on the PATH'],
  ],
  ['nothing is missing', { missingTools: [], hasKoffi: true }, []],
])('%s', (_, machine, wanted) => {
  expect(commands(machine)).toEqual(wanted);
});

describe('webgpu', () => {
  const gpuless: GpuMachine = {
    hasPackage: false,
    hasGpu: false,
    hasDriver: false,
    missingPackages: ['libvulkan1', 'libllvm15'],
    bookworm: true,
    root: true,
    npmFolder: '/home/me/project',
    driverFolder: '/home/me/project/node_modules/.cache/cograph/lavapipe',
    version: '0.6.2',
  };
  const npm = 'npm install --prefix . --no-save --no-audit --no-fund webgpu@0.6.2';
  const libraries = 'apt-get install -y --no-install-recommends libvulkan1 libllvm15';
  const unpack = 'download and unpack mesa-vulkan-drivers libdrm2 libdrm-amdgpu1';

  test.each<[string, Partial<GpuMachine>, readonly string[]]>([
    ['all is missing', {}, [npm, 'apt-get update', libraries, unpack]],
    ['a GPU is there', { hasGpu: true }, [npm]],
    ['its libraries are there', { missingPackages: [], hasPackage: true }, [unpack]],
    ['nobody is root', { root: false }, [npm, `by hand: sudo ${libraries}`, unpack]],
    [
      'another system',
      { bookworm: false, hasPackage: true },
      ['by hand: install a driver for Vulkan (mesa-vulkan-drivers 25 or newer)'],
    ],
    ['nothing is missing', { hasPackage: true, hasDriver: true }, []],
  ])('%s', (_, machine, wanted) => {
    const steps = gpuStepsFor({ ...gpuless, ...machine });
    expect(steps.map((s) => (s.run ? '' : 'by hand: ') + s.command)).toEqual(wanted);
  });
});

const isRoot = process.getuid?.() === 0;
const note = isRoot ? '' : ' (skipped: nobody is root here)';

describe.skipIf(!isRoot)(`the command, where apt-get is a script${note}`, () => {
  const root = fileURLToPath(new URL('..', import.meta.url));

  /** A PATH with an apt-get that logs its arguments and then does what `body` says. */
  function machine(body: string) {
    const path = temporaryFolder();
    const log = join(path, 'log');
    const script = `#!/bin/sh
      PATH=/usr/bin:/bin
      [ "$1" = --version ] && exit 0
      echo "$@" >> ${log}
      cd ${path}
      ${body}`;
    writeFileSync(join(path, 'apt-get'), script, { mode: 0o755 });
    const setup = (...args: readonly string[]) => {
      const main = ['--conditions=source', '--import', 'tsx', 'compiler/cli/main.ts'];
      const env = { ...process.env, PATH: path };
      const all = [...main, 'setup', 'native', '--json', ...args];
      const { status, stdout } = spawnSync(process.execPath, all, {
        cwd: root,
        encoding: 'utf8',
        env,
      });
      const result = JSON.parse(stdout) as { done?: boolean; error?: { code: string } };
      return { status, code: result.error?.code, done: result.done };
    };
    const called = (): readonly string[] =>
      existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
    return { setup, called };
  }

  const installs = `[ "$1" = install ] && for t in ${llvmTools.join(' ')}; do
    printf '#!/bin/sh\\necho LLVM version 14.0.6\\n' > $t-14; chmod +x $t-14; done; exit 0`;

  test('asks first, tells with --dry-run, installs with --yes, and then has nothing to do', () => {
    const { setup, called } = machine(installs);
    expect(setup()).toMatchObject({ status: 1, code: 'usage/yes' });
    expect(setup('--dry-run')).toEqual({ status: 0, code: undefined, done: false });
    expect(called()).toEqual([]);
    expect(setup('--yes')).toMatchObject({ status: 0, done: true });
    const wanted = ['update', 'install -y --no-install-recommends llvm-14 lld-14'];
    expect(called()).toEqual(wanted);
    expect(setup('--yes')).toMatchObject({ status: 0, done: true });
    expect(called()).toEqual(wanted);
  });

  test.each([
    ['fails', 'exit 100', ['update']],
    ['installs nothing', 'exit 0', ['update', 'install -y --no-install-recommends llvm-14 lld-14']],
  ])('says so where apt-get %s', (_, body, wanted) => {
    const { setup, called } = machine(body);
    expect(setup('--yes')).toMatchObject({ status: 1, code: 'setup/failed' });
    expect(called()).toEqual(wanted);
  });
});
