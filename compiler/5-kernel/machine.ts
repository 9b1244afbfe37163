/** What each machine class leaves open. Everything here is free of meaning: results are the same but for rounding. */

/** `simd`: threads that each work in vectors (CPUs); `simt`: a grid of workgroups of threads (GPUs). */
export type Machine = SimdMachine | SimtMachine;

/**
 * How wide vectors are, and how bytes are multiplied. Kernels of one machine are printed for several
 * instruction sets: vectors that one lacks are cut in halves.
 */
export interface SimdMachine {
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
  /** Tokens that share a pass over a matrix: as many as registers hold sums for. */
  readonly together: number;
  /**
   * Bytes of a matrix that are asked for ahead of use where one token passes over it; 0: none. Cores
   * follow a single stream too late by themselves.
   */
  readonly ahead: number;
  /**
   * Stretches of a matrix that one token's product walks side by side, at most: cores read several
   * streams from memory faster than one where nothing is asked for ahead.
   */
  readonly streams: 1 | 2 | 4;
  /** Tokens whose operands are laid out before the matrix is passed over. */
  readonly staged: number;
  /**
   * Bytes of what is laid out, and of products with it, up to which more tokens are where those that chose
   * the same expert share a pass.
   */
  readonly stagedBytes: number;
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
  staged: 32,
  stagedBytes: 3 << 19,
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
  staged: 64,
  stagedBytes: 3 << 19,
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
  staged: 64,
  stagedBytes: 3 << 19,
};

/** GPUs within the limits that every WebGPU device has. */
export const simtMachine: SimtMachine = {
  kind: 'simt',
  name: 'simt',
  workgroup: 256,
  sharedBytes: 16384,
};
