/** From a bundle's folder or URL to a model that runs. */
import type { Executor, ExecutorOptions } from './device.ts';
import { DeviceError, InputError } from './errors.ts';
import { type BundleFiles, openFiles } from './files.ts';
import { type LoadedModel, makeModel } from './model.ts';
import { type Tokenizer, makeTokenizer } from './tokenizer.ts';
import { openWasm } from './wasm/device.ts';

export interface LoadOptions {
  /**
   * `native`, `wasm`, or `auto`, which is meant unless given: native code where the bundle has some for
   * this machine and what calls it is installed, else wasm.
   */
  readonly target?: string;
  /**
   * Holds native weights, which are mapped and read as they are used, against their hashes: that reads
   * them all. Their sizes, the manifest and all other files are checked always.
   */
  readonly verify?: boolean;
  /** Threads of the CPU; what the machine has, at most 8, unless given. */
  readonly threads?: number;
  /** Longest sequence in tokens; the model's own context, at most 4096, unless given. */
  readonly context?: number;
  /** Cached tokens over all sequences; twice the context unless given. */
  readonly capacity?: number;
  /** Sequences that may share a step; 8 unless given. */
  readonly sequences?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Loads the bundle in a folder (path or file URL) or at a URL. Throws BundleError for anything wrong
 * with it, InputError for options out of range, DeviceError where this machine cannot run it.
 */
export async function load(place: string | URL, options: LoadOptions = {}): Promise<LoadedModel> {
  checkOptions(options);
  const files = await openFiles(place, options.signal);
  const { manifest } = files;
  // Threads start and weights are mapped while the tokenizer is made.
  const opening = openExecutor(files, options);
  opening.catch(() => undefined); // told below, once the tokenizer is made
  try {
    const tokenizer = await tokenizerOf(files);
    return makeModel(await opening, { name: manifest.name, eos: manifest.model.eos }, tokenizer);
  } catch (e) {
    const executor = await opening.catch(() => undefined);
    executor?.close();
    throw e;
  }
}

const targets = ['auto', 'native', 'wasm'];

async function openExecutor(files: BundleFiles, options: LoadOptions): Promise<Executor> {
  const { target = 'auto', verify, onProgress, signal } = options;
  if (!targets.includes(target)) {
    throw new DeviceError(
      'device/target',
      `this runtime has no target ${target}; there are ${targets.join(', ')}`,
    );
  }
  const { manifest } = files;
  const sizes = sizesOf(manifest.model.context, options);
  const rest = { ...(onProgress ? { onProgress } : {}), ...(signal ? { signal } : {}) };
  const { native, wasm } = manifest.programs;
  const tryNative = target === 'native' || (target === 'auto' && native && files.folder);
  if (tryNative) {
    if (typeof process === 'undefined' || process.versions?.node === undefined)
      throw new DeviceError('device/target', 'native code runs in Node, not in a page');
    const { chooseNative, openNative } = await import('./native/device.ts');
    try {
      const choice = await chooseNative(files);
      return await openNative(choice, files, sizes, { ...rest, verify: verify === true });
    } catch (e) {
      if (target === 'native' || !wasm || !isMissing(e)) throw e;
    }
  }
  return openWasm(manifest, files.read, sizes, rest);
}

/** What makes native code impossible here, though wasm may well run. */
const isMissing = (e: unknown): boolean =>
  e instanceof DeviceError && (e.code === 'device/koffi' || e.code === 'device/machine');

/** The sizes of an executor: what the caller gave, else what suits the model and the machine. */
export function sizesOf(modelContext: number | undefined, o: LoadOptions): ExecutorOptions {
  const cores = globalThis.navigator?.hardwareConcurrency ?? coresOfNode() ?? 1;
  const context = o.context ?? Math.min(modelContext ?? 4096, 4096);
  return {
    threads: o.threads ?? Math.min(cores, 8),
    context,
    capacity: Math.max(o.capacity ?? 2 * context, context),
    sequences: o.sequences ?? 8,
  };
}

/** Node 20 has no navigator; its own count of cores is asked for without importing it in browsers. */
function coresOfNode(): number | undefined {
  if (typeof process === 'undefined') return undefined;
  const os = process.getBuiltinModule?.('node:os');
  return os?.availableParallelism();
}

function checkOptions(o: LoadOptions): void {
  for (const name of ['threads', 'context', 'capacity', 'sequences'] as const) {
    const value = o[name];
    if (value === undefined) continue;
    const most = name === 'threads' ? 256 : name === 'sequences' ? 4096 : 2 ** 26;
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new InputError(
        'input/option',
        `${name} is ${value}: expected a whole number from 1 to ${most}`,
      );
    }
  }
}

export async function tokenizerOf(files: BundleFiles): Promise<Tokenizer | undefined> {
  const { tokenizer, model } = files.manifest;
  if (!tokenizer) return undefined;
  const text = async (path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : new TextDecoder().decode(await files.read(path));
  const [rules, config, chatTemplate, vocabulary] = await Promise.all([
    text(tokenizer.rules ?? tokenizer.file),
    text(tokenizer.config),
    text(tokenizer.chatTemplate),
    tokenizer.vocabulary === undefined ? undefined : files.read(tokenizer.vocabulary),
  ]);
  return makeTokenizer({
    tokenizer: rules ?? '',
    vocabulary,
    config,
    chatTemplate,
    bos: model.bos,
  });
}
