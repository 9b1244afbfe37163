/** The wasm target: chooses a variant, fills the memory, runs steps. */
import type { Executor, ExecutorOptions } from '../device.ts';
import { DeviceError } from '../errors.ts';
import { type StepMemory, makeExecutor, writeControl } from '../executor.ts';
import { type MemoryMap, align, mapMemory, pastEnd } from '../layout.ts';
import type { Manifest, WasmProgram } from '../manifest.ts';
import { aloneTeam, makeTeam } from './team.ts';

export interface OpenOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * An executor for the bundle's wasm program. `files` returns a file of the bundle, its hash checked.
 * Throws DeviceError where the bundle has no wasm program or the memory does not suffice.
 */
export async function openWasm(
  manifest: Manifest,
  files: (path: string) => Promise<Uint8Array>,
  options: ExecutorOptions,
  { onProgress, signal }: OpenOptions = {},
): Promise<Executor> {
  const program = manifest.programs.wasm;
  if (!program)
    throw new DeviceError(
      'device/target',
      'the bundle has no wasm program: compile it with --target wasm',
    );
  const canShare = typeof SharedArrayBuffer !== 'undefined';
  const threads = canShare ? options.threads : 1;
  const map = mapMemory(manifest, program, { ...options, threads });
  const weights = align(map.bytes);
  const bytes = weights + manifest.weights.bytes + pastEnd;
  checkSize(manifest, map, bytes);
  const module = await chooseVariant(program, threads > 1, files);
  const memory = allocate(bytes, threads > 1);
  await loadWeights(manifest, weights, memory, files, onProgress, signal);
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const { step } = instance.exports;
  if (typeof step !== 'function')
    throw new DeviceError('device/program', 'the program has no step');
  const run = step as (thread: number) => void; // exported so by the compiler
  const stepMemory = memoryOf(memory);
  writeControl(map, stepMemory, { threads, base: 0, weights });
  const team = threads > 1 ? await makeTeam(threads, module, memory, run) : aloneTeam(run);
  return makeExecutor({
    target: 'wasm',
    threads,
    manifest,
    program,
    map,
    memory: stepMemory,
    memoryBytes: bytes,
    run: team.run,
    close: team.close,
  });
}

/** What a 32-bit address reaches. */
const mostBytes = 2 ** 32;

function checkSize(manifest: Manifest, map: MemoryMap, bytes: number): void {
  if (bytes <= mostBytes) return;
  const mib = (n: number): string => `${Math.round(n / 2 ** 20)} MiB`;
  throw new DeviceError(
    'device/memory',
    `the model needs ${mib(bytes)} (weights ${mib(manifest.weights.bytes)}, cache for ` +
      `${map.slots} tokens ${mib(manifest.cache.bytesPerSlot * map.slots)}); wasm can address 4096 MiB: ` +
      'load it with a smaller capacity',
  );
}

async function chooseVariant(
  program: WasmProgram,
  shared: boolean,
  files: (path: string) => Promise<Uint8Array>,
): Promise<WebAssembly.Module> {
  await allowRelaxedSimd();
  for (const v of program.variants) {
    if (v.threads !== shared) continue;
    const bytes = new Uint8Array(await files(v.file));
    if (WebAssembly.validate(bytes)) return WebAssembly.compile(bytes);
  }
  throw new DeviceError(
    'device/program',
    'no variant of the wasm program runs here: SIMD is needed',
  );
}

/** Node 20 has relaxed SIMD behind a flag that may be set until the first module is compiled. */
async function allowRelaxedSimd(): Promise<void> {
  if (typeof process === 'undefined' || !process.versions?.node?.startsWith('20.')) return;
  const v8 = await import('node:v8');
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
}

function allocate(bytes: number, shared: boolean): WebAssembly.Memory {
  const pages = Math.ceil(bytes / 65_536);
  try {
    return shared
      ? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
      : new WebAssembly.Memory({ initial: pages });
  } catch {
    throw new DeviceError(
      'device/memory',
      `${Math.ceil(bytes / 2 ** 20)} MiB of memory are not to be had here`,
    );
  }
}

async function loadWeights(
  manifest: Manifest,
  at: number,
  memory: WebAssembly.Memory,
  files: (path: string) => Promise<Uint8Array>,
  onProgress: OpenOptions['onProgress'],
  signal: AbortSignal | undefined,
): Promise<void> {
  const all = new Uint8Array(memory.buffer);
  for (const shard of manifest.weights.shards) {
    signal?.throwIfAborted();
    all.set(await files(shard.file), at + shard.offset);
    onProgress?.(shard.offset + shard.bytes, manifest.weights.bytes);
  }
}

const memoryOf = ({ buffer }: WebAssembly.Memory): StepMemory => {
  const words = new Uint32Array(buffer);
  const bytes = new Uint8Array(buffer);
  return {
    ints: (at, length) => new Int32Array(buffer, at, length),
    floats: (at, length) => new Float32Array(buffer, at, length),
    setWord(word, value) {
      words[word] = value;
    },
    copy: (from, to, size) => void bytes.copyWithin(to, from, from + size),
    read: (at, into) => into.set(bytes.subarray(at, at + into.byteLength)),
    write: (at, from) => bytes.set(from, at),
  };
};
