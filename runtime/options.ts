/** What `load` takes, and what it tells while it works. */
import { InputError } from './errors.ts';

export interface LoadOptions {
  /**
   * `native`, `webgpu`, `wasm`, or `auto`, which is meant unless given: the first of the runtime's targets that the
   * bundle has a program for and that runs here. `LoadedModel.passedOver` tells why others do not.
   */
  readonly target?: string;
  /**
   * Runs the model in a worker, so that the page stays free; meant in pages unless `false`. The bundler
   * must emit `worker.js` beside the runtime (Vite, webpack and others do by themselves).
   */
  readonly worker?: boolean;
  /**
   * Keeps the files of a bundle at a URL in the browser's storage, so that the next visit downloads
   * nothing; meant unless `false`.
   */
  readonly cache?: boolean;
  /**
   * Holds native weights, which are mapped and read as they are used, against their hashes: that reads
   * them all. Their sizes, the manifest and all other files are checked always.
   */
  readonly verify?: boolean;
  /**
   * What the target `webgpu` runs on; unless given that of the browser, or in Node of the package
   * `webgpu`. A worker has its own.
   */
  readonly gpu?: GPU;
  /** Threads of the CPU; what the machine has, at most 8, unless given. */
  readonly threads?: number;
  /** Longest sequence in tokens; the model's own context, at most 4096, unless given. */
  readonly context?: number;
  /** Cached tokens over all sequences; twice the context unless given. */
  readonly capacity?: number;
  /** Sequences that may share a step; 8 unless given. */
  readonly sequences?: number;
  /** Bytes of weights that have arrived and are to arrive, and the shard that the last ones are of. */
  readonly onProgress?: OnProgress;
  /** Something that does not stop loading: storage that is full, a worker that does not start. */
  readonly onNotice?: (notice: Notice) => void;
  readonly signal?: AbortSignal;
}

export type OnProgress = (done: number, total: number, shard?: ShardProgress) => void;

export interface ShardProgress {
  readonly file: string;
  /** Its number, from 0, and how many there are. */
  readonly index: number;
  readonly count: number;
  readonly done: number;
  readonly total: number;
  /** Comes from the browser's storage, not over the network. */
  readonly cached: boolean;
}

export interface Notice {
  /**
   * `cache/quota`: storage is full, the rest is not kept; `cache/failed`: storage does not work;
   * `cache/offline`: the server is out of reach, what is stored is used; `worker/start`: the worker did
   * not start, the model runs in the page.
   */
  readonly code: 'cache/quota' | 'cache/failed' | 'cache/offline' | 'worker/start';
  readonly message: string;
}

/** Throws InputError for a number out of its range. */
export function checkLoadOptions(o: LoadOptions): void {
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
