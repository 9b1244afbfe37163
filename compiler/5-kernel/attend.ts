/** Attention to kernels: in tiles where its functions run in lanes, else entry by entry. */
import type { Region } from '../4-partition/plan.ts';
import { lowerEach } from './attend-each.ts';
import { lowerParts } from './attend-parts.ts';
import type { LowerContext } from './context.ts';
import type { Stmt } from './kernel.ts';

export const lowerAttend = (
  ctx: LowerContext,
  region: Extract<Region, { kind: 'attend' }>,
): Stmt[] =>
  region.parts === undefined ? lowerEach(ctx, region) : lowerParts(ctx, region, region.parts);
