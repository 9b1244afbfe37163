/** The native target: a library of the bundle called by a team of threads, its weights mapped from their files. */
import type { Executor, ExecutorOptions } from '../device.ts';
import { DeviceError } from '../errors.ts';
import { type StepMemory, makeExecutor, setWideWord, writeControl } from '../executor.ts';
import type { BundleFiles } from '../files.ts';
import { checkIndexes, mapMemory } from '../layout.ts';
import type { Manifest, NativeProgram } from '../manifest.ts';
import type { LoadOptions } from '../options.ts';
import { type FoundKoffi, type Koffi, loadKoffi } from './koffi.ts';
import { chooseVariant, readMachine } from './machine.ts';
import { type NodeModules, importNode } from './node.ts';
import { type Region, type System, openSystem } from './system.ts';
import { type Step, startTeam } from './team.ts';

/** The library is always held against its hash. */
export type OpenOptions = Pick<LoadOptions, 'verify' | 'onProgress' | 'signal'>;

/** A bundle's native program, and what runs it here. */
export interface NativeChoice {
  readonly node: NodeModules;
  readonly found: FoundKoffi;
  readonly folder: string;
  readonly program: NativeProgram;
  readonly variant: NativeProgram['variants'][number];
}

/**
 * Finds the library for this machine. Rejects with DeviceError: `device/target` where the bundle has no
 * native program or is not in a folder, `device/koffi` without koffi, `device/machine` where no
 * library fits.
 */
export async function chooseNative(files: BundleFiles): Promise<NativeChoice> {
  const program = files.manifest.programs.native;
  if (!program) {
    throw new DeviceError(
      'device/target',
      'the bundle has no native program: compile it with --target native',
    );
  }
  if (files.folder === undefined) {
    throw new DeviceError(
      'device/target',
      'native code is loaded from a folder, not from a URL: copy the bundle into one',
    );
  }
  const node = await importNode();
  const found = loadKoffi(node.module.createRequire(import.meta.url));
  const variant = chooseVariant(program.variants, readMachine(found.koffi, node));
  return { node, found, folder: files.folder, program, variant };
}

/**
 * An executor for what `chooseNative` found. Throws BundleError for files that are not what the
 * manifest says, DeviceError where there is too little memory or a thread does not start.
 */
export async function openNative(
  { node, found, folder, program, variant }: NativeChoice,
  files: BundleFiles,
  options: ExecutorOptions,
  { verify, onProgress, signal }: OpenOptions = {},
): Promise<Executor> {
  const { manifest } = files;
  const { koffi } = found;
  const place = (file: string): string => node.path.join(folder, file);
  const { threads } = options;
  const undo: (() => void)[] = [];
  const close = (): void => undo.splice(0).forEach((f) => f());
  try {
    const map = mapMemory(manifest, program, options);
    checkIndexes(manifest, map);
    const team = startTeam(node, found, threads);
    undo.push(team.close);
    await files.read(variant.file); // held against its hash before any of it runs
    const library = openLibrary(koffi, place(variant.file));
    undo.push(library.unload);
    const system = openSystem(koffi, node);
    const weights = mapWeights(system, manifest, place, onProgress);
    undo.push(weights.release);
    if (verify === true) await verifyWeights(koffi, weights, files, signal);
    const region = system.allocate(map.bytes);
    undo.push(region.release);
    const memory = memoryAt(koffi, system, region.at, map.arena);
    writeControl(map, memory, { threads, base: region.at, weights: weights.at });
    team.prepare(library.step, library.address, BigInt(region.at));
    await team.ready;
    signal?.throwIfAborted();
    return makeExecutor({
      target: 'native',
      threads,
      manifest,
      program,
      map,
      memory,
      memoryBytes: map.bytes + manifest.weights.bytes,
      run: team.run,
      close,
    });
  } catch (e) {
    close();
    throw e;
  }
}

interface Library {
  readonly step: Step;
  readonly address: bigint;
  unload(): void;
}

function openLibrary(koffi: Koffi, path: string): Library {
  try {
    const library = koffi.load(path);
    const step: Step = library.func('step', 'void', ['uintptr_t', 'int32_t']);
    const address: bigint = library.symbol('step');
    return { step, address, unload: () => library.unload() };
  } catch (e) {
    throw new DeviceError('device/program', `${path} cannot be used: ${String(e)}`);
  }
}

const mapWeights = (
  system: System,
  { weights }: Manifest,
  place: (file: string) => string,
  onProgress: OpenOptions['onProgress'],
): Region =>
  system.mapFiles(
    weights.shards.map(({ file, offset, bytes }) => ({
      name: file,
      path: place(file),
      offset,
      bytes,
    })),
    weights.bytes,
    (end) => onProgress?.(end, weights.bytes),
  );

async function verifyWeights(
  koffi: Koffi,
  weights: Region,
  { manifest, check }: BundleFiles,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { file, offset, bytes } of manifest.weights.shards) {
    signal?.throwIfAborted();
    if (bytes > mostView) throw tooLarge(`the shard ${file}`);
    await check(file, new Uint8Array(koffi.view(BigInt(weights.at + offset), bytes)));
  }
}

/** What one array of Node 20 can show of memory that is not its own. */
const mostView = 2 ** 32 - 1;
const tooLarge = (what: string): DeviceError =>
  new DeviceError('device/memory', `${what} has more than 4 GiB: load with smaller sizes`);

/** The step's memory at an address; what lies before the arena is shown as one array. */
function memoryAt(koffi: Koffi, system: System, base: number, arena: number): StepMemory {
  if (arena > mostView) throw tooLarge('what tells steps their tokens');
  const front = koffi.view(BigInt(base), arena);
  const words = new Uint32Array(front);
  return {
    ints: (at, length) => new Int32Array(front, at, length),
    floats: (at, length) => new Float32Array(koffi.view(BigInt(base + at), 4 * length)),
    setWord: (word, value) => setWideWord(words, word, value),
    copy: (from, to, bytes) => system.copy(base + from, base + to, bytes),
    read: (at, into) => system.read(base + at, into),
    write: (at, from) => system.write(base + at, from),
  };
}
