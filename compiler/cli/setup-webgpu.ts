/** What the target `webgpu` needs in Node: the package, and a driver where the machine has no GPU. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Step, npmFolderOf } from './setup.ts';
import { packageFolder, versionOfOptional } from './version.ts';

/** As found here; a test may make one up. */
export interface GpuMachine {
  readonly hasPackage: boolean;
  /** The device of a GPU: its driver is the machine's own matter. */
  readonly hasGpu: boolean;
  readonly hasDriver: boolean;
  /** Packages of Debian that the software driver uses and that are not here. */
  readonly missingPackages: readonly string[];
  /** Debian 12 on x64 with apt-get: its own mesa is too old for WebGPU. */
  readonly bookworm: boolean;
  readonly root: boolean;
  /** Where npm installs the package. */
  readonly npmFolder: string;
  /** Where the software driver is unpacked. */
  readonly driverFolder: string;
  readonly version: string;
}

/** What lavapipe of bookworm-backports is linked with, and the loader of drivers. */
const driverPackages = [
  'libvulkan1', 'libllvm15', 'libdrm2', 'libexpat1', 'libzstd1', 'libwayland-client0', 'libx11-xcb1',
  'libxcb1', 'libxcb-dri3-0', 'libxcb-present0', 'libxcb-randr0', 'libxcb-shm0', 'libxcb-sync1',
  'libxcb-xfixes0', 'libxshmfence1',
] as const; // prettier-ignore

/** What `VK_ICD_FILENAMES` says where the software driver is to be used. */
export const driverFile = ({ driverFolder }: GpuMachine): string =>
  join(driverFolder, 'lvp_icd.json');

/** `into`: another folder than the project's for all that is not Debian's own. */
export function readGpuMachine(into?: string): GpuMachine {
  const npmFolder = into === undefined ? npmFolderOf(packageFolder()) : resolve(into);
  const driverFolder = join(npmFolder, into === undefined ? 'node_modules/.cache/cograph/lavapipe' : 'lavapipe'); // prettier-ignore
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const apt = spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0;
  return {
    hasPackage: existsSync(join(npmFolder, 'node_modules/webgpu/package.json')),
    hasGpu:
      process.platform !== 'linux' ||
      hasDevice('/dev/dri', /^render/) ||
      hasDevice('/dev', /^nvidia\d/),
    hasDriver: existsSync(join(driverFolder, 'lvp_icd.json')),
    missingPackages: apt ? driverPackages.filter((p) => !isInstalled(p)) : [],
    bookworm: apt && process.arch === 'x64' && /^VERSION_CODENAME=bookworm$/m.test(release),
    root: process.getuid?.() === 0,
    npmFolder,
    driverFolder,
    version: versionOfOptional('webgpu'),
  };
}

const hasDevice = (folder: string, name: RegExp): boolean =>
  existsSync(folder) && readdirSync(folder).some((f) => name.test(f));

const isInstalled = (name: string): boolean =>
  spawnSync('dpkg', ['-s', name], { stdio: 'ignore' }).status === 0;

/** What installs all that the target `webgpu` lacks; empty where nothing is missing. */
export function gpuStepsFor(machine: GpuMachine): readonly Step[] {
  return [...packageSteps(machine), ...driverSteps(machine)];
}

function packageSteps({ hasPackage, npmFolder, version }: GpuMachine): readonly Step[] {
  if (hasPackage) return [];
  // Beside the project's own packages, without a line in its package.json.
  const run = ['npm', 'install', '--prefix', '.', '--no-save', '--no-audit', '--no-fund', `webgpu@${version}`]; // prettier-ignore
  const what = `WebGPU for Node: Dawn, 132 MB, into ${npmFolder}`;
  return [{ what, command: run.join(' '), run, folder: npmFolder }];
}

/** A GPU in software, where there is no other: slow, but it runs everything. */
function driverSteps(machine: GpuMachine): readonly Step[] {
  const { hasGpu, hasDriver, missingPackages, bookworm, root, driverFolder } = machine;
  if (hasGpu || hasDriver) return [];
  if (!bookworm) {
    const what = 'a GPU in software: there is no other here';
    return [{ what, command: 'install a driver for Vulkan (mesa-vulkan-drivers 25 or newer)' }];
  }
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missingPackages];
  const libraries = 'what a GPU in software is linked with';
  const unpack: Step = {
    what: `a GPU in software: mesa 25 of bookworm-backports, unpacked into ${driverFolder}, not installed`,
    command: `download and unpack ${backports.join(' ')}`,
    run: ['sh', '-c', unpackScript, 'sh', driverFolder],
  };
  if (missingPackages.length === 0) return [unpack];
  if (!root) return [{ what: libraries, command: `sudo ${install.join(' ')}` }, unpack];
  const update = ['apt-get', 'update'];
  return [
    { what: 'reads what packages there are', command: update.join(' '), run: update },
    { what: libraries, command: install.join(' '), run: install },
    unpack,
  ];
}

const backports = ['mesa-vulkan-drivers', 'libdrm2', 'libdrm-amdgpu1'];

/**
 * With lists and caches of its own, so that the system's packages stay as they are. $1: the folder; the
 * driver's description, the last file written, says that all went well.
 */
const unpackScript = `set -e
rm -rf "$1"
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 's/^URIs: *//p; s/^deb \\(\\[[^]]*\\] \\)*\\(http[^ ]*\\).*/\\2/p' | grep -v security | head -n 1)
echo "deb $uri bookworm-backports main" > sources.list
own="-o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache"
apt-get $own update
apt-get $own download ${backports.map((p) => `${p}/bookworm-backports`).join(' ')}
for package in *.deb; do dpkg -x "$package" root; done
rm -rf *.deb lists cache sources.list
sed "s#\\"library_path\\": \\"[^\\"]*\\"#\\"library_path\\": \\"$PWD/root/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so\\"#" root/usr/share/vulkan/icd.d/lvp_icd*.json > lvp_icd.json`;
