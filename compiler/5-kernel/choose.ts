/**
 * The cost model of products with weights: what a region takes on a core with one schedule and another,
 * which of them are best, and which it cannot tell apart.
 */
import { present } from '../base/invariant.ts';
import type { Group, NodeFacts, Plan } from '../4-partition/plan.ts';
import { quantisedFrom } from './activation.ts';
import { streamsOf } from './contract.ts';
import type { Core } from './core.ts';
import { instructionsOf } from './count.ts';
import type { Kernel } from './kernel.ts';
import { bandRows } from './layout.ts';
import { lowerSimd } from './lower-simd.ts';
import type { SimdMachine } from './machine.ts';
import { packedBytes } from './packed.ts';
import { type ContractRegion, type Schedule, scheduleIn } from './schedule.ts';

/** Work that a schedule is chosen for. */
export interface Work {
  readonly plan: Plan;
  readonly region: ContractRegion;
  readonly machine: SimdMachine;
  readonly core: Core;
  /** Tokens of the step, and threads that share it. */
  readonly tokens: number;
  readonly threads: number;
}

export interface Estimate {
  readonly schedule: Schedule;
  /** Of the region's launch. */
  readonly seconds: number;
}

/** Estimates closer than this to the best are not to be trusted: rates of a core differ as much. */
export const margin = 0.1;

const line = 64;

/**
 * What is open for a step: for one token how its matrix is read, for more how many share a pass and how
 * many are laid out. The machine's own schedule is the first; where tokens choose their matrices it is
 * the only one for many, for nothing is known of what they choose. So it is where results are wanted of
 * few tokens of a chunk.
 */
export function candidatesFor(
  { machine, region }: Pick<Work, 'machine' | 'region'>,
  tokens: number,
): readonly Schedule[] {
  const { open } = machine;
  const own = scheduleIn(machine);
  const chosen = region.groups.some((g) => g.anchors.some((a) => a.contraction?.ids !== undefined));
  if (tokens > 1 && (chosen || region.axis === 'r')) return [own];
  const others =
    tokens === 1
      ? open.ahead.flatMap((ahead) => open.streams.map((streams) => ({ ...own, ahead, streams })))
      : open.together.flatMap((together) =>
          open.staged.map((staged) => ({ ...own, together, staged })),
        );
  return [own, ...others];
}

/**
 * Candidates by what they take, the fastest first; of those that come to the same kernel only the first.
 */
export function rank(work: Work, candidates: readonly Schedule[]): readonly Estimate[] {
  const seen = new Set<string>();
  const estimates = candidates.flatMap((schedule): Estimate[] => {
    const { kernel } = lowerSimd(work.plan, work.region, { ...work.machine, ...schedule });
    const text = JSON.stringify([kernel.body, kernel.scratchBytes]);
    if (seen.has(text)) return [];
    seen.add(text);
    return [{ schedule, seconds: secondsOf(work, schedule, kernel) }];
  });
  return estimates.sort((a, b) => a.seconds - b.seconds);
}

/** The best and those that may be as good. */
export function unseparated(ranked: readonly Estimate[]): readonly Estimate[] {
  const [best] = ranked;
  return ranked.filter((e) => e.seconds <= (1 + margin) * present(best).seconds);
}

/** Reading and computing overlap: the longer of both counts. */
function secondsOf(work: Work, schedule: Schedule, kernel: Kernel): number {
  const { core, tokens, threads } = work;
  const scalars = { t: tokens, r: tokens, blocks: 1 };
  const computing = instructionsOf(kernel, core, { scalars, threads }) / core.perSecond;
  // As many are laid out at a time as there is room for.
  const { staged = schedule.staged } = kernel.schedule;
  const reading = work.region.groups.reduce(
    (sum, g) => sum + readingSeconds(work, { ...schedule, staged }, g, kernel.scratchBytes),
    0,
  );
  return Math.max(computing, reading);
}

function readingSeconds(
  { plan, core, tokens, threads }: Work,
  schedule: Schedule,
  group: Group,
  staged: number,
): number {
  const { latency, outstanding, follows, cache } = core.memory;
  const seconds = (bytes: number, lines: number): number =>
    (bytes / line / Math.min(outstanding, lines)) * latency;
  const each = group.anchors.reduce((sum, a) => sum + matrixBytes(plan, a), 0) / threads;
  if (tokens === 1) {
    const streams = streamsFor(plan, schedule, group);
    const ahead = isInBlocks(plan, group) ? schedule.ahead : 0;
    // What is asked for past the end of each stretch is read in vain.
    const read = seconds(each, streams * (follows + ahead / line));
    return read + latency + seconds(streams * ahead, outstanding);
  }
  const passes = Math.ceil(tokens / schedule.staged);
  const units = Math.ceil(group.columns / group.unit);
  // Operands that leave no room for a unit of the matrix come anew for each unit.
  const fits = staged + (each * threads) / units <= cache;
  const again = fits ? 0 : seconds((staged * units) / threads, outstanding);
  return passes * (seconds(each, follows) + again + latency);
}

/** Bytes that one token reads of a product's matrices: of those that it chooses, where it does. */
function matrixBytes(plan: Plan, a: NodeFacts): number {
  const c = present(a.contraction);
  const { shape, dtype, layout } = present(plan.weights.get(present(a.node.inputs[c.weight])));
  return (c.slots ?? 1) * packedBytes(shape.slice(-2), dtype, layout);
}

const isInBlocks = (plan: Plan, { anchors }: Group): boolean =>
  anchors.every((a) => {
    const weight = plan.weights.get(present(a.node.inputs[present(a.contraction).weight]));
    return present(weight).layout.kind === 'blocks';
  });

/** Stretches that one token's product walks at once: of several units, or the halves of one. */
function streamsFor(plan: Plan, schedule: Schedule, group: Group): number {
  const streams = streamsOf(plan, schedule, group);
  if (streams > 1 || schedule.streams === 1) return streams;
  const codes = group.anchors.every((a) =>
    quantisedFrom(plan, present(a.node.inputs[present(a.contraction).x])),
  );
  const bands = Math.ceil(group.unit / bandRows);
  return codes && bands % 2 === 0 ? 2 : 1;
}
