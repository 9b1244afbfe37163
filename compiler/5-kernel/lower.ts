/** Region to kernel, as the machine's class has it. */
import type { Plan, Region } from '../4-partition/plan.ts';
import { unreachable } from '../base/invariant.ts';
import type { LoweredRegion } from './context.ts';
import { lowerSimd } from './lower-simd.ts';
import type { Machine } from './machine.ts';
import { lowerSimt } from './simt/lower.ts';

/** Throws TargetError `target/no-kernel` where the machine class has none for the region. */
export function lowerRegion(plan: Plan, region: Region, machine: Machine): LoweredRegion {
  switch (machine.kind) {
    case 'simd':
      return lowerSimd(plan, region, machine);
    case 'simt':
      return lowerSimt(plan, region, machine);
    default:
      return unreachable(machine);
  }
}
