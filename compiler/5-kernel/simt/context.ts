import type { Plan } from '../../4-partition/plan.ts';
import type { Builder } from '../builder.ts';
import type { SimtMachine } from '../machine.ts';

/** What lowering a region for the `simt` machine class works with. */
export interface SimtContext {
  readonly plan: Plan;
  readonly builder: Builder;
  readonly machine: SimtMachine;
}
