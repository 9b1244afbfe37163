/**
 * Kernel IR: a statement tree over pure expressions. Effects are only in statements; loops carry
 * the hardware they are bound to; everything that holds data is a typed tile.
 *
 * A verified kernel is in bounds, has no race between threads and cannot make a printer fail.
 */
import type { DType } from '../base/type.ts';
import type { Expr, ScalarType } from '../scalar/expr.ts';

/**
 * Where a loop runs.
 *
 * - `serial` one after the other; `unroll` written out (constant bounds)
 * - `vector` lanes of one instruction, `width` at a time; a remainder runs lane by lane
 * - `thread` a contiguous share for each CPU thread; in a workgroup of W, thread n takes iterations
 *   n, n + W, n + 2 W ..
 * - `block` a workgroup for each iteration; `cluster`, `warpgroup`, `lane` further levels of a GPU's
 *   grid; `simd` has none of them
 */
export type Binding =
  'serial' | 'unroll' | 'vector' | 'thread' | 'block' | 'cluster' | 'warpgroup' | 'lane';

export interface Axis {
  readonly name: string;
  readonly from: Expr;
  readonly to: Expr;
  /** A positive constant; `vector` loops: the lanes at a time. */
  readonly step: number;
  readonly bind: Binding;
}

/** Where a tile lives and which group of threads owns it; `constant`: its `values`, known here. */
export type Space = 'global' | 'scratch' | 'shared' | 'register' | 'fragment' | 'constant';
export type Owner = 'grid' | 'workgroup' | 'warpgroup' | 'warp' | 'thread';

/** How indices of a tile become element offsets. `swizzle` permutes shared rows against conflicts. */
export interface TileLayout {
  readonly strides: readonly number[];
  readonly swizzle?: { readonly bits: number; readonly base: number; readonly shift: number };
}

export interface Tile {
  readonly name: string;
  /** Narrow elements (`u8`, `bf16` ...) load as their raw bits in an i32, zero-extended (i8: sign). */
  readonly dtype: DType;
  /** Elements per axis; a `global` tile whose size a step decides has shape []. */
  readonly shape: readonly number[];
  readonly layout: TileLayout;
  readonly space: Space;
  readonly owner: Owner;
  /** `register`: lanes of each element. Elements are addressed by constants once loops are unrolled. */
  readonly lanes?: number;
  /** `scratch`: byte offset in the thread's own scratch. */
  readonly offset?: number;
  /** `constant`: the elements. */
  readonly values?: readonly number[];
  /**
   * `global`, kernels of workgroups only: nothing stores to it while a step runs (weights, arrays of
   * the step), so that all threads that read one element read the same.
   */
  readonly fixed?: true;
}

/** What an asynchronous operation returns and a `wait` consumes. `simd` and WGSL run it in place. */
export interface Token {
  readonly name: string;
}

/** Work of a group of threads in a kernel that divides its threads by role. */
export type Role = 'producer' | 'consumer';

export type Stmt =
  | { readonly kind: 'loop'; readonly axis: Axis; readonly body: readonly Stmt[] }
  /** Names a value for the rest of the enclosing list; never assigned again. */
  | { readonly kind: 'let'; readonly name: string; readonly value: Expr }
  /** Brings a `scratch`, `shared`, `register` or `fragment` tile into being; registers start at 0. */
  | { readonly kind: 'tile'; readonly tile: Tile }
  /** Stores `value` (its lanes) from the linear element index on; to a register: assigns it. */
  | { readonly kind: 'store'; readonly tile: string; readonly index: Expr; readonly value: Expr }
  | {
      readonly kind: 'if';
      readonly when: Expr;
      readonly then: readonly Stmt[];
      readonly otherwise: readonly Stmt[];
    }
  /** All threads of the owner have come here and see each other's stores. */
  | { readonly kind: 'barrier'; readonly owner: Owner }
  | {
      readonly kind: 'copy';
      readonly from: { readonly tile: string; readonly index: Expr };
      readonly to: { readonly tile: string; readonly index: Expr };
      readonly elements: number;
      readonly token: Token;
    }
  | { readonly kind: 'wait'; readonly token: Token }
  | { readonly kind: 'role'; readonly role: Role; readonly body: readonly Stmt[] }
  /** c += a * b on fragments. */
  | { readonly kind: 'mma'; readonly a: string; readonly b: string; readonly c: string }
  | { readonly kind: 'prefetch'; readonly tile: string; readonly index: Expr }
  | { readonly kind: 'comment'; readonly text: string };

/** A scalar that a launch passes: sizes of the step and of the loaded cache. */
export type KernelScalar =
  | 't' // tokens in the step
  | 'r' // rows that want results
  | 'blocks'; // entries of a row of the block table

export interface Kernel {
  readonly name: string;
  /** Global tiles, in argument order; a launch passes the byte address of each. */
  readonly params: readonly Tile[];
  readonly scalars: readonly KernelScalar[];
  /**
   * Threads of a workgroup, of kernels that run in workgroups: their body is uniform values, then one
   * nest of `block` loops. Each iteration of the nest is a workgroup of its own.
   */
  readonly workgroup?: number;
  /**
   * May read the number of threads of the team, `threads`, to divide work: results do not depend on it.
   * In a workgroup it may read which of its threads runs, `thread`.
   */
  readonly body: readonly Stmt[];
  /** Bytes of each thread's own scratch that the kernel's tiles cover. */
  readonly scratchBytes: number;
  /** The schedule chosen, for printing: tile sizes, tokens at a time, split sizes. */
  readonly schedule: Readonly<Record<string, number>>;
  /** The order of every reduction depends on its length alone: what `verify` holds schedules to. */
  readonly orderKept: boolean;
}

/** Type that an element of a tile has in an expression. */
export function scalarOf(dtype: DType): ScalarType {
  switch (dtype) {
    case 'f64':
      return 'f64';
    case 'f32':
      return 'f32';
    case 'i32':
    case 'u32':
    case 'i8':
    case 'u8':
    case 'f16':
    case 'bf16':
    case 'bool':
      return 'i32';
  }
}
