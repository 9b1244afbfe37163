/** What each machine class leaves open. Everything here is free of meaning: results are the same but for rounding. */

import type { Schedule, Schedules } from './schedule.ts';

/** `simd`: threads that each work in vectors (CPUs); `simt`: a grid of workgroups of threads (GPUs). */
export type Machine = SimdMachine | SimtMachine;

/**
 * How wide vectors are, and how bytes are multiplied. Kernels of one machine are printed for several
 * instruction sets: vectors that one lacks are cut in halves. Its own schedule is what products follow
 * unless something better is known for their shape.
 */
export interface SimdMachine extends Schedule {
  readonly kind: 'simd';
  readonly name: string;
  /** Lanes of 32 bits that products with weights work in: at most the rows of a band. */
  readonly lanes: 4 | 8 | 16;
  /**
   * How codes of eight bits are multiplied: bytes with bytes as the instruction has their signs, or
   * `pairs` of them as 16 bits where none multiplies bytes of the full range.
   */
  readonly bytes: 'u8s8' | 's8s8' | 'pairs';
  /**
   * Whether a token's products of a part of k are added up before the next token's, those of bytes below
   * 128 maybe in 16 bits, and stored: for compilers that put loads ahead of all that no store holds
   * back, and then have no register left. Else products are added one by one in registers.
   */
  readonly partSums: boolean;
  /** Bytes of what is laid out, and of products with chosen experts, that a thread's cache has room for. */
  readonly stagedBytes: number;
  /** Values of the schedule that may be better for some shape on some processor. */
  readonly open: OpenSchedule;
  /** What products of these shapes follow instead of the machine's own schedule. */
  readonly schedules?: Schedules;
}

/** wasm has no instruction that asks ahead. */
export interface OpenSchedule {
  readonly together: readonly Schedule['together'][];
  readonly ahead: readonly number[];
  readonly streams: readonly Schedule['streams'][];
  readonly staged: readonly number[];
}

/** The order of a reduction may depend on `workgroup`: targets of one machine agree in it. */
export interface SimtMachine {
  readonly kind: 'simt';
  readonly name: string;
  /** Threads of a workgroup, a power of two. */
  readonly workgroup: number;
  /** Bytes that the shared tiles of a kernel may take together. */
  readonly sharedBytes: number;
}

export const wasmMachine: SimdMachine = {
  kind: 'simd',
  name: 'wasm',
  lanes: 4,
  bytes: 'pairs',
  partSums: true,
  together: 8,
  ahead: 0,
  streams: 4,
  staged: 128,
  stagedBytes: 5 << 20,
  open: { together: [4, 8, 16], ahead: [0], streams: [1, 2, 4], staged: [32, 64, 128] },
};

/** x86-64: AVX2 works in halves of these vectors. */
export const x86Machine: SimdMachine = {
  kind: 'simd',
  name: 'x86-64',
  lanes: 16,
  bytes: 'u8s8',
  partSums: false,
  together: 8,
  ahead: 1024,
  streams: 4,
  staged: 256,
  stagedBytes: 5 << 20,
  open: {
    together: [4, 8, 16],
    ahead: [0, 1024, 4096],
    streams: [1, 2, 4],
    staged: [64, 128, 256],
  },
};

/** aarch64: four registers a vector. */
export const armMachine: SimdMachine = {
  kind: 'simd',
  name: 'aarch64',
  lanes: 16,
  bytes: 's8s8',
  partSums: false,
  together: 4,
  ahead: 1024,
  streams: 4,
  staged: 256,
  stagedBytes: 5 << 20,
  open: { together: [2, 4, 8], ahead: [0, 1024, 4096], streams: [1, 2, 4], staged: [64, 128, 256] },
};

/** GPUs within the limits that every WebGPU device has. */
export const simtMachine: SimtMachine = {
  kind: 'simt',
  name: 'simt',
  workgroup: 256,
  sharedBytes: 16384,
};
