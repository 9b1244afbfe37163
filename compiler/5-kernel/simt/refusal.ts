import { TargetError } from '../../base/failure.ts';
import type { Region } from '../../4-partition/plan.ts';

/** What a region asks for that no kernel of workgroups does. */
export const refusal = (region: Region, what: string): TargetError =>
  new TargetError('target/no-kernel', `${region.name} ${what}; other targets compute it`);
