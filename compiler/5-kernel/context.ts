import type { Plan } from '../4-partition/plan.ts';
import type { Builder } from './builder.ts';
import type { Machine } from './machine.ts';

/** What lowering a region works with. */
export interface LowerContext {
  readonly plan: Plan;
  readonly builder: Builder;
  readonly machine: Machine;
}
