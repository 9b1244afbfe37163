/**
 * The one contract between compiler and runtime: what `manifest.json` of a bundle says. Plain JSON.
 */

/** Raised when a bundle of this version cannot be read by an earlier runtime. */
export const manifestVersion = 1;

export interface Manifest {
  readonly format: 'cograph-bundle';
  readonly version: number;
  readonly name: string;
  /** Version of the compiler that wrote it, for humans. */
  readonly compiler: string;
  readonly model: {
    readonly vocab: number;
    /** Positions the model was made for; an absent limit is absent. */
    readonly context?: number;
    readonly bos?: number;
    readonly eos: readonly number[];
    readonly parameters: number;
  };
  /** Every file of the folder but this one, by path with forward slashes. */
  readonly files: Readonly<Record<string, FileEntry>>;
  readonly weights: {
    readonly bytes: number;
    /** Consecutive pieces of the weight address space, in order. */
    readonly shards: readonly {
      readonly file: string;
      readonly offset: number;
      readonly bytes: number;
    }[];
    /** The weights by their names in the model, layers one by one; for humans and tools. */
    readonly parts: readonly {
      readonly name: string;
      readonly dtype: string;
      readonly shape: readonly number[];
      readonly offset: number;
      readonly bytes: number;
    }[];
  };
  readonly cache: {
    /** Cache entries in a block. */
    readonly block: number;
    readonly bytesPerSlot: number;
    readonly states: readonly {
      readonly name: string;
      /** Bytes of one slot in one iteration; see `StateSlot` of the program. */
      readonly bytes: number;
      readonly offset: number;
      readonly count: number;
      readonly stride: number;
    }[];
  };
  /** The step, for each target that the bundle was compiled for. */
  readonly programs: {
    readonly wasm?: WasmProgram;
    readonly native?: NativeProgram;
    readonly webgpu?: WebGpuProgram;
  };
  readonly tokenizer?: {
    readonly file: string;
    readonly config?: string;
    readonly chatTemplate?: string;
    /** The same without tokens and merges, and these as arrays (`vocabularyHeader`): both or neither. */
    readonly rules?: string;
    readonly vocabulary?: string;
  };
  /** Floating-point operations and bytes of one decoded token, as the cost model sums them. */
  readonly cost: { readonly flopsPerToken: number; readonly weightBytesPerToken: number };
}

export interface FileEntry {
  readonly bytes: number;
  readonly sha256: string;
}

/** What a step needs of memory, and where it leaves its result. */
export interface StepSizes {
  /** Largest step. */
  readonly limits: { readonly tokens: number; readonly rows: number };
  /** Activations of the largest step. */
  readonly arenaBytes: number;
  /** Scratch of one thread. */
  readonly scratchBytes: number;
  /** Rows of `width` f32 in the arena, one for each row asked for. */
  readonly output: { readonly offset: number; readonly width: number; readonly rowBytes: number };
}

/**
 * A step as a wasm module; `variants` in order of preference, the last one of each width of addresses
 * needs nothing else that is special.
 */
export interface WasmProgram extends StepSizes {
  readonly variants: readonly {
    readonly file: string;
    /** Needs shared memory and atomics (threads). */
    readonly threads: boolean;
    readonly relaxed: boolean;
    /** Addresses of 64 bits; absent: of 32. */
    readonly memory64?: boolean;
  }[];
  /** Schedules that were measured to be better than the compiler's own, for humans and tools. */
  readonly schedules?: readonly TunedSchedule[];
}

/** How the products of a shape are computed: tokens laid out and in a pass, bytes asked for ahead, streams. */
export interface TunedSchedule {
  /** Native code: the instruction set that it is for. */
  readonly isa?: (typeof nativeIsas)[number];
  readonly shape: string;
  readonly together: number;
  readonly ahead: number;
  readonly streams: number;
  readonly staged: number;
}

/** Bytes that a wasm program addresses in 32 bits, and the most that engines give to 64 (memory64). */
export const wasmReach = { narrow: 2 ** 32, wide: 2 ** 34 } as const;

/** Operating systems that a native variant is linked for. */
export const nativeSystems = ['linux', 'macos', 'windows'] as const;
/**
 * Instruction sets that a native variant may use without asking: `avx2` with FMA and F16C; `avx512`
 * with its F, BW, DQ, VL and VNNI parts and all of avx2; `arm64` with dot products.
 */
export const nativeIsas = ['avx512', 'avx2', 'arm64'] as const;

/**
 * A step as shared libraries that export `step(control, thread)`. The first variant that fits the
 * operating system and the processor is used; they need nothing of the system, not even a C library.
 */
export interface NativeProgram extends StepSizes {
  readonly variants: readonly {
    readonly file: string;
    readonly os: (typeof nativeSystems)[number];
    readonly isa: (typeof nativeIsas)[number];
  }[];
  /** Schedules that were measured to be better than the compiler's own, for humans and tools. */
  readonly schedules?: readonly TunedSchedule[];
}

/**
 * A size that the host computes before a launch, of whole numbers. Comparisons give 1 or 0; `select` its
 * second part where the first is not 0, else the third.
 */
export type GridSize =
  | number
  | GridScalar
  | readonly [op: GridOp, a: GridSize, b: GridSize]
  | readonly [op: 'select', when: GridSize, a: GridSize, b: GridSize];
export const gridScalars = ['t', 'r', 'blocks'] as const;
export type GridScalar = (typeof gridScalars)[number];
export const gridOps = [
  'add', 'sub', 'mul', 'div', 'rem', 'min', 'max', 'lt', 'le', 'gt', 'ge', 'eq', 'ne',
] as const; // prettier-ignore
export type GridOp = (typeof gridOps)[number];

/** What an entry point's bindings are, in order of their numbers from 1 on; 0 is the uniform `gpuSizes`. */
export interface GpuBinding {
  /**
   * `arena` and `step` (the arrays of the step signature) are buffers of their own. Of weights a part is
   * bound. States have a buffer for each iteration.
   */
  readonly kind: 'arena' | 'step' | 'weights' | 'state';
  /** Bound as read-write storage. */
  readonly write: boolean;
}

export interface GpuKernel {
  readonly entry: string;
  /** Extents of the grid: their product is the number of workgroups. */
  readonly grid: readonly GridSize[];
  readonly bindings: readonly GpuBinding[];
  /** Threads of a workgroup, and bytes that they share. */
  readonly workgroup: number;
  readonly sharedBytes: number;
}

/** What is bound for a launch: bytes of the weights (multiples of 256 begin them), or a state by its number in `cache.states`. */
export type GpuRange =
  | { readonly kind: 'arena' }
  | { readonly kind: 'step' }
  | {
      readonly kind: 'weights';
      readonly offset: number;
      readonly bytes: number;
      /** Added to the offset in each iteration. */
      readonly stride: number;
    }
  | { readonly kind: 'state'; readonly state: number };

export type GpuItem =
  | {
      readonly kind: 'launch';
      readonly kernel: number;
      /** Values of the entry point's overrides. */
      readonly constants: Readonly<Record<string, number>>;
      readonly ranges: readonly GpuRange[];
    }
  | { readonly kind: 'loop'; readonly count: number; readonly body: readonly GpuItem[] };

/**
 * A step as WGSL modules with an entry point for each kernel; `variants` in order of preference, the last
 * one needs nothing special. Launches follow each other: each sees what those before it stored.
 */
export interface WebGpuProgram extends StepSizes {
  readonly variants: readonly {
    readonly file: string;
    /** Needs the language feature `packed_4x8_integer_dot_product`. */
    readonly dot4: boolean;
  }[];
  readonly kernels: readonly GpuKernel[];
  readonly body: readonly GpuItem[];
}

/**
 * The uniform at binding 0, word by word: sizes of the step, the bits of infinity (WGSL has no literal for
 * it), and where each array of the step begins in their buffer, in words.
 */
export const gpuSizes = [
  't',
  'r',
  'blocks',
  'infinity',
  'ids',
  'sequence',
  'position',
  'slot',
  'length',
  'rows',
  'table',
  'keys',
] as const;

/** Workgroups of one row of a dispatch: what is more goes into the next row. */
export const gridWidth = 65_535;

/**
 * A vocabulary as a file, little-endian u32 words: magic, version, tokens n, merges m, bytes of text;
 * n + 1 offsets into the text (equal ones: no such id); m times the ids of left, right and merged token,
 * in the order of their ranks; then the text of all tokens, UTF-8.
 */
export const vocabularyHeader = { words: 5, magic: 0x56474f43, version: 1 } as const;

/**
 * The control block, word by word, each as wide as an address: u32 words at address 0 of a wasm
 * program's memory, 64-bit words with memory64, and wherever a native step is told. The runtime writes the sizes and addresses; the emitted code reads them.
 */
export const control = {
  t: 0,
  r: 1,
  threads: 2,
  slots: 3,
  blocks: 4,
  weights: 5,
  state: 6,
  arena: 7,
  scratch: 8,
  scratchBytes: 9,
  /** Addresses of the step arrays. */
  ids: 16,
  sequence: 17,
  position: 18,
  slot: 19,
  length: 20,
  rows: 21,
  table: 22,
  keys: 23,
  /** The barrier inside a step: threads arrived, and the generation that a release advances. */
  arrived: 32,
  generation: 48,
  /** Advanced by the caller to start a step; workers wait on it. */
  start: 64,
  /** Workers that have finished the step. */
  finished: 80,
  /** Set to 1 to end the workers. */
  stop: 96,
  /** Threads of a native step that sleep at the barrier. */
  sleepers: 112,
} as const;
export const controlBytes = 1024;
