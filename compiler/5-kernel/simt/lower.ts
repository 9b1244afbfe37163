/** Region to kernel, for the `simt` machine class. */
import type { Plan, Region } from '../../4-partition/plan.ts';
import { unreachable } from '../../base/invariant.ts';
import { makeBuilder } from '../builder.ts';
import type { LoweredRegion } from '../context.ts';
import type { Stmt } from '../kernel.ts';
import type { SimtMachine } from '../machine.ts';
import { lowerCopy, lowerRows } from '../rows.ts';
import { lowerAttend } from './attend.ts';
import { attendThreads } from './attend-shape.ts';
import type { SimtContext } from './context.ts';
import { lowerContract } from './contract.ts';
import { groupLoops } from './loops.ts';
import { lowerMerge, mergeThreads } from './merge.ts';
import { productThreads } from './product-shape.ts';
import { refusal } from './refusal.ts';
import { tidy } from './tidy.ts';

export function lowerSimt(plan: Plan, region: Region, machine: SimtMachine): LoweredRegion {
  const { sharedBytes } = machine;
  const threads = threadsOf(region, machine);
  const builder = makeBuilder({ loops: groupLoops(threads), sharedBytes });
  const body = tidy(bodyOf({ plan, builder, machine }, region));
  const shared = builder.sharedBytes();
  if (shared > sharedBytes) {
    throw refusal(
      region,
      `takes ${shared} bytes of memory that a workgroup shares, of ${sharedBytes} that there are`,
    );
  }
  return {
    kernel: {
      name: region.name,
      params: builder.params,
      scalars: ['t', 'r', 'blocks'],
      workgroup: threads,
      body: [...builder.declarations(), ...body],
      scratchBytes: 0,
      schedule: {},
      orderKept: true,
    },
    bindings: builder.bindings,
  };
}

/** The statements of a workgroup, in a nest of block loops. */
function bodyOf(ctx: SimtContext, region: Region): Stmt[] {
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

function threadsOf({ kind }: Region, machine: SimtMachine): number {
  switch (kind) {
    case 'contract':
      return productThreads;
    case 'attend':
      return attendThreads;
    case 'merge':
      return mergeThreads;
    case 'rows':
    case 'copy':
      return machine.workgroup;
    default:
      return unreachable(kind);
  }
}
