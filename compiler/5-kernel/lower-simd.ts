/** Region to kernel, for the `simd` machine class. */
import type { Plan, Region } from '../4-partition/plan.ts';
import { unreachable } from '../base/invariant.ts';
import { lowerAttend } from './attend.ts';
import { lowerMerge } from './attend-merge.ts';
import { makeBuilder } from './builder.ts';
import type { LowerContext, LoweredRegion } from './context.ts';
import { lowerContract, stagedTokens } from './contract.ts';
import type { Stmt } from './kernel.ts';
import type { SimdMachine } from './machine.ts';
import { lowerCopy, lowerRows } from './rows.ts';
import { shapeOf } from './schedule.ts';

export function lowerSimd(plan: Plan, region: Region, machine: SimdMachine): LoweredRegion {
  const builder = makeBuilder();
  const ctx: LowerContext = { plan, builder, machine: followed(plan, region, machine) };
  const body = bodyOf(ctx, region);
  return {
    kernel: {
      name: region.name,
      params: builder.params,
      scalars: ['t', 'r', 'blocks'],
      body: [...builder.declarations(), ...body],
      scratchBytes: builder.scratchBytes(),
      schedule: scheduleOf(ctx, region),
      orderKept: true,
    },
    bindings: builder.bindings,
  };
}

function bodyOf(ctx: LowerContext, region: Region): Stmt[] {
  switch (region.kind) {
    case 'rows':
      return lowerRows(ctx, region);
    case 'copy':
      return lowerCopy(ctx, region);
    case 'contract':
      return lowerContract(ctx, region);
    case 'attend':
      return lowerAttend(ctx, region);
    case 'merge':
      return lowerMerge(ctx, region);
    default:
      return unreachable(region);
  }
}

/** The machine with the schedule for the region's shape, where there is one. */
function followed(plan: Plan, region: Region, machine: SimdMachine): SimdMachine {
  if (region.kind !== 'contract' || !machine.schedules) return machine;
  return { ...machine, ...machine.schedules.get(shapeOf(plan, region)) };
}

function scheduleOf(ctx: LowerContext, region: Region): Record<string, number> {
  if (region.kind !== 'contract') return {};
  const { together, ahead, streams } = ctx.machine;
  return { staged: stagedTokens(ctx, region), together, ahead, streams };
}
