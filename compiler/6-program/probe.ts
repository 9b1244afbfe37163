/** A region of a model as a program of its own, to be measured: the same kernel over copies of its weights. */
import type { Plan } from '../4-partition/plan.ts';
import { lowerSimd } from '../5-kernel/lower-simd.ts';
import type { SimdMachine } from '../5-kernel/machine.ts';
import type { ContractRegion } from '../5-kernel/schedule.ts';
import { packedBytes } from '../5-kernel/packed.ts';
import { present } from '../base/invariant.ts';
import { buildProgram } from './build.ts';
import type { Program } from './program.ts';

/** The loop that a probe's copies are iterations of. */
const copiesLoop = 0;

/**
 * One step passes over `copies` of the region's weights, one after the other, as over layers. What the
 * region reads of activations is left to who fills the arena.
 */
export function probeProgram(
  plan: Plan,
  region: ContractRegion,
  machine: SimdMachine,
  tokens: number,
  copies: number,
): Program {
  const own = weightsOf(plan, region, machine);
  const weights = new Map(
    [...plan.weights].flatMap(([v, w]) =>
      own.has(w.id) ? [[v, { ...w, loop: copiesLoop }] as const] : [],
    ),
  );
  const held = [...region.writes, ...region.reads].find((v) => plan.buffers.has(v));
  const probe: Plan = {
    ...plan,
    name: `probe of ${region.name}`,
    weights,
    items: [{ kind: 'loop', loop: copiesLoop, count: copies, items: [{ kind: 'region', region }] }],
    result: present(held, 'a value of the region in memory'),
  };
  return buildProgram(probe, { tokens, rows: 1 }, machine);
}

/** Bytes of the weights that the region reads. */
export function regionBytes(plan: Plan, region: ContractRegion, machine: SimdMachine): number {
  const own = weightsOf(plan, region, machine);
  const weights = new Map([...plan.weights.values()].map((w) => [w.id, w]));
  return [...own].reduce((sum, id) => {
    const { shape, dtype, layout } = present(weights.get(id));
    return sum + packedBytes(shape, dtype, layout);
  }, 0);
}

const weightsOf = (plan: Plan, region: ContractRegion, machine: SimdMachine): ReadonlySet<number> =>
  new Set(
    lowerSimd(plan, region, machine).bindings.flatMap((b) =>
      b.kind === 'weight' ? [b.weight] : [],
    ),
  );
