/** The targets that this runtime knows, in the order in which they are tried. */
import type { Executor, ExecutorOptions, PassedOver } from './device.ts';
import { DeviceError } from './errors.ts';
import type { BundleFiles } from './files.ts';
import type { LoadOptions } from './options.ts';
import { openWasm, whyNoThreads } from './wasm/device.ts';

/** A target, or a way to run it. */
interface Candidate {
  /** What `LoadedModel.target` and the option `target` say. */
  readonly target: string;
  /** Tells ways to run one target apart. */
  readonly name: string;
  /** Why it cannot run, as far as that is known before anything is read; undefined where it may. */
  unfit(files: BundleFiles, sizes: ExecutorOptions): string | undefined;
  open(files: BundleFiles, sizes: ExecutorOptions, options: LoadOptions): Promise<Executor>;
  /** Codes of a DeviceError from `open` with which the next one may well run. */
  readonly givesWayOn: readonly string[];
}

const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;

const native: Candidate = {
  target: 'native',
  name: 'native',
  unfit: ({ manifest, folder }) =>
    !inNode
      ? 'native code runs in Node, not in a page'
      : !manifest.programs.native
        ? 'the bundle has no native program: compile it with --target native'
        : folder === undefined
          ? 'native code is loaded from a folder, not from a URL: copy the bundle into one'
          : undefined,
  async open(files, sizes, options) {
    const { chooseNative, openNative } = await import('./native/device.ts');
    return openNative(await chooseNative(files), files, sizes, options);
  },
  givesWayOn: ['device/koffi', 'device/machine'],
};

const webgpu: Candidate = {
  target: 'webgpu',
  name: 'webgpu',
  unfit: ({ manifest }) =>
    manifest.programs.webgpu
      ? undefined
      : 'the bundle has no WebGPU program: compile it with --target webgpu',
  async open(files, sizes, options) {
    const { openWebGpu } = await import('./webgpu/device.ts');
    return openWebGpu(files, sizes, options);
  },
  givesWayOn: [
    'device/webgpu',
    'device/adapter',
    'device/limit',
    'device/memory',
    'device/program',
  ],
};

const noWasm = ({ manifest }: BundleFiles): string | undefined =>
  manifest.programs.wasm
    ? undefined
    : 'the bundle has no wasm program: compile it with --target wasm';

const wasmWithThreads: Candidate = {
  target: 'wasm',
  name: 'wasm with threads',
  unfit: (files, sizes) =>
    noWasm(files) ?? (sizes.threads === 1 ? 'there is one thread' : whyNoThreads()),
  open: openWasm,
  givesWayOn: ['device/thread', 'device/program', 'device/memory'],
};

const wasm: Candidate = {
  target: 'wasm',
  name: 'wasm',
  unfit: noWasm,
  open: (files, sizes, options) => openWasm(files, { ...sizes, threads: 1 }, options),
  givesWayOn: [],
};

/** The first that fits is taken: a new target is a line here. */
const candidates: readonly Candidate[] = [native, webgpu, wasmWithThreads, wasm];

export interface OpenedTarget {
  readonly executor: Executor;
  readonly passedOver: readonly PassedOver[];
}

/**
 * An executor for the target asked for or the first that runs here. Throws DeviceError where none
 * does, with the failure of the first that was tried.
 */
export async function openExecutor(
  files: BundleFiles,
  sizes: ExecutorOptions,
  options: LoadOptions,
): Promise<OpenedTarget> {
  const { target = 'auto' } = options;
  const names = ['auto', ...new Set(candidates.map((c) => c.target))];
  if (!names.includes(target)) {
    throw new DeviceError(
      'device/target',
      `this runtime has no target ${target}; there are ${names.join(', ')}`,
    );
  }
  const passedOver: PassedOver[] = [];
  let failure: DeviceError | undefined;
  let unfit = '';
  for (const candidate of candidates) {
    if (target !== 'auto' && target !== candidate.target) continue;
    const why = candidate.unfit(files, sizes);
    if (why !== undefined) {
      passedOver.push({ target: candidate.name, why });
      unfit = why;
      continue;
    }
    try {
      return { executor: await candidate.open(files, sizes, options), passedOver };
    } catch (e) {
      if (!(e instanceof DeviceError) || !candidate.givesWayOn.includes(e.code)) throw e;
      passedOver.push({ target: candidate.name, why: e.message });
      failure ??= e;
    }
  }
  throw failure ?? new DeviceError('device/target', unfit);
}
