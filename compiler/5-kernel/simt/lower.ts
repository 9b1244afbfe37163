/** Region to kernel, for the `simt` machine class. */
import type { Plan, Region } from '../../4-partition/plan.ts';
import { TargetError } from '../../base/failure.ts';
import { unreachable } from '../../base/invariant.ts';
import { makeBuilder } from '../builder.ts';
import type { LoweredRegion } from '../context.ts';
import type { Stmt } from '../kernel.ts';
import type { SimtMachine } from '../machine.ts';
import type { SimtContext } from './context.ts';

export function lowerSimt(plan: Plan, region: Region, machine: SimtMachine): LoweredRegion {
  const builder = makeBuilder({ workgroup: true });
  const body = bodyOf({ plan, builder, machine }, region);
  const shared = builder.sharedBytes();
  if (shared > machine.sharedBytes) {
    throw refusal(
      region,
      `takes ${shared} bytes of memory that a workgroup shares, of ${machine.sharedBytes} that there are`,
    );
  }
  return {
    kernel: {
      name: region.name,
      params: builder.params,
      scalars: ['t', 'r', 'blocks'],
      workgroup: machine.workgroup,
      body: [...builder.declarations(), ...body],
      scratchBytes: 0,
      schedule: {},
      orderKept: true,
    },
    bindings: builder.bindings,
  };
}

/** The statements of a workgroup, in a nest of block loops. */
function bodyOf(_: SimtContext, region: Region): Stmt[] {
  switch (region.kind) {
    case 'rows':
    case 'copy':
    case 'contract':
    case 'attend':
    case 'merge':
      throw refusal(region, 'has no kernel for GPUs');
    default:
      return unreachable(region);
  }
}

const refusal = (region: Region, what: string): TargetError =>
  new TargetError('target/no-kernel', `${region.name} ${what}; other targets compute it`);
