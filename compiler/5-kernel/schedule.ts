/**
 * What the kernels of products leave open, as data, and the shapes that schedules are chosen for. A
 * schedule changes no result, not in a bit: each sum is of the same terms in the same order.
 */
import { present } from '../base/invariant.ts';
import type { Group, NodeFacts, Plan, PlanItem, Region } from '../4-partition/plan.ts';
import { quantisedFrom } from './activation.ts';

export interface Schedule {
  /** Tokens that share a pass over a matrix, a power of two: as many as registers hold sums for. */
  readonly together: 1 | 2 | 4 | 8 | 16;
  /**
   * Bytes of a matrix that are asked for ahead of use where one token passes over it; 0: none. Cores
   * follow a single stream too late by themselves.
   */
  readonly ahead: number;
  /**
   * Stretches of a matrix that one token's product walks side by side, at most: cores read several
   * streams from memory faster than one where nothing is asked for ahead.
   */
  readonly streams: 1 | 2 | 4;
  /** Tokens whose operands are laid out before the matrix is passed over: a multiple of `together`. */
  readonly staged: number;
}

/** The schedule alone of what has one. */
export const scheduleIn = ({ together, ahead, streams, staged }: Schedule): Schedule => ({
  together,
  ahead,
  streams,
  staged,
});

export const showSchedule = ({ together, ahead, streams, staged }: Schedule): string =>
  `staged ${staged}, together ${together}, ahead ${ahead}, streams ${streams}`;

export const sameSchedule = (a: Schedule, b: Schedule): boolean =>
  showSchedule(a) === showSchedule(b);

export type ContractRegion = Extract<Region, { kind: 'contract' }>;

/** Schedules by the shapes of products, as `shapeOf` has them; others follow the machine's own. */
export type Schedules = ReadonlyMap<string, Schedule>;

/**
 * What a schedule is chosen by, in words that are the same for the same work: the products of a region
 * with rows and columns of their matrices, what these are kept in, and what they are multiplied with.
 */
export const shapeOf = (plan: Plan, region: ContractRegion): string =>
  region.groups.map((g) => groupText(plan, g)).join(' + ');

function groupText(plan: Plan, { anchors, unit }: Group): string {
  const products = anchors.map((a) => productText(plan, a)).join(', ');
  return `${products} by ${unit}`;
}

function productText(plan: Plan, { node, contraction }: NodeFacts): string {
  const c = present(contraction);
  const weight = present(plan.weights.get(present(node.inputs[c.weight])), 'weight');
  const { layout, dtype } = weight;
  const kept = layout.kind === 'blocks' ? layout.scheme.name : dtype;
  const activation = quantisedFrom(plan, present(node.inputs[c.x]))?.activation;
  const operand = activation ? `codes of ${activation.group || c.k}` : 'floats';
  const chosen = c.ids === undefined ? '' : ` ${c.slots ?? 1} of ${weight.shape[0]}`;
  const each = c.xSlots ? ' each' : '';
  return `${c.n}x${c.k} ${kept} x ${operand}${chosen}${each}`;
}

/** Regions with products, each shape once, and how often a step passes over each. */
export interface Shape {
  readonly name: string;
  /** The first region of the shape. */
  readonly region: ContractRegion;
  /** Regions of the shape, those in loops as often as they run. */
  readonly count: number;
}

export function shapesOf(plan: Plan): readonly Shape[] {
  const found = new Map<string, Shape>();
  const visit = (items: readonly PlanItem[], times: number): void => {
    for (const i of items) {
      if (i.kind === 'loop') {
        visit(i.items, times * i.count);
      } else if (i.region.kind === 'contract') {
        const name = shapeOf(plan, i.region);
        const had = found.get(name);
        found.set(name, {
          name,
          region: had?.region ?? i.region,
          count: (had?.count ?? 0) + times,
        });
      }
    }
  };
  visit(plan.items, 1);
  return [...found.values()];
}
