import type { Plan } from '../4-partition/plan.ts';
import type { Binding, Builder } from './builder.ts';
import type { Kernel } from './kernel.ts';
import type { SimdMachine } from './machine.ts';

/** What lowering a region for the `simd` machine class works with. */
export interface LowerContext {
  readonly plan: Plan;
  readonly builder: Builder;
  readonly machine: SimdMachine;
}

export interface LoweredRegion {
  readonly kernel: Kernel;
  /** What a launch passes for each parameter. */
  readonly bindings: readonly Binding[];
}
