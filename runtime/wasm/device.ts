/** The wasm target: chooses a variant, fills the memory, runs steps. */
import type { Executor, ExecutorOptions } from '../device.ts';
import { DeviceError } from '../errors.ts';
import { type StepMemory, makeExecutor, setWideWord, writeControl } from '../executor.ts';
import type { BundleFiles } from '../files.ts';
import { type MemoryMap, align, checkIndexes, mapMemory, pastEnd } from '../layout.ts';
import { type Manifest, type WasmProgram, controlBytes, wasmReach } from '../manifest.ts';
import type { LoadOptions } from '../options.ts';
import { streamWeights } from '../weights.ts';
import { type Team, aloneTeam, makeTeam } from './team.ts';

export interface OpenOptions extends Pick<LoadOptions, 'onProgress' | 'signal'> {
  /** Bytes beyond which a program with 64-bit addresses is taken: what 32 bits reach unless given. */
  readonly narrow?: number;
}

/** Why a step has one thread here; undefined where it may have more. */
export function whyNoThreads(): string | undefined {
  if (typeof SharedArrayBuffer === 'undefined' || globalThis.crossOriginIsolated === false) {
    return (
      'memory cannot be shared: the page is to be served with the headers ' +
      'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp'
    );
  }
  const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
  return inNode || typeof Worker !== 'undefined'
    ? undefined
    : 'workers cannot be started from here';
}

/**
 * An executor for the bundle's wasm program, with shared memory if there is more than one thread.
 * Throws DeviceError where the bundle has no wasm program or the memory does not suffice.
 */
export async function openWasm(
  files: BundleFiles,
  options: ExecutorOptions,
  told: OpenOptions = {},
): Promise<Executor> {
  const { manifest } = files;
  const { threads } = options;
  const program = manifest.programs.wasm;
  if (!program)
    throw new DeviceError(
      'device/target',
      'the bundle has no wasm program: compile it with --target wasm',
    );
  const map = mapMemory(manifest, program, options);
  const weights = align(map.bytes);
  const bytes = weights + manifest.weights.bytes + pastEnd;
  const kind = { shared: threads > 1, memory64: bytes > (told.narrow ?? wasmReach.narrow) };
  const module = await chooseVariant(manifest, program, map, bytes, kind, files.read);
  const memory = allocate(bytes, kind);
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const { step } = instance.exports;
  if (typeof step !== 'function')
    throw new DeviceError('device/program', 'the program has no step');
  const run = step as (thread: number) => void; // exported so by the compiler
  const wordBytes = kind.memory64 ? 8 : 4;
  const stepMemory = memoryOf(memory, wordBytes);
  writeControl(map, stepMemory, { threads, base: 0, weights });
  const shared = { module, memory, wordBytes } as const;
  // Threads that do not start are known before the weights are downloaded.
  const team = threads > 1 ? await makeTeam(threads, shared, run) : aloneTeam(run);
  await fill(files, weights, memory, team, told);
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

/** What the memory is: seen by several threads, and with which addresses. */
interface MemoryKind {
  readonly shared: boolean;
  readonly memory64: boolean;
}

/** Programs with 64-bit addresses are asked for only where the memory needs them. */
async function chooseVariant(
  manifest: Manifest,
  program: WasmProgram,
  map: MemoryMap,
  bytes: number,
  { shared, memory64 }: MemoryKind,
  files: (path: string) => Promise<Uint8Array>,
): Promise<WebAssembly.Module> {
  const variants = program.variants.filter(
    (v) => v.threads === shared && (v.memory64 === true) === memory64,
  );
  if (memory64) {
    const most = mib(wasmReach.wide);
    if (bytes > wasmReach.wide) {
      throw tooLarge(manifest, map, bytes, `wasm addresses ${most} at most`);
    }
    checkIndexes(manifest, map);
    if (variants.length === 0) {
      const why = `the bundle has programs for ${mib(wasmReach.narrow)} alone`;
      throw tooLarge(manifest, map, bytes, why);
    }
  }
  await allowRelaxedSimd();
  for (const v of variants) {
    const code = new Uint8Array(await files(v.file));
    if (WebAssembly.validate(code)) return WebAssembly.compile(code);
  }
  if (memory64) {
    const why =
      `wasm addresses ${mib(wasmReach.narrow)} here, where there is no memory64; ` +
      `Node 22, Chrome 133 and Firefox 134 and later have it, and address ${mib(wasmReach.wide)}`;
    throw tooLarge(manifest, map, bytes, why);
  }
  throw new DeviceError(
    'device/program',
    'no variant of the wasm program runs here: SIMD is needed',
  );
}

const mib = (n: number): string => `${Math.ceil(n / 2 ** 20)} MiB`;

function tooLarge(manifest: Manifest, map: MemoryMap, bytes: number, why: string): DeviceError {
  const cache = manifest.cache.bytesPerSlot * map.slots;
  const advice = bytes - cache < wasmReach.narrow ? ': load it with a smaller capacity' : '';
  return new DeviceError(
    'device/memory',
    `the model needs ${mib(bytes)} (weights ${mib(manifest.weights.bytes)}, cache for ` +
      `${map.slots} tokens ${mib(cache)}); ${why}${advice}`,
  );
}

/** Node 20 has relaxed SIMD behind a flag that may be set until the first module is compiled. */
async function allowRelaxedSimd(): Promise<void> {
  if (typeof process === 'undefined' || !process.versions?.node?.startsWith('20.')) return;
  const v8 = await import('node:v8');
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
}

function allocate(bytes: number, { shared, memory64 }: MemoryKind): WebAssembly.Memory {
  const pages = Math.ceil(bytes / 65_536);
  const limits = shared ? { initial: pages, maximum: pages, shared } : { initial: pages };
  try {
    return memory64 ? allocateWide(limits) : new WebAssembly.Memory(limits);
  } catch {
    throw new DeviceError('device/memory', `${mib(bytes)} of memory are not to be had here`);
  }
}

/** Engines take sizes of 64-bit memories as big integers; V8 before 13 has another name and numbers. */
function allocateWide(limits: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
  const sizes = Object.entries(limits).map(
    ([name, v]) => [name, typeof v === 'number' ? BigInt(v) : v] as const,
  );
  const wide: unknown = { ...Object.fromEntries(sizes), address: 'i64' };
  const earlier: unknown = { ...limits, index: 'i64' };
  try {
    return new WebAssembly.Memory(wide as WebAssembly.MemoryDescriptor); // TypeScript knows numbers alone
  } catch (e) {
    if (!(e instanceof TypeError)) throw e;
    return new WebAssembly.Memory(earlier as WebAssembly.MemoryDescriptor);
  }
}

/** Weights into memory; ends the threads where that fails. */
async function fill(
  files: BundleFiles,
  at: number,
  { buffer }: WebAssembly.Memory,
  team: Team,
  told: OpenOptions,
): Promise<void> {
  try {
    await streamWeights(
      files,
      (bytes, offset) => new Uint8Array(buffer, at + offset, bytes.byteLength).set(bytes),
      told,
    );
  } catch (e) {
    team.close();
    throw e;
  }
}

/** Arrays show pieces alone: not every engine has one of more than 4 GiB. */
function memoryOf({ buffer }: WebAssembly.Memory, wordBytes: 4 | 8): StepMemory {
  const words = new Uint32Array(buffer, 0, controlBytes / 4);
  const bytes = (at: number, size: number): Uint8Array => new Uint8Array(buffer, at, size);
  return {
    ints: (at, length) => new Int32Array(buffer, at, length),
    floats: (at, length) => new Float32Array(buffer, at, length),
    setWord(word, value) {
      if (wordBytes === 8) setWideWord(words, word, value);
      else words[word] = value;
    },
    copy: (from, to, size) => bytes(to, size).set(bytes(from, size)),
    read: (at, into) => into.set(bytes(at, into.byteLength)),
    write: (at, from) => bytes(at, from.byteLength).set(from),
  };
}
