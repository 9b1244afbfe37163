/**
 * The program: kernels in order as one step of a model, with layer loops, barriers, arguments, and
 * the static memory plan. Nothing is decided after it: emitters print it, the bundle packs weights
 * by it, and the runtime lays out memory by it.
 */
import type { DType } from '../base/type.ts';
import type { StepField } from '../ops/op.ts';
import type { Kernel, KernelScalar } from '../5-kernel/kernel.ts';
import type { WeightLayout } from '../5-kernel/layout.ts';

export interface Program {
  readonly name: string;
  readonly limits: Limits;
  /** Structurally distinct kernels; launches refer to them by index. */
  readonly kernels: readonly Kernel[];
  readonly body: readonly Item[];
  readonly memory: MemoryPlan;
  readonly weights: readonly WeightSlot[];
  readonly states: readonly StateSlot[];
  /** Where the step's result lies: rows of `width` f32 in the arena, one for each of `rows`. */
  readonly output: { readonly offset: number; readonly width: number; readonly rowBytes: number };
}

/** Largest step that the memory plan holds. */
export interface Limits {
  readonly tokens: number;
  readonly rows: number;
}

export type Item =
  | { readonly kind: 'launch'; readonly kernel: number; readonly args: readonly Argument[] }
  /** Runs `body` `count` times; arguments inside advance by their stride each time. Loops do not nest. */
  | { readonly kind: 'loop'; readonly count: number; readonly body: readonly Item[] }
  /** Every thread has come here and sees the others' stores. */
  | { readonly kind: 'barrier' };

/**
 * A byte address, one for each parameter of the kernel. `stride` is added per iteration of the
 * enclosing loop. State addresses are per slot of the loaded cache:
 * base + (offset + iteration * stride) * slots.
 */
export type Argument =
  | { readonly kind: 'arena'; readonly offset: number; readonly stride: number }
  | { readonly kind: 'weights'; readonly offset: number; readonly stride: number }
  | { readonly kind: 'state'; readonly offset: number; readonly stride: number }
  /** An i32 array of the step signature, or `keys`: the position that each cache slot stands at. */
  | { readonly kind: 'step'; readonly field: StepField | 'keys' };

export interface MemoryPlan {
  /** Activations of the largest step. */
  readonly arenaBytes: number;
  /** Scratch of one thread: the largest of the kernels'. */
  readonly scratchBytes: number;
  /** All weights, as one address space from 0. */
  readonly weightBytes: number;
  /** State bytes of one cache slot, over all states and iterations. */
  readonly stateBytesPerSlot: number;
  /** Buffers by name for printing: offset, bytes, and the launches between which they live. */
  readonly buffers: readonly {
    readonly name: string;
    readonly offset: number;
    readonly bytes: number;
    readonly from: number;
    readonly to: number;
  }[];
}

/** A weight's place in the weight address space; iteration i of its loop lies at offset + i * stride. */
export interface WeightSlot {
  readonly name: string;
  readonly source: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  readonly offset: number;
  readonly count: number;
  readonly stride: number;
}

/** A state's place: per slot, `bytes` at (offset + iteration * stride) * slots. */
export interface StateSlot {
  readonly name: string;
  readonly dtype: DType;
  readonly row: readonly number[];
  readonly bytes: number;
  readonly offset: number;
  readonly count: number;
  readonly stride: number;
}

export type { KernelScalar };
