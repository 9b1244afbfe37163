/** Policies against what the parts that they are for have in them. */
import type { Log } from '../base/diagnostic.ts';
import type { ModelFact } from '../base/sheet-values.ts';
import { opOf } from '../ops/index.ts';
import type { Model } from './model.ts';
import type { ResolvedPart } from './sheets.ts';
import { type BlockPart, type ModelPart, partsOf } from './tree.ts';
import { withinBody } from './walk.ts';

/** Reports each policy once, at its value, with the part that its rule selects. */
export function checkPolicies(model: Model, resolved: readonly ResolvedPart[], log: Log): void {
  const positions = usesPositions(model);
  for (const { part, settings } of resolved) {
    for (const { value, span, from } of settings.values()) {
      if (value.kind !== 'policy' || from !== part.path || part.kind === 'weight') continue;
      const lacks = value.needs.find((fact) => !holds(fact, part, positions));
      if (lacks === undefined) continue;
      const path = part.path === '' ? `the model ${part.block}` : part.path;
      log.report('sheet/policy', { policy: value.name, path, lacks }, [{ span, text: '' }]);
    }
  }
}

function holds(fact: ModelFact, part: BlockPart, positions: boolean): boolean {
  if (fact === 'positions') return positions;
  return [...partsOf(part)].some((p: ModelPart) => p.kinds.includes(fact));
}

/** Whether anything is computed from where tokens stand, the masks of attention included. */
const usesPositions = (model: Model): boolean =>
  [...withinBody(model.body, model.results)].some(
    (e) =>
      (e.kind === 'step' && e.field === 'position') ||
      (e.kind === 'op' && (opOf(e.op).step ?? []).includes('position')),
  );
