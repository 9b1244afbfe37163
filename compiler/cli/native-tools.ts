/** LLVM's tools as processes: what makes native code. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TargetError } from '../base/failure.ts';
import { invariant, present } from '../base/invariant.ts';
import { type LlvmVariant, llvmTriple } from '../7-emit/llvm.ts';
import type { NativeTools } from '../7-emit/native.ts';

/** The version whose text the printer writes and whose tools are used; later ones read other types of pointers. */
export const llvmVersion = 14;
/** The tools by their names in LLVM; Debian adds the version. */
export const llvmTools = ['opt', 'llc', 'ld.lld', 'ld64.lld', 'lld-link'] as const;
type Tool = (typeof llvmTools)[number];

/** The command of each tool that is here. */
export type FoundTools = ReadonlyMap<Tool, string>;

export async function findTools(signal?: AbortSignal): Promise<FoundTools> {
  const found = await Promise.all(
    llvmTools.map(async (tool): Promise<[Tool, string][]> => {
      for (const command of [`${tool}-${llvmVersion}`, tool]) {
        if ((await versionOf(command, signal)) === llvmVersion) return [[tool, command]];
      }
      return [];
    }),
  );
  return new Map(found.flat());
}

/** The major version that a command says it has; undefined where it does not run. */
async function versionOf(command: string, signal?: AbortSignal): Promise<number | undefined> {
  const text = await runTool(command, ['--version'], { ...(signal ? { signal } : {}) }).then(
    ({ out }) => new TextDecoder().decode(out),
    () => undefined,
  );
  const major = /(?:LLVM version|LLD) (\d+)\./.exec(text ?? '')?.[1];
  return major === undefined ? undefined : Number(major);
}

/** Throws TargetError `target/tools` with what to install where a tool is missing. */
export async function openNativeTools(signal?: AbortSignal): Promise<NativeTools> {
  const found = await findTools(signal);
  signal?.throwIfAborted();
  const missing = llvmTools.filter((t) => !found.has(t));
  if (missing.length > 0) {
    throw new TargetError(
      'target/tools',
      `native code is made with tools of LLVM ${llvmVersion}; ${missing.join(', ')} not found: ` +
        `cograph setup native, or the packages llvm-${llvmVersion} and lld-${llvmVersion} of Debian and Ubuntu`,
    );
  }
  const run = async (tool: Tool, args: readonly string[], options: RunOptions) => {
    const { status, out, err } = await runTool(present(found.get(tool)), args, options);
    invariant(status === 0, () => `${tool} ${args.join(' ')}: ${firstLines(err)}`);
    return out;
  };
  return {
    async object(ir, variant, stop) {
      const triple = `-mtriple=${llvmTriple(variant)}`;
      const more = stop ? { signal: stop } : {};
      const input = new TextEncoder().encode(ir);
      const bitcode = await run('opt', [triple, '-O3', '-verify', '-', '-o', '-'], {
        input,
        ...more,
      });
      const generate = ['-O3', '-relocation-model=pic', '-filetype=obj', '-', '-o', '-'];
      return run('llc', [triple, ...generate], { input: bitcode, ...more });
    },
    async link(object, variant, stop) {
      // Linkers read and write files only.
      const folder = await mkdtemp(join(tmpdir(), 'cograph-link-'));
      try {
        const [from, to] = [join(folder, 'step.o'), join(folder, 'step.out')];
        await writeFile(from, object);
        const { tool, args } = linkerOf(variant, from, to);
        await run(tool, args, stop ? { signal: stop } : {});
        return new Uint8Array(await readFile(to));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** The command that links `from` into the library `to`: nothing of the system, the same bytes each time. */
function linkerOf(
  { os, isa }: LlvmVariant,
  from: string,
  to: string,
): { readonly tool: Tool; readonly args: readonly string[] } {
  const arm = isa === 'arm64';
  switch (os) {
    case 'linux': {
      const kind = ['-m', arm ? 'aarch64linux' : 'elf_x86_64', '-shared', '-nostdlib'];
      const strict = ['--no-undefined', '-z', 'now', '-z', 'noexecstack', '--build-id=none'];
      return { tool: 'ld.lld', args: [...kind, ...strict, from, '-o', to] };
    }
    case 'macos': {
      const kind = ['-arch', arm ? 'arm64' : 'x86_64', '-dylib'];
      const system = ['-platform_version', 'macos', '11.0', '11.0'];
      const names = ['-install_name', '@rpath/step.dylib', '-exported_symbol', '_step'];
      return { tool: 'ld64.lld', args: [...kind, ...system, ...names, from, '-o', to] };
    }
    case 'windows': {
      const kind = ['/dll', '/noentry', '/nodefaultlib', `/machine:${arm ? 'arm64' : 'x64'}`];
      return { tool: 'lld-link', args: [...kind, '/export:step', '/Brepro', from, `/out:${to}`] };
    }
  }
}

interface RunOptions {
  readonly input?: Uint8Array;
  readonly signal?: AbortSignal;
}

/**
 * Runs a command to its end. Throws TargetError where it cannot be started or was killed, and the
 * signal's reason once that is aborted, after the command has ended.
 */
function runTool(
  command: string,
  args: readonly string[],
  { input, signal }: RunOptions,
): Promise<{ readonly status: number; readonly out: Uint8Array; readonly err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (b: Buffer) => void out.push(b));
    child.stderr.on('data', (b: Buffer) => void err.push(b));
    // A tool that ends before it has read everything says why itself.
    child.stdin.on('error', () => undefined);
    const stop = (): void => void child.kill();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    child.once('error', (e) => {
      signal?.removeEventListener('abort', stop);
      reject(new TargetError('target/tools', `${command} does not run: ${e.message}`));
    });
    child.once('close', (status, killed) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) {
        reject(signal.reason as Error);
      } else if (status === null) {
        reject(new TargetError('target/tools', `${command} was ended by ${killed}`));
      } else {
        const bytes = new Uint8Array(Buffer.concat(out));
        resolve({ status, out: bytes, err: Buffer.concat(err).toString('utf8') });
      }
    });
    child.stdin.end(input);
  });
}

const firstLines = (text: string): string => text.trim().split('\n').slice(0, 12).join('\n');
