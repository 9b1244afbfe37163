import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { confirm, isCancel } from '@clack/prompts';
import { TargetError } from '../../base/failure.ts';
import { UsageError } from '../errors.ts';
import { type Step, readMachine, stepsFor } from '../setup.ts';
import { driverFile, gpuStepsFor, readGpuMachine } from '../setup-webgpu.ts';
import type { Context } from './context.ts';

export interface SetupFlags {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  /** webgpu: a folder for what is installed, in place of the project's. */
  readonly into?: string;
}

/** What can be set up. */
export const setups = ['native', 'webgpu'] as const;

interface Setup {
  /** What is missing, and how it is installed. */
  missing(flags: SetupFlags, signal: AbortSignal): Promise<readonly Step[]>;
  /** What is to be known once all is there. */
  note?(flags: SetupFlags): string | undefined;
}

const targets: Readonly<Record<(typeof setups)[number], Setup>> = {
  native: { missing: async (_, signal) => stepsFor(await readMachine(signal)) },
  webgpu: {
    missing: ({ into }) => Promise.resolve(gpuStepsFor(readGpuMachine(into))),
    note({ into }) {
      const machine = readGpuMachine(into);
      return machine.hasDriver
        ? `the GPU in software is used where the environment says VK_ICD_FILENAMES=${driverFile(machine)}`
        : undefined;
    },
  },
};

/** `cograph setup native`, `cograph setup webgpu`: says what is missing and how it is installed, asks, and does it. */
export async function setupCommand(
  target: (typeof setups)[number],
  flags: SetupFlags,
  { console, json, signal }: Context,
): Promise<unknown> {
  const setup = targets[target];
  const steps = await setup.missing(flags, signal);
  const tell = (): void => {
    const more = setup.note?.(flags);
    if (more !== undefined) console.note(more);
  };
  const told = steps.map(({ what, command }) => ({ what, command }));
  if (steps.length === 0) {
    console.note(`${target}: everything is here`);
    tell();
    return { target, steps: told, done: true };
  }
  console.note(`${target}, what is missing and how it is installed:`);
  for (const s of steps) console.note(`  ${s.command}\n    ${s.what}`);
  if (flags.dryRun === true) return { target, steps: told, done: false };
  const mine = steps.filter((s) => s.run !== undefined);
  if (mine.length > 0 && flags.yes !== true && !(await agreed(json))) {
    console.note('nothing was installed');
    return { target, steps: told, done: false };
  }
  for (const s of mine) {
    if (s.folder !== undefined) await mkdir(s.folder, { recursive: true });
    await runStep(s, signal);
  }
  const others = steps.filter((s) => s.run === undefined);
  if (others.length > 0) {
    const commands = others.map((s) => s.command).join('\n  ');
    throw new TargetError('setup/rights', `what takes more rights than are here:\n  ${commands}`);
  }
  const left = await setup.missing(flags, signal);
  if (left.length > 0) {
    const what = left.map((s) => s.what).join('; ');
    throw new TargetError('setup/failed', `still missing after all commands ran: ${what}`);
  }
  console.note(`${target}: ready`);
  tell();
  return { target, steps: told, done: true };
}

/** Throws UsageError where nobody can be asked. */
async function agreed(json: boolean): Promise<boolean> {
  if (json || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(
      'usage/yes',
      'nobody is here to be asked: --yes installs, --dry-run only tells',
    );
  }
  const answer = await confirm({ message: 'Install it?', output: process.stderr });
  return !isCancel(answer) && answer;
}

/** Standard output stays free for the result: what commands print goes to standard error. */
function runStep({ command, run, folder }: Step, signal: AbortSignal): Promise<void> {
  const [program = '', ...args] = run ?? [];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 2, 2],
      signal,
      ...(folder === undefined ? {} : { cwd: folder }),
      // npm is a script there.
      shell: process.platform === 'win32',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    const failed = (why: string): void =>
      reject(new TargetError('setup/failed', `${command}: ${why}`));
    child.once('error', (e) => failed(e.message));
    child.once('close', (status, killed) => {
      if (status === 0) resolve();
      else failed(`ended with ${status ?? killed}, see above`);
    });
  });
}
