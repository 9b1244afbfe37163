/** What a target needs beside this package, what of it is missing here, and how that is installed. */
import { spawnSync } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { findTools, llvmTools, llvmVersion } from './native-tools.ts';
import { packageFolder, versionOfOptional } from './version.ts';

/** As found here; a test may make one up. */
export interface Machine {
  /** Tools of LLVM that are not to be had. */
  readonly missingTools: readonly string[];
  readonly hasKoffi: boolean;
  /** Packages can be installed with apt-get. */
  readonly apt: boolean;
  readonly root: boolean;
  /** The folder where npm installs what this package looks for. */
  readonly npmFolder: string;
  readonly koffiVersion: string;
}

/** One command that installs something, or what somebody with more rights must do. */
export interface Step {
  readonly what: string;
  /** As a shell would be given it. */
  readonly command: string;
  /** Program and arguments; absent where it cannot be run from here. */
  readonly run?: readonly string[];
  readonly folder?: string;
}

export async function readMachine(signal?: AbortSignal): Promise<Machine> {
  const found = await findTools(signal);
  const npmFolder = npmFolderOf(packageFolder());
  return {
    missingTools: llvmTools.filter((t) => !found.has(t)),
    hasKoffi: loads('koffi', npmFolder),
    apt: spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0,
    root: process.getuid?.() === 0,
    npmFolder,
    koffiVersion: versionOfOptional('koffi'),
  };
}

/** The project that this package is installed in, or the checkout that it is. */
export function npmFolderOf(folder: string): string {
  const above = dirname(folder);
  return basename(above) === 'node_modules' ? dirname(above) : folder;
}

/** A new process tells, as this one may remember that there was none. */
export const loads = (name: string, folder: string): boolean =>
  spawnSync(process.execPath, ['-e', `require(${JSON.stringify(name)})`], {
    cwd: folder,
    stdio: 'ignore',
  }).status === 0;

/** What installs all that the target `native` lacks; empty where nothing is missing. */
export function stepsFor(machine: Machine): readonly Step[] {
  return [...toolSteps(machine), ...koffiSteps(machine)];
}

function toolSteps({ missingTools, apt, root }: Machine): readonly Step[] {
  if (missingTools.length === 0) return [];
  const packages = [`llvm-${llvmVersion}`, `lld-${llvmVersion}`];
  const what = `compiles native code: ${missingTools.join(', ')} of LLVM ${llvmVersion}`;
  const update = ['apt-get', 'update'];
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...packages];
  if (apt && root) {
    return [
      { what: 'reads what packages there are', command: update.join(' '), run: update },
      { what, command: install.join(' '), run: install },
    ];
  }
  if (apt) return [{ what, command: `sudo ${install.join(' ')}` }];
  return [{ what, command: `install LLVM ${llvmVersion} with lld, its tools on the PATH` }];
}

function koffiSteps({ hasKoffi, npmFolder, koffiVersion }: Machine): readonly Step[] {
  if (hasKoffi) return [];
  // Beside the project's own packages, without a line in its package.json.
  const run = ['npm', 'install', '--no-save', '--no-audit', '--no-fund', `koffi@${koffiVersion}`];
  const what = `runs native code: koffi, into ${npmFolder}`;
  return [{ what, command: run.join(' '), run, folder: npmFolder }];
}
