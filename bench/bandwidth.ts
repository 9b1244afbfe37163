/**
 * How fast this machine reads memory: native loops where a C compiler is at hand, else the same loops in
 * WebAssembly, with one thread. Several numbers of streams; the best one is the machine's.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openWasmLoops } from './wasm-loops.ts';

export interface Bandwidth {
  readonly gigabytesPerSecond: number;
  readonly streams: number;
}

export interface BandwidthMeter {
  /** What the loops are: `gcc -O3 -march=native` or `wasm`. */
  readonly loops: string;
  /** More threads than one can read. */
  readonly threaded: boolean;
  /** Reads a buffer of `bytes` for about `seconds`, by one thread or several that share it. */
  measure(bytes: number, seconds: number, threads?: number): Promise<Bandwidth>;
}

const run = promisify(execFile);

/** Compiles the loops into `folder`. */
export async function openBandwidthMeter(folder: string): Promise<BandwidthMeter> {
  const compiler = ['gcc', 'cc', 'clang'].find(works);
  if (compiler === undefined) {
    const read = await openWasmLoops();
    const measure: BandwidthMeter['measure'] = (bytes, seconds, threads = 1) => {
      if (threads > 1) throw new Error('without a C compiler one thread reads');
      return Promise.resolve(read(bytes, seconds));
    };
    return { loops: 'wasm', threaded: false, measure };
  }
  mkdirSync(folder, { recursive: true });
  const binary = join(folder, 'read-loops');
  const source = fileURLToPath(new URL('read-loops.c', import.meta.url));
  execFileSync(compiler, ['-O3', '-march=native', '-pthread', '-o', binary, source]);
  return {
    loops: `${compiler} -O3 -march=native`,
    threaded: true,
    async measure(bytes, seconds, threads = 1) {
      const { stdout } = await run(binary, [bytes, seconds, threads].map(String));
      return bestOf(stdout.trim().split('\n').map(parseLine));
    },
  };
}

export const bestOf = (all: readonly Bandwidth[]): Bandwidth =>
  all.reduce((best, b) => (b.gigabytesPerSecond > best.gigabytesPerSecond ? b : best), {
    gigabytesPerSecond: 0,
    streams: 0,
  });

function parseLine(line: string): Bandwidth {
  const [streams = NaN, gigabytesPerSecond = NaN] = line.split(' ').map(Number);
  return { streams, gigabytesPerSecond };
}

function works(compiler: string): boolean {
  try {
    execFileSync(compiler, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
